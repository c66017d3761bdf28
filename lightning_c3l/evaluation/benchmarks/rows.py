"""Tables of records from xlsx, tsv, csv, JSON and JSON lines, and their cells as text, ids and letters.

The content decides how a file is read, not its name: a JSON file with one object a line is as common as a list.
"""

import codecs
import csv
import json
import math
import re
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

Row = dict[str, Any]

# Unpacked bytes of a workbook above which it is refused: a few kilobytes can unpack to any size.
_MOST_UNPACKED = 1 << 30
# Rows of a sheet, at most, as in Excel: a row may state any number, and openpyxl yields all that it skips.
_MOST_ROWS = 1 << 20
# JSON objects that hold the records in one of these; `logs` are lmms-eval's first samples.
_HOLDERS = ("questions", "data", "logs")
# An object with one of these is a record; one without, whose values are all scalars, maps ids to answers.
_RECORD_KEYS = {"question_id", "index", "id", "doc_id", "question", "text", "prediction", "answer", "content", "image"}
# csv keeps its limit for the whole process
_CSV_LIMIT = threading.Lock()
# the first number that an int64 cannot hold
_TOO_LARGE = 1 << 63
_INTEGER = re.compile(r"(-?\d+)\.0+")


def read_rows(path: Path) -> list[Row]:
    """Read all records of a file.

    A JSON object `{id: text}` becomes one record an entry, with `question_id` and `text`. Field names are lowercased
    (`Question ID` becomes `question_id`) where that keeps them apart; one-letter names of options stay as they are.

    Raises:
        OSError: the file cannot be read.
        ValueError: names the file, the line or record, and what is wrong.
    """
    if path.exists() and not path.is_file() and not path.is_dir():  # opening a folder raises OSError
        raise ValueError(f"{path}: not a regular file; it must be read more than once")
    with path.open("rb") as stream:
        start = stream.read(4096)
    opening = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if not opening:
        raise ValueError(f"{path}: the file is empty")
    try:
        if start.startswith(b"PK\x03\x04"):
            rows = _read_workbook(path)
        else:
            rows = _read_json(path) if opening[:1] in (b"[", b"{") else _read_delimited(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text: {error.reason}") from error
    if not rows:
        raise ValueError(f"{path}: no record in it")
    named = []
    for row in rows:
        plain = {name: name if len(name) == 1 else name.strip().lower().replace(" ", "_") for name in row}
        uses = Counter(plain.values())
        named.append({plain[name] if uses[plain[name]] == 1 else name: value for name, value in row.items()})
    return named


def cell_text(value: Any) -> str:
    """A cell as text: None, not-a-number and the word `nan` are empty, and 3.0 is `3`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return "" if text.strip() in ("nan", "NaN") else text


def cell_id(value: Any) -> str:
    """An id as text; spreadsheets turn 241 into 241.0."""
    text = cell_text(value).strip()
    integer = _INTEGER.fullmatch(text)
    return integer[1] if integer else text


def parse_index(text: str) -> int | None:
    """The whole number in an id, None if it is none or too large for 64 bits."""
    number = int(text) if text.isdecimal() and len(text) < 20 else _TOO_LARGE
    return number if number < _TOO_LARGE else None


def cell_letter(value: Any) -> str:
    """The capital letter of an option, empty if the cell holds none."""
    text = cell_text(value).strip().upper()
    return text if len(text) == 1 and "A" <= text <= "Z" else ""


def collapse_spaces(text: str) -> str:
    """A text with single spaces, for comparisons."""
    return " ".join(text.split())


def quoted(text: object, limit: int = 80) -> str:
    """A text from outside as one quoted line, for messages."""
    line = collapse_spaces("".join(letter if letter.isprintable() else " " for letter in str(text)))
    return repr(line if len(line) <= limit else line[: limit - 1] + "\u2026")


def _read_json(path: Path) -> list[Row]:
    text = path.read_text(encoding="utf-8-sig")
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if lines[0][1].startswith("{") and len(lines) > 1 and _is_object(lines[0][1]):
        values = [(f"line {number}", _parse_json(f"{path}, line {number}", line)) for number, line in lines]
    else:
        document = _parse_json(str(path), text.strip())
        records = _records_in(path, document) if isinstance(document, dict) else document
        values = [(f"record {number}", value) for number, value in enumerate(records, start=1)]
    for where, value in values:
        if not isinstance(value, dict):
            raise ValueError(f"{path}, {where}: a record must be an object, not {quoted(value, 40)}")
    return [value for _, value in values]


def _is_object(line: str) -> bool:
    """Whether a line is a whole object, and not the beginning of a longer one."""
    try:
        return isinstance(json.loads(line.removesuffix(",")), dict)
    except (ValueError, RecursionError):
        return line.endswith(("}", "},"))


def _parse_json(where: str, text: str) -> Any:
    try:
        return json.loads(text.removesuffix(","), object_pairs_hook=_unique_keys)
    except RecursionError:
        raise ValueError(f"{where}: nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{where}: not valid JSON: {error}") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; json would silently keep the last of two equal keys."""
    if repeated := [name for name, uses in Counter(name for name, _ in pairs).items() if uses > 1]:
        raise ValueError(f"the key {quoted(repeated[0])} is used twice")
    return dict(pairs)


def _records_in(path: Path, document: Row) -> list[Any]:
    for name in _HOLDERS:
        if isinstance(document.get(name), list):
            # other objects of the document, such as SEED-Bench's names of question types, go with each record
            shared = {key: value for key, value in document.items() if key != name and isinstance(value, dict)}
            return [{**shared, **one} if isinstance(one, dict) else one for one in document[name]]
    if _RECORD_KEYS & document.keys():
        return [document]
    if all(isinstance(value, str | int | float | None) for value in document.values()):
        return [{"question_id": name, "text": value} for name, value in document.items()]
    raise ValueError(f"{path}: an object without a list of records ({' or '.join(_HOLDERS)}) and without answers by id")


def _read_delimited(path: Path) -> list[Row]:
    rows = []
    with path.open(encoding="utf-8-sig", newline="") as stream, _CSV_LIMIT:
        first = next(stream)

        def lines() -> Iterator[str]:
            for number, line in enumerate(chain([first], stream), start=1):
                if "\0" in line:
                    raise ValueError(f"{path}, line {number}: a NUL byte, so this is not a text table")
                yield line

        # column names contain neither tabs nor semicolons; spreadsheets of many countries write semicolons
        reader = csv.reader(lines(), delimiter="\t" if "\t" in first else max(",;", key=first.count), strict=True)
        before = csv.field_size_limit(sys.maxsize)
        try:
            names = [name.strip() for name in next(reader)]
            for cells in filter(None, reader):
                where = f"{path}, line {reader.line_num}"
                if len(cells) != len(names):
                    raise ValueError(f"{where}: {len(cells)} cells, but the header has {len(names)}")
                rows.append(dict(zip(names, cells, strict=True)))
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
        finally:
            csv.field_size_limit(before)
    return rows


def _read_workbook(path: Path) -> list[Row]:
    from openpyxl import load_workbook  # imported late: it takes half a second

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(one.file_size for one in archive.infolist()) > _MOST_UNPACKED:
                raise ValueError(f"unpacks to more than {_MOST_UNPACKED >> 30} GB")
        with path.open("rb") as stream:  # not by its name, whose suffix openpyxl checks
            sheet = load_workbook(stream, read_only=True).worksheets[0]
            sheet.reset_dimensions()  # some writers state a size that is not the sheet's
            lines = sheet.iter_rows(values_only=True)
            names = next(lines, ())
            rows = []
            for number, cells in enumerate(lines, start=2):
                if number > _MOST_ROWS:
                    raise ValueError(f"more than {_MOST_ROWS} rows")
                padded = (*cells, *[None] * (len(names) - len(cells)))  # trailing empty cells are not stored
                row = {str(name).strip(): cell for name, cell in zip(names, padded, strict=False) if name is not None}
                if any(cell is not None for cell in row.values()):
                    rows.append(row)
            return rows
    except OSError:
        raise
    except Exception as error:  # a broken workbook fails in any of its layers: zip, XML, styles
        reason = collapse_spaces(str(error)) or type(error).__name__
        raise ValueError(f"{path}: not a readable workbook: {reason}") from error
