"""A person's own pictures: how files are decoded, what init says of a folder, what preprocess sets apart and holds."""

import io
import shutil
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from pipeline.config.data import ImagesData
from pipeline.datasets import images
from pipeline.kinds.bodies import Limits
from pipeline.kinds.encoding import encode
from pipeline.kinds.image import picture
from pipeline.kinds.image.input import Pictures
from pipeline.models import network
from pipeline.models.bundle import Bundle
from pipeline.own_data import image_settings
from pipeline.project.errors import DataError
from pipeline.store.splits import Prepared, counts
from tests.conftest import REPOSITORY

SHADES = np.arange(256, dtype=np.uint8).reshape(16, 16)
WHITE = {"kind": "image", "shape": [3, 16, 16], "background": [255, 255, 255]}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def saved(image: Image.Image, form: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def png(width: int, height: int) -> bytes:
    """Of one grey, small however large it says to be."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * min(1 << 20, (1 + width) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff12(shades: np.ndarray) -> bytes:
    """12 bits for a shade, as cameras of microscopes write: two shades in three bytes, in one strip."""
    one, two = (shades.astype(np.uint16) * 16).reshape(-1, 2).T
    packed = np.stack([one >> 4, (one & 15) << 4 | two >> 8, two & 255], axis=1).astype(np.uint8).tobytes()
    height, width = shades.shape
    entries = [(256, width), (257, height), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, height)]
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*entries, (279, len(packed))])
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + struct.pack("<H", 9) + tags + b"\0\0\0\0"


DEPTHS = {
    "8 bits": lambda: saved(Image.fromarray(SHADES), "PNG"),
    "16 bits, PNG": lambda: saved(Image.fromarray(SHADES.astype(np.uint16) * 257), "PNG"),
    "16 bits, TIFF": lambda: saved(Image.fromarray(SHADES.astype(np.uint16) * 257), "TIFF"),
    "16 bits, big end first": lambda: saved(
        Image.frombytes("I;16B", (16, 16), (SHADES.astype(np.uint16) * 257).astype(">u2").tobytes()), "TIFF"
    ),
    "16 bits, PGM": lambda: b"P5 16 16 65535\n" + (SHADES.astype(np.uint16) * 257).astype(">u2").tobytes(),
    "12 bits, TIFF": lambda: tiff12(SHADES),
    "32 bits that hold 16": lambda: saved(Image.fromarray(SHADES.astype(np.int32) * 257), "TIFF"),
    "32 bits that hold 8": lambda: saved(Image.fromarray(SHADES.astype(np.int32)), "TIFF"),
    "floats from 0 to 1": lambda: saved(Image.fromarray((SHADES / 255).astype(np.float32)), "TIFF"),
    "floats from 0 to 255": lambda: saved(Image.fromarray(SHADES.astype(np.float32)), "TIFF"),
    "CMYK": lambda: saved(Image.fromarray(SHADES).convert("CMYK"), "TIFF"),
    "palette": lambda: saved(Image.fromarray(SHADES).convert("P"), "PNG"),
    "WebP": lambda: saved(Image.fromarray(SHADES), "WEBP", lossless=True),
    "the first of an animation": lambda: saved(
        Image.fromarray(SHADES), "GIF", save_all=True, append_images=[Image.fromarray(255 - SHADES)]
    ),
    "the first page": lambda: saved(
        Image.fromarray(SHADES), "TIFF", save_all=True, append_images=[Image.fromarray(255 - SHADES)]
    ),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("how", DEPTHS)
def test_a_picture_reads_alike_whatever_its_depth_and_form(how: str, channels: int) -> None:
    for background in ([255, 255, 255], None):  # None: of an encoder that was made without one
        encoder = {"kind": "image", "shape": [channels, 16, 16], "background": background}
        (read,) = encode(encoder, [DEPTHS[how]()])
        np.testing.assert_array_equal(read, np.broadcast_to(SHADES, (channels, 16, 16)))


def test_black_and_white_and_lab_have_a_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = {"shape": [1, 16, 16], "background": [0, 0, 0]}
    assert set(np.unique(picture.read(saved(Image.fromarray(SHADES > 127), "PNG"), grey))) == {0, 255}
    lab = Image.merge("LAB", [Image.fromarray(SHADES), *[Image.new("L", (16, 16), 128)] * 2])
    assert np.abs(picture.read(saved(lab, "TIFF"), grey)[0].astype(int) - SHADES).max() < 12


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: saved(Image.fromarray(SHADES - np.float32(9)), "TIFF"), "floats from -9 to 246; 0 to 1, or 0 to 255"),
        (lambda: saved(Image.fromarray(np.where(SHADES, SHADES, np.float32("nan"))), "TIFF"), "floats from nan"),
        (lambda: saved(Image.fromarray(SHADES.astype(np.int32) << 16), "TIFF"), "whole numbers from 0 to 16,711,680"),
        (lambda: png(14_000, 14_000), "it has 196,000,000 pixels; 65,535 on a side and 89,478,485 in all are allowed"),
        (lambda: png(9_500, 9_500), "it has 90,250,000 pixels"),
        (lambda: png(1, 25_000_000), "it has 1 × 25,000,000 pixels; 65,535 on a side"),
        (lambda: DEPTHS["16 bits, TIFF"]()[:200], ""),
        (lambda: b"", "of no known kind"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_reason_before_it_fills_the_memory(
    content: Callable[[], bytes], reason: str
) -> None:
    given = content()
    tracemalloc.start()
    with pytest.raises(DataError, match=f"record 1: no picture that can be read: .*{reason}"):
        encode(WHITE, [DEPTHS["8 bits"](), given])
    assert tracemalloc.get_traced_memory()[1] < 30 << 20
    tracemalloc.stop()


def subject(mode: str) -> Image.Image:
    """A dark square on a transparent ground whose colour beneath is black."""
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[4:12, 4:12] = [20, 20, 20, 255]
    image = Image.fromarray(pixels)
    return image.quantize(8) if mode == "P" else image.convert(mode)


TRANSPARENT = {
    "RGBA": lambda: saved(subject("RGBA"), "PNG"),
    "grey and alpha": lambda: saved(subject("LA"), "PNG"),
    "palette with alphas": lambda: saved(subject("P"), "PNG"),
    "palette with a clear colour": lambda: saved(subject("RGBA"), "GIF"),
    "WebP": lambda: saved(subject("RGBA"), "WEBP", lossless=True),
    "a clear colour": lambda: saved(subject("RGB"), "PNG", transparency=(0, 0, 0)),
    "a clear shade": lambda: saved(subject("L"), "PNG", transparency=0),
    "a clear shade of 16 bits": lambda: saved(
        Image.fromarray(np.asarray(subject("L")).astype(np.uint16) * 257), "PNG", transparency=0
    ),
}


@pytest.mark.parametrize("how", TRANSPARENT)
def test_what_is_transparent_lies_on_the_colour_of_the_encoder_and_nothing_else_is_said(how: str) -> None:
    content, inside = TRANSPARENT[how](), np.zeros((16, 16), bool)
    inside[4:12, 4:12] = True
    for background, shade in (([255, 255, 255], 255), ([90, 90, 90], 90), (None, 0)):
        for channels in (1, 3):
            encoder = {"kind": "image", "shape": [channels, 16, 16], "background": background}
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                (read,) = encode(encoder, [content])
            assert not said
            assert (read[:, inside] == 20).all()
            assert (read[:, ~inside] == shade).all(), f"{how} on {background}"


def test_a_service_sees_what_the_net_learned() -> None:
    encoder = WHITE | {"task": "classification", "labels": ["a", "b"], "shape": [3, 12, 12]}
    form = Pictures(encoder, [], Limits(records=10, characters=1000, pixels=1_000_000, side=10_000))
    for content in (TRANSPARENT["RGBA"](), TRANSPARENT["palette with alphas"](), DEPTHS["16 bits, PNG"]()):
        np.testing.assert_array_equal(form.picture(content), picture.read(content, encoder))
        assert form.picture(content).mean() < 230


def lay(folder: Path, classes: dict[str, int], side: int = 16) -> Path:
    """Different pictures: CLASS/NUMBER.png."""
    chance = np.random.default_rng(0)
    for name, number in classes.items():
        (folder / name).mkdir(parents=True)
        for place in range(number):
            pixels = chance.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{place:02}.png")
    return folder


def prepared(folder: Path, params: dict[str, Any]) -> Prepared:
    data = yaml.safe_load((REPOSITORY / "conf/data/images.yaml").read_text(encoding="utf-8"))
    given = ImagesData.model_validate(data | params["data"] | {"prepare": data["prepare"] | params["data"]["prepare"]})
    return images.prepare(folder, SimpleNamespace(data=given))


def odd(folder: Path) -> Path:
    """23 usable pictures of 32 files."""
    lay(folder, {"cat": 12, "dog": 11, "owl": 2})
    for name in ("a", "b", "c", "d"):
        shutil.copy(folder / "cat/00.png", folder / f"cat/{name}.png")
    shutil.copy(folder / "cat/01.png", folder / "dog/zz.png")
    Image.open(folder / "dog/02.png").save(folder / "dog/again.bmp")  # the same pixels in other bytes
    (folder / "dog/torn.png").write_bytes((folder / "dog/00.png").read_bytes()[:300])
    (folder / "dog/huge.png").write_bytes(png(14_000, 14_000))
    (folder / "notes.txt").write_text("which camera?")
    return folder


def test_after_init_preprocess_goes_on_and_both_say_what_was_set_apart(tmp_path: Path) -> None:
    folder = odd(tmp_path / "pets")
    proposed = image_settings.of_images(folder, "pets")
    for said in (
        "pets: 34 files = 23 pictures + 11 set apart",
        "5 × the same picture as another, such as",
        "1 × the same picture as one of another class\n      dog/zz.png: the same picture as cat/01.png",
        "2 × no picture that can be read",
        "dog/huge.png: no picture that can be read: it has 196,000,000 pixels; 65,535 on a side and",
        "2 × of a class of fewer than 3 pictures\n      owl/00.png: its class has 2 usable pictures; 3 are needed",
        "1 × in no class folder\n      notes.txt: it lies in no class folder",
        "data.prepare.max_quarantined is set to 0.3236 in params.yaml",
    ):
        assert said in proposed.shown, f"{said!r} is not in\n{proposed.shown}"
    done = prepared(folder, proposed.params)
    assert counts(done.splits) == {"in": 34, "kept": 23, "quarantined": 11}
    assert done.encoder["labels"] == ["cat", "dog"]
    assert done.encoder["background"] == [255, 255, 255]
    del proposed.params["data"]["prepare"]["max_quarantined"]
    with pytest.raises(DataError, match=r"11 of 34 rows \(32.35%\)") as refused:
        prepared(folder, proposed.params)
    assert "5 × the same picture as another, such as\n      cat/a.png: the same picture as cat/00.png" in str(
        refused.value
    )
    assert "set data.prepare.max_quarantined to 0.3236 in params.yaml" in str(refused.value)


def test_every_row_is_the_picture_of_its_file(tmp_path: Path) -> None:
    folder = odd(tmp_path / "pets")
    proposed = image_settings.of_images(folder, "pets")
    done = prepared(folder, proposed.params)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for split in done.splits.values():
        for row, target, inputs in zip(split.rows, split.targets, split.inputs, strict=True):
            assert files[row].parent.name == done.encoder["labels"][target]
            np.testing.assert_array_equal(inputs, picture.read(files[row], done.encoder))
    rows = np.concatenate([split.rows for split in done.splits.values()])
    assert len(set(rows.tolist())) == 23


@pytest.mark.parametrize(
    ("side", "size", "words"),
    [
        (
            188,
            [64, 64],
            ["188×188 in the median", "resized to 64×64, in colour", "data: {prepare: {size: [128, 128]}}"],
        ),
        (40, [40, 40], ["40×40 in the median", "resized to 40×40"]),
    ],
)
def test_init_says_the_size_and_why(tmp_path: Path, side: int, size: list[int], words: list[str]) -> None:
    proposed = image_settings.of_images(lay(tmp_path / "pets", {"cat": 3, "dog": 4}, side), "pets")
    assert proposed.params["data"]["prepare"] == {"size": size, "channels": 3}
    assert all(word in proposed.shown for word in ["sizes: 7 pictures looked at", *words])
    assert ("at most 64 pixels a side" in proposed.shown) == (side > 64)
    assert "set apart:" not in proposed.shown


def test_init_says_that_it_met_transparent_and_deep_pictures(tmp_path: Path) -> None:
    folder = lay(tmp_path / "pets", {"cat": 4, "dog": 4})
    (folder / "cat/clear.png").write_bytes(TRANSPARENT["palette with alphas"]())
    (folder / "cat/deep.png").write_bytes(DEPTHS["16 bits, PNG"]())
    shown = image_settings.of_images(folder, "pets").shown
    assert "1 pictures have transparent parts, or room for them: they are laid on white" in shown
    assert "1 pictures have more than 8 bits for a shade: they are scaled to 8 by their depth" in shown
    assert prepared(folder, {"data": {"source": source(folder), "prepare": {"background": [0, 0, 0]}}}).encoder[
        "background"
    ] == [0, 0, 0]


def source(folder: Path) -> dict[str, Any]:
    return {"folder": str(folder), "files": 1, "sha256": "0" * 64}


def test_of_many_pictures_a_sample_is_decoded_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay(tmp_path / "pets", {"cat": 20, "dog": 20})
    shutil.copy(folder / "cat/00.png", folder / "dog/zz.png")  # known by the sums of the files
    monkeypatch.setattr(image_settings, "DECODED", 10 * 16 * 16)
    proposed = image_settings.of_images(folder, "pets")
    assert "only 10 of 41 files were looked at to the last pixel: preprocess may find more" in proposed.shown
    assert "1 × the same picture as one of another class" in proposed.shown
    monkeypatch.setattr(image_settings, "LOOKED_AT", 10)
    assert "10 of 41 pictures looked at" in image_settings.of_images(folder, "pets").shown


def test_two_classes_of_three_usable_pictures_are_needed(tmp_path: Path) -> None:
    folder = lay(tmp_path / "pets", {"cat": 5, "dog": 2})
    (folder / "dog/notes.txt").write_text("no picture")
    with pytest.raises(
        DataError, match=r"at least 3 usable pictures for each of 2 classes.*found cat: 5, dog: 3"
    ) as init:
        image_settings.of_images(folder, "pets")
    assert "its class has 2 usable pictures; 3 are needed" in str(init.value)
    with pytest.raises(DataError, match="has 1 classes of 3 usable pictures or more"):
        prepared(folder, {"data": {"source": source(folder), "prepare": {"size": [16, 16]}}})


def test_preprocess_holds_the_pixels_once(tmp_path: Path) -> None:
    folder = lay(tmp_path / "pets", {"cat": 100, "dog": 100}, 16)
    params = {"data": {"source": source(folder), "prepare": {"size": [224, 224]}}}
    copy = 200 * 3 * 224 * 224
    tracemalloc.start()
    prepared(folder, params)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * copy


def test_large_pictures_go_through_a_net_by_their_bytes() -> None:
    seen: list[int] = []

    class Net(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            seen.append(inputs.nbytes // 4)
            return inputs.flatten(1)[:, :2]

    encoder = {"task": "classification", "labels": ["a", "b"]}
    whole = network.Network(Net(), {"multiply": 1.0, "add": 0.0}, False)
    bundle = Bundle(whole, {"encoder": encoder, "data_fingerprint": ""})
    inputs = torch.randint(0, 256, (100, 3, 224, 224), dtype=torch.uint8)
    torch.testing.assert_close(bundle.outputs(inputs), inputs.flatten(1)[:, :2].float())
    assert max(seen) <= network.AT_ONCE
    assert network.rows_at_once(inputs, 500) == 27
    assert network.rows_at_once(torch.zeros(9, 1, 28, 28, dtype=torch.uint8), 2000) == 2000
    assert network.rows_at_once(inputs[:0], 500) == 500
