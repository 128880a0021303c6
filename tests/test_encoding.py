"""encode: the one function that makes tensors of raw records, in preprocess and in serving."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.kinds.encoding import encode
from pipeline.project.errors import DataError

ENCODER = {"kind": "image", "shape": [1, 28, 28], "dtype": "uint8", "labels": list("0123456789")}
PICTURES = arrays.arrays(np.uint8, st.tuples(st.integers(1, 3), st.just(28), st.just(28)))


@settings(max_examples=25, deadline=None)
@given(
    PICTURES,
    st.sampled_from([(28, 28), (784,), (1, 28, 28)]),
    st.sampled_from([np.uint8, np.int64, np.float32, np.float64]),
    st.booleans(),
)
def test_every_form_and_type_of_the_same_pictures_gives_the_same_tensors(pictures, form, kind, listed) -> None:
    records = pictures.reshape(len(pictures), *form).astype(kind)
    encoded = encode(ENCODER, records.tolist() if listed else records)
    assert (encoded.dtype, encoded.shape) == (np.uint8, (len(pictures), 1, 28, 28))
    np.testing.assert_array_equal(encoded[:, 0], pictures)
    np.testing.assert_array_equal(encode(ENCODER, records[0].tolist()), encoded[:1])


def test_no_records_give_no_rows() -> None:
    assert encode(ENCODER, []).shape == (0, 1, 28, 28)
    assert encode(ENCODER, np.zeros((0, 28, 28))).shape == (0, 1, 28, 28)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2),
    st.integers(0, 783),
    st.one_of(
        st.floats(allow_nan=True, allow_infinity=True).filter(lambda x: not (0 <= x <= 255 and x == int(x))),
        st.integers(256),
        st.integers(max_value=-1),
        st.sampled_from([None, "7", [1], {}, b"x"]),
    ),
)
def test_a_pixel_that_is_no_byte_is_refused_by_its_row(row, place, value) -> None:
    records = np.zeros((3, 784), int).tolist()
    records[row][place] = value
    with pytest.raises(DataError, match=rf"^record {row} .*whole numbers 0 to 255"):
        encode(ENCODER, records)


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([[0] * 784, [0] * 783], r"record 1 has the shape \(783,\)"),
        ([[0] * 784, "picture"], "record 1 is 'picture'"),
        ([[]], r"the records have the shape \(1, 0\)"),
        (np.zeros((2, 27, 28)), r"the records have the shape \(2, 27, 28\)"),
        (np.zeros((2, 3, 28, 28)), r"the records have the shape \(2, 3, 28, 28\)"),
        ([True] * 784, "record 0 is True"),
        (None, "the records are None"),
        ("digits", "the records are 'digits'"),
        (7, r"the records have the shape \(\)"),
        ({"pixels": [0] * 784}, "the records are {'pixels'"),
    ],
)
def test_records_of_another_shape_or_type_are_refused(records, reason) -> None:
    with pytest.raises(DataError, match=rf"^{reason}.*allowed are whole numbers 0 to 255"):
        encode(ENCODER, records)


def test_an_encoder_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match="of the kind 'sound'; this version of Ratchet knows: behaviour, image"):
        encode({"kind": "sound"}, ["some"])
