"""Takes e-mail addresses and phone numbers out of what is kept.

Both are known by how they are written. What is spelled out ("anna at example dot org") stays, and so does a bare run
of digits that no word such as "tel" announces: it may be any number.
"""

import json
import re
from typing import Any

EMAIL, PHONE = "[e-mail]", "[phone]"

# First in scripts that part words by spaces, then in any: Chinese would take the sentence before the address along
SPACED = r"0-9A-Za-z_\u00c0-\u0dff\u1e00-\u1fff-"
ADDRESSES = [
    re.compile(rf"(?<![{name}])[{name}]++[@＠](?:[{host}]+\.)+[{host}]+")
    for name, host in ((rf"{SPACED}.!#$%&'*+/=?^`{{|}}~", SPACED), (r'^\s@＠<>()\[\],;:"', r"\w-"))
]

BETWEEN = r"[ \u00a0\u2007\u2009\u202f\u2010-\u2015.-]"  # two groups of digits
GAP = rf"(?:{BETWEEN}|[/()]){{0,3}}"
DATE = r"(?:(?:\d{1,2}[./-]){2}(?:(?:19|20)\d\d(?!\d)|\d\d(?![\d./-]))|\d{4}-\d\d-\d\d)"
WORD = r"(?:tel|tlf|tele(?:f|ph)o\w*|(?:cell)?phone\w*|mob|mobile?|mobiltelefon|handy|cell|call|ring|fax|whatsapp|sms)"
ALONE = r"(?<![\w$€£¥]-)(?<!\d[.,:/])(?<![\w+$€£¥])"
CURRENCY = r"\s?(?:[%€$£¥]|(?:kr|nok|sek|dkk|eur|usd|gbp|euro|dollars?)\b)"
PRICE = rf"\(?\+?\d{{1,3}}(?:[ .,\u00a0\u202f]\d{{3}})*{CURRENCY}"
LAYOUTS = [  # what may stand before it, then the number; all counts are bounded, so that long texts take linear time
    (r"(?<![\w+])", rf"(?!{PRICE})\(?(?:\+|00[ -]|00(?=\d+[ -]))\(?[1-9](?:{GAP}\d){{7,14}}"),  # E.164 allows 15 digits
    (
        rf"(?<!\[)\b{WORD}\b\W{{0,3}}(?:[^\W\d]+\W{{1,3}}){{0,3}}",
        rf"(?!{PRICE})\(?(?!{DATE})\d(?:{GAP}\d){{6,14}}",
    ),
    # with the 0 of long distance
    (ALONE, rf"(?=(?:{GAP}\d){{8}})\(?0\d{{1,5}}\)?[ ./-]{{1,3}}(?:\d{{6,8}}|\d{{3,5}}(?:[ -]\d{{2,4}}){{0,3}})"),
    (rf"(?<!\d\d{BETWEEN}){ALONE}", r"0\d(?P<gap>[ .-])\d\d(?:(?P=gap)\d\d){3}(?!(?P=gap)\d)"),  # France
    (ALONE, r"(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])\d{3}[ .-]\d{4}"),  # North America
    (ALONE, r"\(\d{2,5}\)[ -]?\d{3,5}[ -]\d{3,5}"),  # (11) 91234-5678
    (rf"(?<!\d\d{BETWEEN}){ALONE}", rf"(?:\d{{3}} \d\d \d{{3}}|\d\d(?: \d\d){{3}})(?!{BETWEEN}\d)"),  # Norway, Denmark
    (ALONE, r"(?:1[3-9]\d[ -]\d{4}[ -]\d{4}|[6-9]\d{4}[ -]\d{5})"),  # China, India: mobile
]
NUMBERS = [
    re.compile(rf"(?P<before>{before}){number}(?!\w|[.,:/-]\d)(?!{CURRENCY})", re.IGNORECASE)
    for before, number in LAYOUTS
]


def scrubbed(text: str) -> str:
    """Dates, prices, ids and plain numbers stay."""
    for pattern in ADDRESSES:
        text = pattern.sub(EMAIL, text)
    for pattern in NUMBERS:
        text = pattern.sub(rf"\g<before>{PHONE}", text)
    return text


def scrubbed_record(record: bytes) -> bytes:
    """Of a record as UTF-8 JSON, every string but the names of fields."""
    value = walked(json.loads(record))
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def walked(value: Any) -> Any:
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, list):
        return [walked(one) for one in value]
    if isinstance(value, dict):
        return {name: walked(one) for name, one in value.items()}
    return value
