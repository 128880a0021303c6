"""Names under which MLflow, the folders of its artifacts and its URIs keep data, models and experiments."""

import hashlib
import re
import unicodedata

LONGEST, MENDED = 200, 100  # bytes: an experiment's artifacts lie in a folder of its name, and file systems take 255
PARTS = "_.-"  # besides letters and digits. MLflow's models take no / and :, its filters no quotes, its URIs no @ and #


def a_name(text: str) -> str:
    if not is_name(text):
        raise ValueError(
            "a name is letters and digits of any script, `.`, `-` and `_`, begins with a letter or digit, and has at "
            f"most {LONGEST} bytes; {mend_name(text)!r} is one"
        )
    return text


def is_name(text: str) -> bool:
    whole = unicodedata.normalize("NFC", text) == text and len(text.encode(errors="replace")) <= LONGEST
    return whole and begins(text) and all(map(is_part, text))


def begins(text: str) -> bool:
    return text[:1] not in ("", *PARTS) and unicodedata.category(text[0])[0] in "LN"


def is_part(character: str) -> bool:
    """M: marks that belong to letters, as the vowels of हिन्दी."""
    return character in PARTS or unicodedata.category(character)[0] in "LMN"


def mend_name(text: str) -> str:
    """A name near to `text`, dashes for spaces and signs; where more is lost, a digest keeps it apart from others."""
    text = unicodedata.normalize("NFC", text)
    kept = re.sub("\0+", "-", "".join(each if is_part(each) else "\0" for each in text)).rstrip(PARTS)
    while kept and not begins(kept):
        kept = kept[1:]
    short = kept.encode()[:MENDED].decode(errors="ignore").rstrip(PARTS)
    if short == kept and kept and all(each.isascii() or is_part(each) for each in text):
        return kept
    mark = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]
    return f"{short.encode()[: MENDED - 9].decode(errors='ignore').rstrip(PARTS) or 'data'}-{mark}"
