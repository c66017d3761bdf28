"""Records to JSON text, and to a table that spreadsheets open."""

import csv
import json
import re
from pathlib import Path

from data_modules.formats.dialects import to_json
from data_modules.formats.record import Record, WriteOptions, trim_at_images

# What a spreadsheet may run as a formula: `=`, `+`, `-` or `@`, also full-width (U+FF0x, U+FF1D, U+FF20), behind any
# white space, control or invisible characters, which spreadsheets strip; a leading tab or carriage return is enough.
_FORMULA = re.compile(
    r"[\t\r]"
    r"|[\s\x00-\x1f\x7f-\x9f\xad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*[=+@\uff1d\uff0b\uff20\uff0d-]"
)


class JsonWriter:
    """Writes a JSON list to `.json`, else one object a line.

    Args:
        path: the file.
        options: dialect of the records.
    """

    carries_images = False

    def __init__(self, path: Path, options: WriteOptions) -> None:
        is_list = path.suffix.lower() == ".json"
        self._file, self._options = path.open("wb"), options
        self._before = b"[\n" if is_list else b""
        self._between, self._end = (b",\n", b"\n]\n") if is_list else (b"\n", b"\n")
        self._empty = b"[]\n" if is_list else b""

    def write(self, record: Record, number: int) -> None:
        """Add a record.

        Raises:
            Inexpressible: the dialect cannot hold it.
        """
        value = to_json(record, self._options.dialect, self._options.lossy)
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:  # half a surrogate pair, which JSON can only say escaped
            text = json.dumps(value, allow_nan=False).encode()
        self._file.write(self._before + text)
        self._before, self._empty = self._between, self._end

    def close(self) -> None:
        """Write the end of the file."""
        with self._file:
            self._file.write(self._empty)


class CsvWriter:
    """Writes a row for each answer: id, images, question, answer.

    Texts stand without their images, and without the white space that sets one apart at an end of its text. Whatever a
    spreadsheet would run as a formula gets an apostrophe in front.

    Args:
        path: the file.
        options: not used.
    """

    carries_images = False

    def __init__(self, path: Path, options: WriteOptions) -> None:
        self._file = path.open("w", encoding="utf-8", errors="replace", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(("id", "images", "question", "answer"))

    def write(self, record: Record, number: int) -> None:
        """Add the rows of a record; its number is its id if it has none."""
        name, question = record.extra.get("id"), ""
        images = ";".join(image.name for image in record.images)
        for message in map(trim_at_images, record.messages):
            if message.role == "user":
                question = message.text
            elif message.role == "assistant":
                cells = (str(number if name is None else name), images, question, message.text)
                self._rows.writerow([f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells])

    def close(self) -> None:
        """Write what is left."""
        self._file.close()
