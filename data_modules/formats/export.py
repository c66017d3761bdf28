"""The written data set to files, record by record: LLaVA's format, and a flat table."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_modules.formats.images import recorded_root
from data_modules.formats.messages import PLACEHOLDER
from lightning_c3l.functional.finite import jsonable
from lightning_c3l.records import READINGS_AND_RIVAL, VLITRecord
from lightning_c3l.runs.atomic import atomic_path, write_json_atomic

# columns of a table without a record
_NO_SCORES = [f"score_{name}" for name in (*READINGS_AND_RIVAL, "mean_logq")]
_TEXTS = ("id", "image", "question", "answer", "kind")
# rows of the table that wait in memory
_MOST_ROWS = 8192
Write = Callable[[VLITRecord], None]


def write_llava_json(path: str | Path, records: Iterable[VLITRecord], image_root: str) -> None:
    """Write the data set in LLaVA's format; see `llava_json`."""
    with llava_json(path, image_root) as write:
        for record in records:
            write(record)


@contextmanager
def llava_json(path: str | Path, image_root: str) -> Iterator[Write]:
    """Open a data set in LLaVA's format, and beside it `<stem>.meta.json`; both are there when the block ends well.

    The list stays bare, as other tools expect it: what it does not hold (count, image root) is in the second file, and
    each record's kind, scores and provenance are under a key of ours, `c3l`, which other tools ignore.

    Args:
        path: the JSON file.
        image_root: folder that the records' image paths are relative to.

    Yields:
        Writes a kept pair. It raises ValueError for a text with the placeholder `<image>`, which every trainer would
        take for a second image.

    Raises:
        OSError: a file cannot be written.
    """
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii", newline="") as file:

        def write(record: VLITRecord) -> None:
            nonlocal count
            file.write((",\n" if count else "[\n") + _llava_line(record))
            count += 1

        yield write
        file.write("\n]\n" if count else "[]\n")
    meta = {"format": "llava", "count": count, "image_root": recorded_root(image_root, path)}
    write_json_atomic(Path(path).with_suffix(".meta.json"), meta)


@contextmanager
def parquet_table(path: str | Path) -> Iterator[Write]:
    """Open a data set as a flat table, which is there when the block ends well; without a record it has no row.

    Columns: id, image, question, answer, kind, score_<reading>, tokens, provenance (a JSON text).

    Yields:
        Writes a kept pair.

    Raises:
        OSError: the file cannot be written.
    """
    rows = list[dict[str, Any]]()
    with atomic_path(path) as temporary, ExitStack() as files:
        file: Any = None

        def flush() -> None:
            nonlocal file
            if file is None:
                # the first record tells which readings there are
                file = files.enter_context(pq.ParquetWriter(temporary, _schema(rows[0] if rows else _NO_SCORES)))
            file.write_table(pa.Table.from_pylist(rows, schema=file.schema))
            rows.clear()

        def write(record: VLITRecord) -> None:
            rows.append(_table_row(record))
            if len(rows) >= _MOST_ROWS:
                flush()

        yield write
        flush()


def _schema(columns: Iterable[str]) -> Any:
    return pa.schema(
        [(name, pa.string()) for name in _TEXTS]
        + [(name, pa.float64()) for name in columns if name.startswith("score_")]
        + [("tokens", pa.int64()), ("provenance", pa.string())]
    )


def _llava_line(record: VLITRecord) -> str:
    if PLACEHOLDER in record.question or PLACEHOLDER in record.answer:
        raise ValueError(f"record {record.id}: its text holds the placeholder {PLACEHOLDER}")
    question = {"from": "human", "value": f"{PLACEHOLDER}\n{record.question}"}
    noted = {"scores": jsonable(record.scores.to_row()), "provenance": jsonable(record.provenance)}
    value = {
        "id": record.id,
        "image": record.image,
        "conversations": [question, {"from": "gpt", "value": record.answer}],
        "c3l": {"kind": record.kind, **noted},
    }
    return json.dumps(value, allow_nan=False, default=str)


def _table_row(record: VLITRecord) -> dict[str, Any]:
    scores = record.scores.to_row()
    del scores["tokens"]
    # a file name need not be UTF-8, which Parquet's texts are
    row = {name: getattr(record, name).encode("utf-8", "backslashreplace").decode() for name in _TEXTS}
    row |= {f"score_{name}": value for name, value in scores.items()}
    provenance = json.dumps(jsonable(record.provenance), allow_nan=False, default=str)
    return row | {"tokens": record.scores.tokens, "provenance": provenance}
