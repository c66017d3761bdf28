"""Tables of records, however a tool wrote them: xlsx, tsv, csv, JSON, JSON lines.

What a file is shows in its content, since names lie: a JSON file of one object a line is as common as a list.
"""

import codecs
import csv
import json
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_c3l.evaluation.benchmarks.cells import short

Row = dict[str, Any]

# Unpacked bytes of a workbook above which it is refused: a few kilobytes can unpack to any size.
_MOST_UNPACKED = 1 << 30
# Rows of a sheet, at most, as Excel has it: a row may state any number, and openpyxl gives all that it skips.
_MOST_ROWS = 1 << 20
# JSON objects that hold the records in one of these; `logs` are lmms-eval's first samples.
_HOLDERS = ("questions", "data", "logs")
# An object with one of these is a record; one without, whose values are all plain, says the answer of each id.
_RECORD_KEYS = {"question_id", "index", "id", "doc_id", "question", "text", "prediction", "answer", "content", "image"}
# csv keeps its limit for the whole process
_LIMIT = threading.Lock()


def read_rows(path: Path) -> list[Row]:
    """All records of a file.

    A JSON object `{id: text}` becomes one record an entry, with `question_id` and `text`.

    Raises:
        OSError: the file cannot be read.
        ValueError: names the file, the line or record, and what is wrong.
    """
    if path.exists() and not path.is_file() and not path.is_dir():  # a folder is an error of the system
        raise ValueError(f"{path}: no regular file; it is read more than once")
    with path.open("rb") as stream:
        start = stream.read(4096)
    opening = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if not opening:
        raise ValueError(f"{path}: the file is empty")
    if start.startswith(b"PK\x03\x04"):
        rows = _workbook(path)
    elif opening[:1] in (b"[", b"{"):
        rows = _json(path)
    else:
        with _naming(path):
            rows = list(_delimited(path))
    if not rows:
        raise ValueError(f"{path}: no record in it")
    return [_plainly_named(row) for row in rows]


def _plainly_named(row: Row) -> Row:
    """The row with its fields in small letters (`Question ID` is `question_id`), as far as no two become one.

    The letters of options stay what they are.
    """
    plain = {name: name if len(name) == 1 else name.strip().lower().replace(" ", "_") for name in row}
    taken = Counter(plain.values())
    return {plain[name] if taken[plain[name]] == 1 else name: value for name, value in row.items()}


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: no UTF-8 text: {error.reason}") from error


def _json(path: Path) -> list[Row]:
    with _naming(path):
        text = path.read_text(encoding="utf-8-sig")
    lines = [(place, line.strip()) for place, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if lines[0][1].startswith("{") and len(lines) > 1 and _is_object(lines[0][1]):
        return [_object(path, f"line {place}", _parsed(path, f"line {place}", line)) for place, line in lines]
    document = _parsed(path, "", text.strip())
    if isinstance(document, dict):
        document = _inside(path, document)
    return [_object(path, f"record {place}", value) for place, value in enumerate(document, start=1)]


def _is_object(line: str) -> bool:
    """Whether a line is a whole object, and not the beginning of a longer one."""
    try:
        return isinstance(json.loads(line.removesuffix(",")), dict)
    except (ValueError, RecursionError):
        return line.endswith(("}", "},"))


def _parsed(path: Path, place: str, text: str) -> Any:
    where = f"{path}, {place}" if place else str(path)
    try:
        return json.loads(text.removesuffix(","), object_pairs_hook=_once)
    except RecursionError:
        raise ValueError(f"{where}: nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{where}: no JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; JSON would silently keep the last of two equal keys."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{short(next(name for name in names if names.count(name) > 1))} is there twice")
    return found


def _inside(path: Path, document: Row) -> list[Any]:
    """Records of a document that is an object."""
    for name in _HOLDERS:
        if isinstance(document.get(name), list):
            # what the document says besides, such as SEED-Bench's names of question types, goes with each record
            shared = {key: value for key, value in document.items() if key != name and isinstance(value, dict)}
            return [{**shared, **one} if isinstance(one, dict) else one for one in document[name]]
    if _RECORD_KEYS & document.keys():
        return [document]
    if all(isinstance(value, str | int | float | None) for value in document.values()):
        return [{"question_id": name, "text": value} for name, value in document.items()]
    raise ValueError(f"{path}: an object that holds no list of records ({' or '.join(_HOLDERS)}) and no answers by id")


def _object(path: Path, place: str, value: Any) -> Row:
    if not isinstance(value, dict):
        raise ValueError(f"{path}, {place}: a record is an object, not {short(value, 40)}")
    return value


def _delimited(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as stream, _LIMIT:
        before = csv.field_size_limit(sys.maxsize)
        try:
            yield from _cells(path, _without_nul(path, stream))
        finally:
            csv.field_size_limit(before)


def _cells(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    first = next(lines)
    # names of columns hold neither tabs nor semicolons; spreadsheets of many countries write semicolons
    delimiter = "\t" if "\t" in first else max(",;", key=first.count)

    def again() -> Iterator[str]:
        yield first
        yield from lines

    reader = csv.reader(again(), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader)]
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(names):
                raise ValueError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells, where the head names {len(names)}"
                )
            yield dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _without_nul(path: Path, lines: Iterator[str]) -> Iterator[str]:
    for place, line in enumerate(lines, start=1):
        if "\0" in line:
            raise ValueError(f"{path}, line {place}: a NUL byte; this is no table in text")
        yield line


def _workbook(path: Path) -> list[Row]:
    from openpyxl import load_workbook  # late: half a second that other files need not wait for

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(one.file_size for one in archive.infolist()) > _MOST_UNPACKED:
                raise ValueError(f"unpacks to more than {_MOST_UNPACKED >> 30} GB")
        with path.open("rb") as stream:  # not by its name, whose ending openpyxl judges
            sheet = load_workbook(stream, read_only=True).worksheets[0]
            sheet.reset_dimensions()  # some writers state a size that is not the sheet's
            return _sheet(sheet.iter_rows(values_only=True))
    except OSError:
        raise
    except Exception as error:  # a broken workbook fails in any layer of it: zip, XML, styles
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: no workbook that can be read: {reason}") from error


def _sheet(lines: Iterator[tuple[Any, ...]]) -> list[Row]:
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
