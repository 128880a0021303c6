"""A picture file → the pixels that a net takes: bounded, turned upright, of 8 bits, on one ground, resized.

Preprocess, predict and serve read by this one path. What an encoder knows of it: `shape`, and `background`, the colour
on which transparent pictures are laid. One that was made without a background shows the colour beneath, as it learned.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.project.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

MOST_PIXELS = 89_478_485  # Pillow's own bound, a quarter of a gigabyte in three colours; a file of 1 MB may claim more
MOST_SIDE = 65_535  # a JPEG's longest; Pillow keeps a pointer for each line, however short
UNREADABLE = "no picture that can be read"


def read(source: bytes | Path, encoder: dict[str, Any], name: str = "") -> np.ndarray:
    """The content of a picture file, or its path → uint8 (C, H, W), as upright() has it; DataError begins with `name`.

    Of an animation or a file of several pictures the first is taken.
    """
    with opened(source, name) as picture:
        return upright(picture, encoder)


@contextmanager
def opened(source: bytes | Path, name: str = "") -> Iterator["Image.Image"]:
    """The picture by its header, nothing decoded yet; what can't be read, here or inside, is a DataError."""
    from PIL import Image, UnidentifiedImageError

    keep_quiet()
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            require_modest(picture)
            yield picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = int(re.findall(r"\d+", str(error))[0])
        raise DataError(f"{name}{UNREADABLE}: {too_large(f'{pixels:,} pixels')}") from None
    except Exception as error:  # noqa: BLE001 - Pillow's decoders meet foreign bytes with errors of any type
        reason = "of no known kind" if isinstance(error, UnidentifiedImageError) else str(error) or repr(error)
        raise DataError(f"{name}{UNREADABLE}: {reason}") from None


def keep_quiet() -> None:
    """Pillow only warns of a picture that is too large, and warns of much that it then reads well."""
    from PIL import Image

    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def require_modest(picture: "Image.Image") -> None:
    width, height = picture.size
    if max(width, height) > MOST_SIDE or width * height > MOST_PIXELS:
        raise ValueError(too_large(f"{width:,} × {height:,} pixels"))


def too_large(given: str) -> str:
    return f"it has {given}; {MOST_SIDE:,} on a side and {MOST_PIXELS:,} in all are allowed"


def upright(picture: "Image.Image", encoder: dict[str, Any]) -> np.ndarray:
    """uint8 (C, H, W): turned as its file says, grey or RGB, resized. `picture` itself may be changed."""
    from PIL import Image, ImageOps

    channels, height, width = encoder["shape"]
    size = (width, height)
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        picture = of_8_bits(picture)
    if encoder.get("background") is not None and picture.has_transparency_data:
        picture = laid_on(picture, tuple(encoder["background"]), size)
    if picture.mode == "LAB":  # Pillow knows no way from it to grey
        picture = picture.convert("RGB")
    plain = picture.convert("L" if channels == 1 else "RGB")
    if plain.size != size:
        plain = plain.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(plain).reshape(height, width, channels).transpose(2, 0, 1)


def laid_on(picture: "Image.Image", background: tuple[int, ...], size: tuple[int, int]) -> "Image.Image":
    """RGB of `size`; resized first, which Pillow does without the colour beneath, for that takes the least memory."""
    from PIL import Image

    clear = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    if clear.size != size:
        clear = clear.resize(size, Image.Resampling.BILINEAR)
    return Image.alpha_composite(Image.new("RGBA", size, (*background, 255)), clear).convert("RGB")


def of_8_bits(picture: "Image.Image") -> "Image.Image":
    """Grey of more bits, scaled by its depth; Pillow clips it: all above 255 were white. With its transparent value."""
    from PIL import Image

    values = np.asarray(picture)
    shallow = of_floats(values) if picture.mode == "F" else values >> (depth(picture, values) - 8)
    grey = Image.fromarray(shallow.astype(np.uint8))
    if isinstance(clear := picture.info.get("transparency"), int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def depth(picture: "Image.Image", values: np.ndarray) -> int:
    """Bits of a shade. Whole numbers of 32 bits are taken for the least depth that holds them, of 8 and 16 bits."""
    if picture.mode != "I":
        bits = getattr(picture, "tag_v2", {}).get(258, 16)  # TIFF's BitsPerSample: a camera's 12 too
        return bits[0] if isinstance(bits, tuple) else bits
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65_535:
        raise ValueError(
            f"its shades are whole numbers from {low:,} to {high:,}; 0 to 65,535 are allowed. Save it with 8 or 16 bits"
        )
    return 16 if high > 255 or picture.format == "PPM" else 8  # Pillow scales a PGM to 16 bits


def of_floats(values: np.ndarray) -> np.ndarray:
    """0 to 1, or else 0 to 255."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 255):  # NaN neither
        raise ValueError(
            f"its shades are floats from {low:g} to {high:g}; 0 to 1, or 0 to 255 are allowed. "
            "Save it with 8 or 16 bits"
        )
    return np.rint(values * (255 if high <= 1 else 1))
