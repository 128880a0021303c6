"""Pictures as people send them: files, bounded before they are decoded, or their pixels as numbers."""

import base64
import binascii
import io
import math
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import ConfigDict, Field, WithJsonSchema, create_model

from pipeline.kinds.bodies import LARGE, STRICT, Invalid, Limits, checked, each, given, invalid, joined
from pipeline.kinds.image import encoder as encoding
from pipeline.kinds.image.picture import keep_quiet, upright
from pipeline.kinds.input import Input

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
FILE = f"the base64 of a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file, or a data: URL of one"
URL = re.compile(r"data:[\w.+/-]*;base64,", re.ASCII)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A scan of a progressive JPEG goes over the whole picture, in 45 bytes at the least; cameras write about ten
SCAN, SCANS = b"\xff\xda", 200
QUICK = 1 << 14  # pixels that are read in about a millisecond
NUMBERS, BYTES = frozenset({int, float}), frozenset(range(256))


class Pictures(Input):
    """A record is uint8 (C, H, W)."""

    page = "picture"
    uploads = True

    def __init__(self, encoder: dict[str, Any], raw: list[Any], limits: Limits):
        self.encoder, self.shape = encoder, tuple(encoder["shape"])
        self.pixels, self.side = limits.pixels, limits.side
        self.forms = {len(form): form for form in encoding.forms(self.shape)}
        self.examples = [self.asked(np.asarray(one, np.uint8).reshape(self.shape)) for one in raw]
        schema = {"anyOf": [rectangle(form) for form in self.forms.values()]}
        self.schema = create_model(
            "Record",
            __config__=STRICT | ConfigDict(json_schema_extra=self.either),
            image=(str, Field(None, description=FILE)),
            pixels=(
                Annotated[list[Any], WithJsonSchema(schema)],
                Field(None, description=encoding.allowed(self.shape)),
            ),
        )

    def either(self, schema: dict[str, Any]) -> None:
        for field in schema["properties"].values():
            field.pop("default")  # there is none: one of the two is given
        schema["oneOf"] = [{"required": [name]} for name in schema["properties"]]
        schema["examples"] = self.examples

    def records(self, values: list[Any], places: list[str], quick: bool = False) -> list[np.ndarray]:
        """All of a request's pictures together may have as many pixels as one, QUICK ones at most if it is to be so."""
        left = most = min(self.pixels, QUICK if quick else self.pixels)

        def read(value: Any, place: str) -> np.ndarray:
            nonlocal left
            asked = checked(self.schema, value, place, self.unknown)
            if len(asked) != 1:
                raise invalid(joined(place, "image"), f"{len(asked)} pictures were given; it needs image or pixels")
            if "pixels" in asked:
                return self.of_pixels(asked["pixels"], joined(place, "pixels"))
            field = joined(place, "image")
            content = decoded(asked["image"], field)
            record, size = self.of_file(content, left, most, field)
            left -= size
            return record

        return each(read, values, places)

    def picture(self, content: bytes) -> np.ndarray:
        """Of the content of a file."""
        return self.of_file(content, self.pixels, self.pixels, "image")[0]

    def of_file(self, content: bytes, left: int, pixels: int, field: str) -> tuple[np.ndarray, int]:
        """The record, and how many pixels the file has: `left` at most, of the request's `pixels`."""
        size, fault = 0, "the file is no picture of a known format"
        keep_quiet()
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                require_modest_sides(picture, self.side, field)
                require_modest(picture, content, left, pixels, field)
                size, fault = math.prod(picture.size), "no picture that can be read"
                return upright(picture, self.encoder), size
        except Invalid:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise invalid(field, f"{error}; allowed are {pixels:,} pixels (serving.pixels)", LARGE) from None
        except Exception as error:  # Pillow's decoders meet foreign bytes with errors of any type
            raise invalid(field, f"{fault}{f': {error}' if size else ''}; it needs {FILE}") from error

    def of_pixels(self, pixels: list[Any], field: str) -> np.ndarray:
        first: Any = pixels
        depth = 0
        while isinstance(first, list) and depth <= len(self.shape):
            depth, first = depth + 1, first[0] if first else None
        if depth not in self.forms:
            raise invalid(field, f"{given(pixels)}; it needs {encoding.allowed(self.shape)}")
        if (content := packed(pixels, self.forms[depth])) is not None:
            return np.frombuffer(content, np.uint8).reshape(self.shape)
        for place, message in odd(pixels, self.forms[depth], field):
            raise invalid(place, message)
        return np.array(pixels, np.uint8).reshape(self.shape)  # 7.0 is a whole number as well

    def unknown(self, key: str) -> str:
        return "a picture has no such key; it needs image or pixels"

    def asked(self, record: np.ndarray) -> dict[str, str]:
        return {"image": "data:image/png;base64," + base64.b64encode(self.stored(record, record)).decode()}

    def stored(self, record: np.ndarray, row: np.ndarray) -> bytes:
        """A PNG of `row` (C, H, W); by Pillow it took 13 times as long, a tenth of a request."""
        channels, height, width = row.shape
        lines = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with its filter: none
        lines[:, 1:] = row.transpose(1, 2, 0).reshape(height, -1)
        head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)  # 8 bits, grey or RGB
        data = zlib.compress(lines.tobytes(), 1)
        return SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    """Of a PNG: length, kind, content, checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def rectangle(form: tuple[int, ...]) -> dict[str, Any]:
    """The JSON schema of nested lists of this shape."""
    schema: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 255}
    for length in reversed(form):
        schema = {"type": "array", "items": schema, "minItems": length, "maxItems": length}
    return schema


def packed(pixels: list[Any], form: tuple[int, ...]) -> bytes | None:
    """Nested lists of this shape, and of bytes as whole numbers alone; None for all else. Half the time of odd()."""
    flat = pixels
    for length in form[1:]:
        if {*map(type, flat)} != {list} or {*map(len, flat)} != {length}:
            return None
        flat = [*chain.from_iterable(flat)]
    if {*map(type, flat)} != {int} or len(flat) != math.prod(form):
        return None
    with suppress(ValueError):  # out of range
        return bytes(flat)
    return None


def odd(value: Any, form: tuple[int, ...], field: str) -> Iterator[tuple[str, str]]:
    """Where nested lists are not of this shape, or no bytes: (field, message)."""
    if not isinstance(value, list):
        yield field, f"{given(value)}; it needs a list of {form[0]}"
    elif len(value) != form[0]:
        yield field, f"a list of {len(value)} was given; it needs {form[0]}"
    elif len(form) > 1:
        for place, one in enumerate(value):
            yield from odd(one, form[1:], f"{field}.{place}")
    elif not (NUMBERS.issuperset(map(type, value)) and BYTES.issuperset(value)):
        place = next(place for place, one in enumerate(value) if type(one) not in NUMBERS or one not in BYTES)
        yield f"{field}.{place}", f"{given(value[place])}; it needs a whole number, 0 to 255"


def decoded(text: str, field: str) -> bytes:
    start = URL.match(text)
    try:
        return base64.b64decode(text[start.end() :] if start else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(field, f"{given(text)}, which is not base64: {error}; it needs {FILE}") from None


def require_modest_sides(picture: Image.Image, side: int, field: str) -> None:
    """Invalid for a strip, which takes many times the memory of its pixels while it is resized."""
    width, height = picture.size
    if max(width, height) > side:
        allowed = f"a side may have {side:,} (serving.side)"
        raise invalid(field, f"the picture has {width:,} × {height:,} pixels; {allowed}", LARGE)


def require_modest(picture: Image.Image, content: bytes, left: int, pixels: int, field: str) -> None:
    """Invalid where the file's header alone says too much; nothing is decoded yet."""
    width, height = picture.size
    if width * height > left:
        room = "" if left == pixels else f", of which {left:,} are left"
        allowed = f"a request has {pixels:,}{room} (serving.pixels)"
        raise invalid(field, f"the picture has {width:,} × {height:,} pixels; {allowed}", LARGE)
    if picture.format in ("JPEG", "MPO") and content.count(SCAN) > SCANS:
        raise invalid(field, f"the JPEG has more than {SCANS} scans; save it anew")
    if picture.format != "MPO" and getattr(picture, "is_animated", False):  # MPO: of a camera, the picture first
        raise invalid(field, "the file holds several pictures; give one of them")
