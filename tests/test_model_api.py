"""What a request may hold, by the encoder of the model: read alike, or refused with the field named; nothing else."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic.json_schema import models_json_schema

from pipeline.config.data import MnistData
from pipeline.datasets import mnist, table
from pipeline.kinds.bodies import Limits, parsed
from pipeline.kinds.encoding import encode
from pipeline.serving.model_api import Invalid, ModelApi
from pipeline.tasks import task as tasks
from tests import test_behaviour, test_table, test_text
from tests.conftest import REPOSITORY
from tests.support import digits
from tests.support import texts as tiny

LIMITS = Limits(records=50, characters=300_000, pixels=100_000, side=5_000)
# A category of numbers, as pandas writes them where one is missing, and of words
LINES = [f"{row / 2},{('Oslo', 'Rome', '北京')[row % 3]},{row % 2 + 1}.0,{row % 28 + 1}.02.2024" for row in range(60)]
COLUMNS = {"age": "number", "city": "category", "class": "category", "since": "date"}
ODD = {"a": "number", "__proto__": "category", "constructor": "category", "a.b": "date"}  # the same cells
KINDS = ["image", "text", "behaviour", "table", "regression", "drop", "odd"]


def made(kind: str, folder: Path) -> tuple[dict[str, Any], list[Any]]:
    """The encoder and the examples of the real preprocess, on tiny data."""
    if kind == "image":
        files = digits.idx_files()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        data = yaml.safe_load((REPOSITORY / "conf/data/mnist.yaml").read_text(encoding="utf-8"))
        data["source"]["files"], data["prepare"]["validation"] = digits.sums(files), 200
        done = mnist.prepare(folder, SimpleNamespace(data=MnistData.model_validate(data)))
    elif kind == "text":
        tiny.lay_encoder(folder / "encoder")
        done = test_text.of_table(folder, test_text.table())
    elif kind == "behaviour":
        done = test_behaviour.prepared(folder, test_behaviour.lines(test_behaviour.RATINGS))
    else:
        regression = kind == "regression"
        targets = [row * 1.5 if regression else ("yes", "no")[row % 2] for row in range(60)]
        file = folder / "own.csv"
        rows = [f"{line},{target}" for line, target in zip(LINES, targets, strict=True)]
        rows[:3] = rows[:3] if kind == "drop" else [f",Oslo,,,{targets[0]}", *rows[1:3]]
        columns = ODD if kind == "odd" else COLUMNS
        file.write_bytes(test_table.csv(rows, ",".join([*columns, "y"])))
        more = {
            "task": "regression" if regression else "classification",
            "missing": "drop" if kind == "drop" else "fill",
        }
        done = table.prepare(folder, SimpleNamespace(data=test_table.own(file, columns, "y", **more)))
    return done.encoder, done.examples


@pytest.fixture(scope="module")
def all_made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], list[Any]]]:
    found = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            found[kind] = json.loads(json.dumps(made(kind, folder)))
    encoder, examples = found["image"]
    found["colour"] = [encoder | {"shape": [3, 28, 28]}, [[one[0]] * 3 for one in examples]]
    return found


@pytest.fixture(scope="module")
def forms(all_made) -> dict[str, ModelApi]:
    return {kind: ModelApi(encoder, examples, LIMITS) for kind, (encoder, examples) in all_made.items()}


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def refused(form: ModelApi, content: bytes, many: bool = False) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as error:
        form.many(content) if many else form.one(content)
    return [(one["field"], one["message"]) for one in error.value.problems]


@pytest.mark.parametrize("kind", [*KINDS, "colour"])
def test_examples_are_requests_that_give_the_same_rows_as_preprocess(forms, all_made, kind: str) -> None:
    form, (encoder, raw) = forms[kind], all_made[kind]
    rows = encode(encoder, raw)
    assert len(form.examples) == len(rows) == 2
    records = form.many(body({"records": form.examples}))
    np.testing.assert_array_equal(form.encoded(records), rows)
    for example, record, row in zip(form.examples, records, rows, strict=True):
        form.schema_in.model_validate(example)
        alone = form.one(body(example))
        np.testing.assert_array_equal(form.encoded([alone])[0][-len(row) :], row[-len(row) :])
        kept = form.stored(record, row)
        if form.kind == "image":
            with Image.open(io.BytesIO(kept)) as picture:
                assert picture.format == "PNG"
            np.testing.assert_array_equal(form.picture(kept), row)
        else:
            assert form.one(kept) == record
            assert kept == form.stored(form.one(kept), row)


def test_what_is_kept_of_a_row_is_one_text_for_one_meaning(forms) -> None:
    form = forms["table"]
    for content in (b'{"city": true, "class": 1.0, "age": 35}', b'{"age": 35.0, "class": "1", "city": "true"}'):
        kept = form.stored(form.one(content), np.zeros(0))
        assert kept == b'{"age":35.0,"city":"true","class":"1","since":null}'


def test_texts_of_any_length_together_give_the_rows_that_each_gives_alone(forms) -> None:
    form = forms["text"]
    texts = ["good film. " * 6000, "bad.", "the plot is poor " * 5000, "a lovely end", "boring" + " cast" * 15_000]
    together = form.encoded(form.many(body({"records": [{"text": text} for text in texts]})))
    np.testing.assert_array_equal(together, np.concatenate([encode(form.encoder, [text]) for text in texts]))


def test_what_an_encoder_alone_refuses_is_invalid_too(forms) -> None:
    with pytest.raises(Invalid, match="record 1: the item '6'"):
        forms["behaviour"].encoded([["1"], ["6"]])


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_json_by_their_schema(forms, kind: str) -> None:
    form = forms[kind]
    width = 1 if kind == "regression" else len(form.encoder["labels"])
    inputs = torch.from_numpy(form.encoded([form.one(body(form.examples[0]))]))
    (result,) = tasks.of(form.encoder).answers(torch.linspace(0, 1, width)[None], inputs, form.encoder)
    answer = form.answer(result)
    form.schema_out.model_validate(json.loads(json.dumps(answer, allow_nan=False)))
    if kind == "behaviour":
        seen = form.examples[0]["items"]
        assert {one["item"] for one in answer["items"]} == set(form.encoder["labels"]) - set(seen)
        assert answer["items"][0] == {"item": "9", "title": "Film 9 (1990)", "score": 1.0}
    elif kind == "regression":
        assert answer == {"value": form.encoder["target"]["mean"]}
    else:
        assert list(answer["probabilities"]) == form.encoder["labels"]
        assert answer["label"] == form.encoder["labels"][-1]
        assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_the_page_learns_columns_labels_and_titles(forms) -> None:
    about = forms["table"].about()
    assert about["labels"] == ["no", "yes"]
    assert about["columns"][0] == {"name": "age", "type": "number"}
    city = about["columns"][1]
    assert (city["name"], city["type"], set(city["values"])) == ("city", "category", {"Oslo", "Rome", "北京"})
    assert forms["image"].about()["shape"] == [1, 28, 28]
    assert forms["regression"].about() | {"examples": 0, "columns": 0} == {
        "kind": "table", "input": "table", "task": "regression", "labels": [],
        "shape": forms["regression"].encoder["shape"], "columns": 0, "examples": 0,
    }  # fmt: skip
    items = forms["behaviour"].items
    assert items("AMELIE") == [{"item": "1", "title": "Amélie (2001)"}]
    assert [one["item"] for one in items("film 8")] == ["8"]
    assert items("9")[0]["item"] == "9"
    assert items("no such film") == []
    assert len(items("")) == 6


def test_the_document_names_each_field_as_a_request_does(forms) -> None:
    for kind, form in forms.items():
        _, document = models_json_schema([(form.schema_in, "validation"), (form.schema_out, "validation")])
        record = document["$defs"]["Record"]
        assert record["additionalProperties"] is False
        assert record["examples"] == form.examples
        assert set(record["properties"]) >= set(form.examples[0]), kind
        assert record.get("required", []) == (list(COLUMNS) if kind == "drop" else record.get("required", []))
        assert all(field["examples"] for field in document["$defs"]["Result"]["properties"].values())
    assert set(record["properties"]) == {"image", "pixels"}
    assert record["oneOf"] == [{"required": ["image"]}, {"required": ["pixels"]}]


REFUSED = [
    # any kind
    ("text", b"", "", "not JSON"),
    ("text", b"{", "", "not JSON"),
    ("text", b'{"text": "\xff"}', "", "byte 10 of the body is not UTF-8"),
    ("text", b"[" * 100_000, "", "nested too deeply"),
    ("text", b"null", "", "needs an object with 'text'"),
    ("text", b'{"text": "a", "text": "b"}', "text", "stands twice"),
    ("text", b'{"text": 9' + b"9" * 5000 + b"}", "", "4300"),
    ("text", b"{}", "text", "missing"),
    ("text", b'{"text": null}', "text", "None was given"),
    ("text", b'{"text": "\\ud800"}', "text", "whole characters"),
    ("text", b'{"text": "good", "\\ud800": 1}', "\\ud800", "no such key"),
    ("text", body({"text": "x" * 100_001}), "text", "100,001 characters"),
    # behaviour
    ("behaviour", b'{"items": "50"}', "items", "list of up to 10,000"),
    ("behaviour", b'{"items": [1, true]}', "items.1", "True was given"),
    ("behaviour", b'{"items": ["1", "6"]}', "items.1", "one of the 6 items"),
    ("behaviour", b'{"items": ["\\ud800"]}', "items.0", "item"),
    ("behaviour", body({"items": ["1"] * 10_001}), "items", "list of up to 10,000"),
    ("behaviour", body({"items": [None] * 10_000}), "items.0", "None was given"),
    # table
    ("odd", b'{"a": "x"}', "a", "'x' was given; it needs a finite number"),
    ("odd", b'{"a.b": 5}', "a.b", "5 was given; it needs a date"),
    ("odd", b'{"__proto__": {}}', "__proto__", "{} was given"),
    ("table", b'{"agee": 1}', "agee", "no column 'agee'. Did you mean 'age'?"),
    ("table", b'{"age": NaN}', "", "NaN was given"),
    ("table", b'{"age": -Infinity}', "", "-Infinity was given"),
    ("table", b'{"age": 1e999}', "age", "inf was given; it needs a finite number"),
    ("table", b'{"age": 1' + b"0" * 400 + b"}", "age", "a finite number"),
    ("table", b'{"age": true}', "age", "True was given"),
    ("table", b'{"age": "35"}', "age", "'35' was given; it needs a finite number, such as 1234.5; or null"),
    ("table", b'{"city": ["Oslo"]}', "city", "北京"),
    ("table", b'{"city": 1e999}', "city", "inf was given"),
    ("table", body({"city": "x" * 10_001}), "city", "up to 10,000 characters"),
    ("table", b'{"city": "\\ud800"}', "city", "known are"),
    ("table", b'{"since": "\\ud800"}', "since", "a date"),
    ("table", b'{"since": 20240131}', "since", "written as %d.%m.%Y"),
    ("table", b'{"since": "2024-02-30"}', "since", "'2024-02-30' was given; it needs a date, such as 2024-01-31"),
    ("table", b'{"since": "soon"}', "since", "'soon' was given"),
    ("drop", b'{"city": "Oslo", "class": 1, "since": "2024-01-31"}', "age", "missing"),
    ("drop", b'{"age": 1, "city": "?", "class": 1, "since": "2024-01-31"}', "city", "'?' was given"),
    ("drop", b'{"age": 1, "city": "Oslo", "class": 1, "since": " "}', "since", "' ' was given"),
    # pictures
    ("image", b"{}", "image", "0 pictures"),
    ("image", b'{"image": "", "pixels": []}', "image", "2 pictures"),
    ("image", b'{"image": null}', "image", "None was given"),
    ("image", b'{"image": "AAA"}', "image", "not base64"),
    ("image", '{"image": "日本"}'.encode(), "image", "not base64"),
    ("image", b'{"image": ""}', "image", "no picture of a known format"),
    ("image", b'{"image": "AAAA"}', "image", "no picture of a known format"),
    ("image", b'{"pixels": []}', "pixels", "a list of 0 was given"),
    ("image", b'{"pixels": {}}', "pixels", "whole numbers 0 to 255"),
    ("image", b'{"pixels": ' + b"[" * 200 + b"]" * 200 + b"}", "pixels", "whole numbers 0 to 255"),
    ("image", body({"pixels": [0] * 783}), "pixels", "a list of 783 was given; it needs 784"),
    ("image", body({"pixels": [[0] * 28] * 27 + [[0] * 27]}), "pixels.27", "a list of 27"),
    ("image", body({"pixels": [[0] * 28] * 27 + [0]}), "pixels.27", "0 was given"),
    ("image", body({"pixels": [[0] * 28] * 27 + [[0] * 27 + [256]]}), "pixels.27.27", "256 was given"),
    ("image", body({"pixels": [[0] * 28] * 27 + [[0] * 27 + [True]]}), "pixels.27.27", "True was given"),
    ("image", body({"pixels": [[0] * 28] * 27 + [[0] * 27 + [[]]]}), "pixels.27.27", "[] was given"),
    ("image", body({"pixels": [[0] * 28] * 27 + [[0] * 27 + [0.5]]}), "pixels.27.27", "0.5 was given"),
    ("image", body({"pixels": [[0] * 28] * 27 + [[0] * 27 + [10**400]]}), "pixels.27.27", "whole number, 0 to 255"),
    ("colour", body({"pixels": [[0] * 28] * 28}), "pixels", "whole numbers 0 to 255"),
]


@pytest.mark.parametrize(("kind", "content", "field", "message"), REFUSED)
def test_a_record_that_is_wrong_is_refused_by_its_field(forms, kind, content, field, message) -> None:
    ((named, said),) = refused(forms[kind], content)
    assert named == field
    assert message in said
    if content.startswith(b"{") and field and "stands twice" not in said:
        good = json.dumps(forms[kind].examples[0]).encode()
        ((named, _),) = refused(forms[kind], b'{"records": [%s, %s]}' % (good, content), many=True)
        assert named == f"records.1.{field}"


def test_every_problem_is_said_at_once_and_the_answer_is_bounded(forms) -> None:
    assert [field for field, _ in refused(forms["table"], b'{"age": "", "city": [], "since": 3}')] == [
        "age", "city", "since",
    ]  # fmt: skip
    content = body({"records": [{}, {"age": True}, {"since": "soon"}, {"agee": 1}]})
    assert [field for field, _ in refused(forms["table"], content, many=True)] == ["records.1.age", "records.3.agee"]
    content = body({"records": [{"since": "2024-01-31"}, {"since": "soon"}]})
    assert [field for field, _ in refused(forms["table"], content, many=True)] == ["records.1.since"]
    problems = refused(forms["table"], body({str(key) * 9999: 1 for key in range(1000)}))
    assert len(problems) == 20
    assert max(len(text) for problem in problems for text in problem) < 1100


@pytest.mark.parametrize(
    ("batch", "field", "message"),
    [
        ([], "", "an object"),
        ({}, "records", "None was given"),
        ({"records": {}}, "records", "a list of 1 to 50"),
        ({"records": []}, "records", "0 records were given; allowed are 1 to 50"),
        ({"records": [{"text": "good"}] * 51}, "records", "51 records"),
        ({"records": [{"text": "good"}], "more": 1}, "more", "no such key"),
        ({"records": [{"text": "good"}, 7]}, "records.1", "7 was given"),
    ],
)
def test_a_batch_has_records_and_nothing_else(forms, batch, field, message) -> None:
    ((named, said),) = refused(forms["text"], body(batch), many=True)
    assert (named, message in said) == (field, True), said


def file(picture: Image.Image, form: str, **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG of one grey whose header says any size."""
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0),
        b"IDAT": zlib.compress(pixels),
        b"IEND": b"",
    }
    chunks = [
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
        for tag, data in parts.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def sent(form: ModelApi, content: bytes, start: str = "") -> np.ndarray:
    return form.one(body({"image": start + base64.b64encode(content).decode()}))


@pytest.mark.parametrize("kind", ["image", "colour"])
def test_a_picture_comes_as_a_file_in_base64_or_as_pixels(forms, all_made, kind: str) -> None:
    form = forms[kind]
    pixels = np.array(all_made[kind][1][0], np.uint8)
    kept = form.stored(pixels, pixels)
    with Image.open(io.BytesIO(kept)) as picture:
        picture.load()
    for format_ in ("PNG", "BMP", "GIF"):  # which lose nothing
        read = form.picture(file(picture, format_))
        np.testing.assert_array_equal(read, pixels)
        np.testing.assert_array_equal(sent(form, file(picture, format_)), pixels)
    for start in ("data:image/png;base64,", "data:;base64,"):
        np.testing.assert_array_equal(sent(form, kept, start), pixels)
    for format_ in ("JPEG", "WEBP"):
        assert np.abs(form.picture(file(picture, format_, quality=95)).astype(int) - pixels).mean() < 10
    for given_ in (pixels, pixels.reshape(-1), pixels.astype(float), *([pixels[0]] if kind == "image" else [])):
        record = form.one(body({"pixels": given_.tolist()}))
        assert (record.dtype, record.shape) == (np.uint8, pixels.shape)
        np.testing.assert_array_equal(record, pixels)
    cameras = file(picture.convert("RGB"), "MPO", save_all=True, append_images=[picture.convert("RGB")])
    assert form.picture(cameras).shape == pixels.shape


@pytest.mark.parametrize("odd", [True, 256, -1, 1.5, "7", None, [0], 1e999, 10**30])
def test_pixels_that_are_no_bytes_are_named_one_by_one(forms, odd: Any) -> None:
    for shape, place in (((784,), (30,)), ((28, 28), (1, 2)), ((1, 28, 28), (0, 1, 2))):
        pixels = np.zeros(shape, int).tolist()
        line = pixels
        for step in place[:-1]:
            line = line[step]
        line[place[-1]] = odd
        ((field, message),) = refused(forms["image"], body({"pixels": pixels}).replace(b"Infinity", b"1e999"))
        assert field == ".".join(["pixels", *map(str, place)])
        assert "whole number, 0 to 255" in message


@pytest.mark.parametrize(
    "number", ["1", "-0", "0.0", "1e2", "1E-400", "123456789012345678901234567890", "0.1", "5e-324"]
)
def test_numbers_are_the_same_whoever_reads_them(number: str) -> None:
    quickly, usually = (parsed(text.encode()) for text in (f'{{"a": {number}}}', f'{{"a": {number}, "b": ""}}'))
    assert (type(quickly["a"]), repr(quickly["a"])) == (type(usually["a"]), repr(usually["a"]))


@pytest.mark.parametrize("content", ['{"a": NaN}', '{"a": -Infinity}', '{"a": 01}', '{"a": 1} 2', '{"a": [1,]}'])
def test_what_is_no_json_is_refused_whoever_reads_it(content: str) -> None:
    with pytest.raises(Invalid):
        parsed(content.encode())


def moving(form: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    return file(frames[0], form, save_all=True, append_images=frames[1:])


WHOLE = file(Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)), "PNG")
SLOW = file(Image.linear_gradient("L"), "JPEG", progressive=True)
FILES = [
    (png(1, 1_000_000_000), "exceeds limit"),
    (png(1, 100_000_000), "100000000"),
    (png(317, 316), "317 × 316 pixels; a request has 100,000"),
    (png(28, 28), "no picture that can be read"),
    (
        b"BM" + bytes(12) + struct.pack("<IiiHHIIiiII", 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0),
        "exceeds limit",
    ),
    (SLOW[:-2] + SLOW[SLOW.rindex(b"\xff\xda") : -2] * 200 + SLOW[-2:], "more than 200 scans"),
    (WHOLE[:-400], "truncated"),
    (moving("GIF"), "several pictures"),
    (moving("PNG"), "several pictures"),
    (moving("WEBP"), "several pictures"),
    (file(Image.new("L", (8, 8)), "TIFF"), "known format"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "known format"),
    (b"", "known format"),
]


@pytest.mark.parametrize(("content", "message"), FILES)
def test_a_file_that_is_too_large_moving_torn_or_no_picture_is_refused(forms, content, message) -> None:
    with pytest.raises(Invalid) as error:
        forms["image"].picture(content)
    ((named, said),) = refused(forms["image"], body({"image": base64.b64encode(content).decode()}))
    assert error.value.problems == [{"field": "image", "message": said}]
    assert named == "image"
    assert message in said


def test_the_pictures_of_a_request_are_bounded_together(forms) -> None:
    one = {"image": base64.b64encode(png(200, 200, bytes(201 * 200))).decode()}
    assert len(forms["image"].many(body({"records": [one] * 2}))) == 2
    ((field, message),) = refused(forms["image"], body({"records": [one] * 3}), many=True)
    assert (field, "20,000 are left" in message) == ("records.2.image", True), message
    with pytest.raises(Invalid, match="takes no pictures"):
        forms["text"].picture(WHOLE)


def test_labels_that_can_be_right(forms) -> None:
    assert [forms["image"].label(given_) for given_ in ("7", 7, 7.0)] == ["7"] * 3
    assert forms["behaviour"].label(9) == "9"
    assert [float(forms["regression"].label(given_)) for given_ in (12, 0.1, -1e30)] == [12, 0.1, -1e30]
    wrong = [
        ("image", 10, "none of the 10 classes"),
        ("image", True, "none of"),
        ("image", None, "None was given"),
        ("image", float("nan"), "nan was given"),
        ("table", "yess", "Did you mean 'yes'?"),
        ("table", "\ud800", "none of the 2"),
        ("table", ["yes"], "none of the 2"),
        ("behaviour", "6", "none of the 6 items"),
        *(
            ("regression", given_, "a finite number")
            for given_ in ("12", True, None, float("inf"), float("nan"), 10**400)
        ),
    ]
    for kind, label, message in wrong:
        with pytest.raises(Invalid) as error:
            forms[kind].label(label)
        (problem,) = error.value.problems
        assert (problem["field"], message in problem["message"]) == ("label", True), problem


CELLS = {
    "age": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    "city": st.none() | st.booleans() | st.text(max_size=3) | st.sampled_from(["Oslo", "Rome", "?", "TRUE", "1.0"]),
    "class": st.none() | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1, 2, 1.0, "2.0", "1", "one"]),
    "since": st.none() | st.dates().map(str) | st.sampled_from(["31.01.2024", "", "2024-01-31T10:00", "0999-01-01"]),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({}, optional=CELLS), min_size=1, max_size=4))
def test_a_row_is_encoded_as_in_a_file_whatever_comes_with_it(forms, records) -> None:
    form, whole = forms["table"], {name: None for name in COLUMNS}
    good = [one for one in records if not (one.get("since") or "1000") < "1000"] or [whole]
    if len(good) < len(records) and any(one.get("since") for one in records if one not in good):
        assert any(field.endswith("since") for field, _ in refused(form, body({"records": records}), many=True))
    together = form.encoded(form.many(body({"records": good})))
    alone = np.concatenate([encode(form.encoder, [whole | one]) for one in good])
    np.testing.assert_array_equal(together, alone)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5)
    | st.sampled_from(["1", "\ud800", 10**400, "2024-13-01", 0, 255]),
    lambda some: st.lists(some, max_size=4)
    | st.dictionaries(st.sampled_from(["records", "items", "text", "image", "pixels", "age", "city", "\ud800"]), some),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize("kind", [*KINDS, "colour"])
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_whatever_comes_is_a_record_or_invalid(forms, kind: str, data: st.DataObject) -> None:
    form = forms[kind]
    example = data.draw(st.sampled_from(form.examples))
    torn = st.tuples(st.just(body(example)), st.integers(0, 100_000), st.binary(max_size=3)).map(
        lambda parts: parts[0][: parts[1] % len(parts[0])] + parts[2] + parts[0][parts[1] % len(parts[0]) + 1 :]
    )
    wrong = st.tuples(st.sampled_from([*example, "records"]), JSON).map(lambda pair: body(dict([pair])))
    content = data.draw(st.binary(max_size=40) | torn | wrong | JSON.map(body))
    for read in (lambda: [form.one(content)], lambda: form.many(content)):
        rows, problems = tried(lambda read=read: form.encoded(read()))
        assert problems or rows.ndim == 1 + len(form.encoder["shape"])
        assert json.dumps(problems, ensure_ascii=False).encode()


def tried(read: Callable[[], np.ndarray]) -> tuple[np.ndarray | None, list[dict[str, str]]]:
    try:
        return read(), []
    except Invalid as error:
        return None, error.problems


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_torn_file_is_a_picture_or_invalid(forms, data: st.DataObject) -> None:
    whole = data.draw(
        st.sampled_from([file(Image.linear_gradient("L"), form) for form in ("PNG", "JPEG", "GIF", "BMP", "WEBP")])
    )
    places = data.draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=8))
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place, value in places:
        if place < len(content):
            content[place] = value
    rows, problems = tried(lambda: forms["image"].picture(bytes(content)))
    assert [one["field"] for one in problems] == (["image"] if rows is None else [])
    assert rows is None or rows.shape == (1, 28, 28)
