"""Records to JSON text, and to a table that spreadsheets open."""

import csv
import json
import re
from pathlib import Path

from data_modules.formats.dialects import to_json
from data_modules.formats.record import Record

# What a spreadsheet may run as a formula: `=`, `+`, `-` or `@`, also full-width (U+FF0x, U+FF1D, U+FF20), behind any
# white space, control or invisible characters, which spreadsheets strip; a leading tab or carriage return is enough.
_FORMULA = re.compile(
    r"[\t\r]"
    r"|[\s\x00-\x1f\x7f-\x9f\xad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*[=+@\uff1d\uff0b\uff20\uff0d-]"
)


class JsonText:
    """Writes a JSON list, or one object a line.

    Args:
        path: the file.
        is_list: a list; else lines.
        dialect: how a record looks.
        lossy: write what the dialect cannot hold as near as possible.
    """

    def __init__(self, path: Path, is_list: bool, dialect: str, lossy: bool) -> None:
        self._file, self._dialect, self._lossy = path.open("wb"), dialect, lossy
        self._between, self._end = (b",\n", b"\n]\n") if is_list else (b"\n", b"\n")
        self._start = b"[\n" if is_list else b""
        self._empty = b"[]\n" if is_list else b""

    def write(self, record: Record, number: int) -> None:
        """Adds a record.

        Raises:
            Inexpressible: the dialect cannot hold it.
        """
        self._file.write(self._start + _encoded(to_json(record, self._dialect, self._lossy)))
        self._start, self._empty = self._between, self._end

    def close(self) -> None:
        """Writes the end of the file."""
        with self._file:
            self._file.write(self._empty)


class Cells:
    """Writes a row for each answer: id, images, question, answer.

    Whatever a spreadsheet would run as a formula gets an apostrophe in front.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", errors="replace", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(("id", "images", "question", "answer"))

    def write(self, record: Record, number: int) -> None:
        """Adds the rows of a record; its number is its id where it has none."""
        name, question = record.extra.get("id"), ""
        images = ";".join(picture.name for picture in record.pictures)
        for message in record.messages:
            if message.role == "user":
                question = message.text
            elif message.role == "assistant":
                cells = (str(number if name is None else name), images, question, message.text)
                self._rows.writerow([f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells])

    def close(self) -> None:
        """Writes what is left."""
        self._file.close()


def _encoded(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can only say escaped
        return json.dumps(value, allow_nan=False).encode()
