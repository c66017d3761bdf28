"""The scored set: the records of the input with what the processes found, in one pass over both."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.table import Table
from tqdm import tqdm

from data_modules.formats import Picture, Record, layout, open_writer, read_records
from data_modules.formats.rejected import Rejected, rejected_list
from lightning_c3l.atomic import write_json_atomic
from lightning_c3l.curation.scores import SCORES
from lightning_c3l.parts import PartFiles, Row
from lightning_c3l.records import READINGS_AND_RIVAL

_COLUMNS = (*READINGS_AND_RIVAL, "mean_logq", "shuffled")


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
    """Counts and sums of what went by."""

    records: int = 0
    status: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    # answers that score higher with their own image than with another, ties half
    won: float = 0.0

    def add(self, turns: list[Row]) -> None:
        """Count a record's answers."""
        self.records += 1
        for turn in turns:
            self.status[turn["status"]] += 1
            if turn["status"] != "scored":
                continue
            for name in _COLUMNS:
                if turn[name] is not None:
                    self.sums[name] += turn[name]
                    self.counts[name] += 1
            if turn["shuffled"] is not None:
                self.won += (turn["answer"] > turn["shuffled"]) + 0.5 * (turn["answer"] == turn["shuffled"])

    def figures(self) -> dict[str, Any]:
        """Counts, means, and how often an answer owes more to its own image than to another."""
        return {
            "records": self.records,
            **{name: self.status[name] for name in ("scored", "text_only", "rejected")},
            "mean": {name: self.sums[name] / self.counts[name] for name in _COLUMNS if self.counts[name]},
            "above_shuffled": self.won / self.counts["shuffled"] if self.counts["shuffled"] else None,
        }


def write_scored(what: Scored) -> dict[str, Any]:
    """Write the set, its `<stem>.meta.json` and `<stem>.rejected.jsonl`.

    Returns:
        The figures, and how many lines are `listed` as rejected.

    Raises:
        ValueError: rows are missing, or the format cannot hold a record.
        OSError: a file cannot be written.
    """
    how, tally, rows = layout(what.source), Tally(), what.parts.rows()
    carries = how.carries_images and what.out.suffix.lower() in (".tar", ".parquet")
    options: dict[str, Any] = {"image_root": what.images, "embed": carries, "lossy": what.lossy}
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
    return {**figures, "listed": rejected.count}


def _reject(rejected: Rejected, number: int, turns: list[Row]) -> None:
    for turn in turns:
        if turn["status"] == "rejected":
            rejected.add(number, turn["reason"], turn=turn["turn"])


def _without_files(record: Record) -> Record:
    """The pictures by name alone; those of `data:` URLs are part of the text."""
    names = tuple(one if one.name.startswith("data:") else Picture(one.name) for one in record.pictures)
    return replace(record, pictures=names)


def figures_table(figures: dict[str, Any]) -> Table:
    """What the terminal shows of the figures."""
    table = Table("of the scored set", "", title=None)
    for name in ("records", "scored", "text_only", "rejected"):
        table.add_row(name if name == "records" else f"answers {name.replace('_', '-')}", str(figures[name]))
    for name, value in figures["mean"].items():
        table.add_row(f"mean {name}", f"{value:.4f}")
    if figures["above_shuffled"] is not None:
        table.add_row("answers above their score with another image", f"{figures['above_shuffled']:.3f}")
    return table
