"""The scored set: the records of the input with what the processes found, in one pass over both."""

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from tqdm import tqdm

from data_modules.formats import Picture, Record, layout, open_writer, read_records
from data_modules.formats.rejected import Rejected, rejected_list
from lightning_c3l.atomic import write_json_atomic
from lightning_c3l.i2c import READINGS
from lightning_c3l.metrics.ranking import auroc
from lightning_c3l.parts import PartFiles, Row

# where a record keeps them: a list with an item for each of the assistant's messages
SCORES = "c3l_scores"
_COLUMNS = (*READINGS, "mean_logp", "mean_logq", "shuffled")


@dataclass(frozen=True)
class Scored:
    """A set whose rows are whole.

    Attributes:
        source: what was read.
        out: what is to be written.
        images: folder that its image paths are relative to.
        parts: the rows.
        made_with: how they were made.
        lossy: write what the format cannot hold as near as possible.
    """

    source: str
    out: Path
    images: Path | None
    parts: PartFiles
    made_with: dict[str, Any]
    lossy: bool = False


@dataclass
class Tally:
    """Counts and columns of what went by, a few bytes for each answer."""

    records: int = 0
    status: Counter[str] = field(default_factory=Counter)
    columns: dict[str, list[np.ndarray[Any, np.dtype[np.float32]]]] = field(
        default_factory=lambda: {name: [] for name in _COLUMNS}
    )

    def add(self, turns: list[Row]) -> None:
        """Count a record's answers."""
        self.records += 1
        self.status.update(turn["status"] for turn in turns)
        scored = [turn for turn in turns if turn["status"] == "scored"]
        for name in _COLUMNS if scored else ():
            values = [math.nan if turn[name] is None else turn[name] for turn in scored]
            self.columns[name].append(np.array(values, np.float32))

    def column(self, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """One reading of all answers; nan where there is none."""
        return np.concatenate(self.columns[name]) if self.columns[name] else np.zeros(0, np.float32)

    def figures(self) -> dict[str, Any]:
        """Counts, means, and how well `answer` tells right images from shuffled ones."""
        table = {name: self.column(name) for name in _COLUMNS}
        found: dict[str, Any] = {
            "records": self.records,
            **{name: self.status[name] for name in ("scored", "text_only", "rejected")},
            "mean": {name: _mean(values) for name, values in table.items()},
        }
        own, other = table["answer"], table["shuffled"][np.isfinite(table["shuffled"])]
        if len(own) and len(other):
            labels = [True] * len(own) + [False] * len(other)
            found["auroc_right_against_shuffled"] = auroc([*own.tolist(), *other.tolist()], labels)
        return found


def write_scored(what: Scored) -> Table:
    """Write the set, its `<stem>.meta.json` and `<stem>.rejected.jsonl`.

    Raises:
        ValueError: rows are missing, or the format cannot hold a record.
        OSError: a file cannot be written.
    """
    how, tally, rows = layout(what.source), Tally(), what.parts.rows()
    carries = how.carries_images and what.out.suffix.lower() in (".tar", ".parquet")
    options: dict[str, Any] = {"image_root": what.images, "embed": carries, "lossy": what.lossy}
    row: Row | None = None
    with (
        rejected_list(what.out.with_suffix(".rejected.jsonl")) as rejected,
        open_writer(what.out, how.dialect, **options) as writer,
    ):
        for entry in tqdm(read_records(what.source), desc="write", unit="record", delay=1):
            row = next(rows, None)
            if row is None or row["record"] != entry.number:
                raise ValueError(f"{what.out}: record {entry.number} has no scores yet; run the same command again")
            if entry.record is None:
                rejected.add(entry.number, entry.reason)
                continue
            tally.add(row["turns"])
            _reject(rejected, entry.number, row["turns"])
            record = entry.record if carries else _without_files(entry.record)
            extra = {**record.extra, SCORES: row["turns"]}
            writer.write(replace(record, extra=extra), entry.number)
    figures = tally.figures()
    root = what.source if how.carries_images else str(what.images or ".")
    meta = {"format": how.dialect, "count": tally.records, "image_root": root, "scored_with": what.made_with}
    write_json_atomic(what.out.with_suffix(".meta.json"), {**meta, "figures": figures})
    return _table(figures, rejected.count)


def _reject(rejected: Rejected, number: int, turns: list[Row]) -> None:
    for turn in turns:
        if turn["status"] == "rejected":
            rejected.add(number, turn["reason"], turn=turn["turn"])


def _without_files(record: Record) -> Record:
    """The pictures by name alone; those of `data:` URLs are part of the text."""
    names = tuple(one if one.name.startswith("data:") else Picture(one.name) for one in record.pictures)
    return replace(record, pictures=names)


def _mean(values: "np.ndarray[Any, np.dtype[np.float32]]") -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype=np.float64)) if len(finite) else None


def _table(figures: dict[str, Any], listed: int) -> Table:
    table = Table("of the scored set", "", title=None)
    for name in ("records", "scored", "text_only", "rejected"):
        table.add_row(name if name == "records" else f"answers {name.replace('_', '-')}", str(figures[name]))
    table.add_row("listed as rejected", str(listed))
    for name, value in figures["mean"].items():
        if value is not None:
            table.add_row(f"mean {name}", f"{value:.4f}")
    if "auroc_right_against_shuffled" in figures:
        table.add_row("AUROC, right image against shuffled", f"{figures['auroc_right_against_shuffled']:.3f}")
    return table
