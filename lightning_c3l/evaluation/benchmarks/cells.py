"""Values as tables of all kinds hold them, made one: text, ids, letters, hashes."""

import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Length of the name of a version of the questions.
_DIGEST_LENGTH = 16
# the first number that an int64 cannot hold
_TOO_LARGE = 1 << 63
_WHOLE = re.compile(r"(-?\d+)\.0+")


def text_of(value: Any) -> str:
    """A cell as text: nothing, not-a-number and the word `nan` are empty, and 3.0 is `3`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return "" if text.strip() in ("nan", "NaN") else text


def id_of(value: Any) -> str:
    """An id as text; spreadsheets turn 241 into 241.0."""
    text = text_of(value).strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def whole_of(text: str) -> int | None:
    """The whole number that an id is, None where it is none or too large for 64 bits."""
    number = int(text) if text.isdecimal() and len(text) < 20 else _TOO_LARGE
    return number if number < _TOO_LARGE else None


def letter_of(value: Any) -> str:
    """The letter of an option in capitals, empty where the cell holds none."""
    text = text_of(value).strip().upper()
    return text if len(text) == 1 and "A" <= text <= "Z" else ""


def plain(text: str) -> str:
    """A text without differences in white space, for comparisons."""
    return " ".join(text.split())


def file_hash(paths: Sequence[Path]) -> str:
    """SHA-256 of the bytes of all files together, in hexadecimal digits.

    Raises:
        OSError: a file cannot be read.
    """
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                total.update(chunk)
    return total.hexdigest()


def version_of(paths: Sequence[Path]) -> str:
    """Name of a version of the questions: the first digits of `file_hash`."""
    return file_hash(paths)[:_DIGEST_LENGTH]


def short(text: object, limit: int = 80) -> str:
    """A text from outside in one quoted line, for messages."""
    line = plain("".join(letter if letter.isprintable() else " " for letter in str(text)))
    return repr(line if len(line) <= limit else line[: limit - 1] + "\u2026")
