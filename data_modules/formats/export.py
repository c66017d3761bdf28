"""The written data set to files: LLaVA's format, and a flat table."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_modules.formats.images import recorded_root
from data_modules.formats.messages import PLACEHOLDER
from lightning_c3l.functional.finite import jsonable
from lightning_c3l.records import VLITRecord
from lightning_c3l.runs.atomic import atomic_path, write_json_atomic, write_text_atomic

_READINGS = ("answer", "positions", "vocabulary", "gap", "mean_logp", "mean_logq")
_TEXTS = ("id", "image", "question", "answer", "kind")
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXTS]
    + [(f"score_{name}", pa.float64()) for name in _READINGS]
    + [("tokens", pa.int64()), ("provenance", pa.string())]
)


def write_llava_json(path: str | Path, records: Iterable[VLITRecord], image_root: str) -> None:
    """Write the data set in LLaVA's format, and beside it `<stem>.meta.json`.

    The list stays bare, as other tools expect it: what it does not hold (count, image root) is in the second file, and
    each record's kind, scores and provenance are under a key of ours, `c3l`, which other tools ignore.

    Args:
        path: the JSON file.
        records: the kept pairs.
        image_root: folder that the records' image paths are relative to.

    Raises:
        ValueError: a text holds the placeholder `<image>`, which every trainer would take for a second image.
        OSError: a file cannot be written.
    """
    lines = []
    for record in records:
        if PLACEHOLDER in record.question or PLACEHOLDER in record.answer:
            raise ValueError(f"record {record.id}: its text holds the placeholder {PLACEHOLDER}")
        question = {"from": "human", "value": f"{PLACEHOLDER}\n{record.question}"}
        noted = {"scores": jsonable(asdict(record.scores)), "provenance": jsonable(record.provenance)}
        value = {
            "id": record.id,
            "image": record.image,
            "conversations": [question, {"from": "gpt", "value": record.answer}],
            "c3l": {"kind": record.kind, **noted},
        }
        lines.append(json.dumps(value, allow_nan=False, default=str))
    write_text_atomic(path, "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n")
    meta = {"format": "llava", "count": len(lines), "image_root": recorded_root(image_root, path)}
    write_json_atomic(Path(path).with_suffix(".meta.json"), meta)


def write_parquet(path: str | Path, records: Iterable[VLITRecord]) -> None:
    """Write the data set as a flat table; no record gives an empty table with the same columns.

    Columns: id, image, question, answer, kind, score_<reading>, tokens, provenance (a JSON text).

    Raises:
        OSError: the file cannot be written.
    """
    rows = []
    for record in records:
        scores = asdict(record.scores)
        # a file name need not be UTF-8, which Parquet's texts are
        row = {name: getattr(record, name).encode("utf-8", "backslashreplace").decode() for name in _TEXTS}
        row |= {f"score_{name}": scores[name] for name in _READINGS}
        provenance = json.dumps(jsonable(record.provenance), allow_nan=False, default=str)
        rows.append(row | {"tokens": record.scores.tokens, "provenance": provenance})
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
