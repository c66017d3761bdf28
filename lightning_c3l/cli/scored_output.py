"""The scored set: the records of the input with what the processes found, in one pass over both."""

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from data_modules.formats import (
    ImageRef,
    Inexpressible,
    Layout,
    Record,
    WriteOptions,
    open_writer,
    read_layout,
    read_records,
    recorded_root,
)
from data_modules.formats.fields import left_out_members
from data_modules.formats.images import as_file, is_inline
from data_modules.formats.rejected import rejected_list
from data_modules.formats.writers import can_carry_images
from lightning_c3l.cli.scored_sample import AnswerSample, RejectedAnswer, RejectedSample
from lightning_c3l.records import READINGS_AND_RIVAL
from lightning_c3l.report.figures import mean_of
from lightning_c3l.report.progress import track
from lightning_c3l.runs.atomic import write_json_atomic
from lightning_c3l.runs.row_files import Row, RowFiles
from lightning_c3l.selection.reading_ranks import RankSample, ranks_table
from lightning_c3l.selection.scores import SCORES


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
        read_as: as of `read_records`.
    """

    source: str
    out: Path
    images: Path | None
    parts: RowFiles
    made_with: dict[str, Any]
    lossy: bool = False
    read_as: str | None = None


@dataclass
class Tally:
    """Counts and sums of what went by."""

    records: int = 0
    # members of shards' samples that are in no field, by extension
    left_out: Counter[str] = field(default_factory=Counter)
    status: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    # answers that score higher with their own image than with another, ties half
    won: float = 0.0
    ranks: RankSample = field(default_factory=RankSample)
    shown: AnswerSample = field(default_factory=AnswerSample)
    refused: RejectedSample = field(default_factory=RejectedSample)

    @property
    def _columns(self) -> tuple[str, ...]:
        own = [name for name in self.ranks.readings if name not in READINGS_AND_RIVAL]
        return (*READINGS_AND_RIVAL, "mean_logq", *own, "shuffled")

    def add(self, number: int, record: Record, turns: list[Row]) -> None:
        """Count a record, which has a number in its set, and its answers."""
        self.records += 1
        self.left_out.update(left_out_members(record.extra))
        for turn in turns:
            self.status[turn["status"]] += 1
            if turn["status"] == "rejected":
                self.refused.add(RejectedAnswer(number, turn["reason"], record, turn["turn"]))
            if turn["status"] != "scored":
                continue
            self.ranks.add(turn)
            self.shown.add(number, self.records, record, turn)
            for name in self._columns:
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
            "mean": {name: self.sums[name] / self.counts[name] for name in self._columns if self.counts[name]},
            "above_shuffled": self.won / self.counts["shuffled"] if self.counts["shuffled"] else None,
            "ranks": self.ranks.figures(),
        }


def images_folder(out: Path, how: Layout) -> Path | None:
    """Folder beside the output for the images that the set carries and the output cannot; None where none is needed."""
    needs = how.carries_images and not can_carry_images(out) and out.suffix.lower() != ".csv"
    return out.with_suffix(".images") if needs else None


def write_scored(what: Scored) -> dict[str, Any]:
    """Write the set, its `<stem>.meta.json` and `<stem>.rejected.jsonl`.

    Images that the set carries and the output cannot are written to `<stem>.images/`, and the records name them by
    their path from the output's folder.

    Returns:
        The figures, how many lines are `listed` as rejected and the reason of the `first`, the `folder` of the images,
        if any, and `left_out`: how many records have members, by extension, that are in no field; a `sample` of the
        scores, answers that are `shown`, and what was `refused`.

    Raises:
        ValueError: rows are missing, or the format can hold no record at all.
        OSError: a file cannot be written.
    """
    how, rows, first = read_layout(what.source, what.read_as), what.parts.rows(), ""
    tally = Tally(ranks=RankSample(more=what.made_with.get("readings", ())))
    carries, folder = how.carries_images and can_carry_images(what.out), images_folder(what.out, how)
    options = WriteOptions(how.dialect, what.lossy, image_root=what.images, embed=carries)
    with (
        rejected_list(what.out.with_suffix(".rejected.jsonl")) as rejected,
        open_writer(what.out, options) as writer,
    ):
        for entry in track(read_records(what.source, read_as=what.read_as), "write", "records"):
            row = next(rows, None)
            if row is None or row["record"] != entry.number:
                raise ValueError(f"{what.out}: record {entry.number} has no scores yet; run the same command again")
            if entry.record is None:
                rejected.add(entry.number, entry.reason)
                tally.refused.add(RejectedAnswer(entry.number, entry.reason))
                continue
            try:
                record = entry.record if folder is None else _extracted(entry.record, what, folder)
                writer.write(replace(record, extra={**record.extra, SCORES: row["turns"]}), entry.number)
            except Inexpressible as error:
                rejected.add(entry.number, str(error))
                tally.refused.add(RejectedAnswer(entry.number, str(error), entry.record))
                first = first or str(error)
                continue
            tally.add(entry.number, entry.record, row["turns"])
            for turn in row["turns"]:
                if turn["status"] == "rejected":
                    rejected.add(entry.number, turn["reason"], turn=turn["turn"])
        if first and not tally.records:
            raise ValueError(f"{what.out}: no record can be written: {first}; --lossy writes them as near as possible")
    figures = tally.figures()
    root = what.images or "." if folder is None else what.out.parent
    meta = {
        "format": how.dialect,
        "count": tally.records,
        "image_root": what.source if carries else recorded_root(root, what.out),
        "scored_with": what.made_with,
    }
    write_json_atomic(what.out.with_suffix(".meta.json"), {**meta, "figures": figures})
    listed = {"listed": rejected.count, "first": rejected.first}
    kept = {"sample": tally.ranks, "shown": tally.shown, "refused": tally.refused}
    return {**figures, **listed, **kept, "folder": folder, "left_out": tally.left_out}


def _extracted(record: Record, what: Scored, folder: Path) -> Record:
    """The record with its images in files of their own, all named from the output's folder."""
    images = list[ImageRef]()
    for image in record.images:
        if image.data is None and what.images is not None and os.path.isfile(what.images / image.name):
            image = ImageRef(os.path.relpath(what.images / image.name, what.out.parent))
        # a `data:` URL is part of the text
        images.append(image if is_inline(image) else as_file(image, what.out.parent, folder))
    return replace(record, images=tuple(images))


def figures_table(figures: dict[str, Any]) -> RenderableType:
    """What the terminal shows of the figures: counts and means, and how the readings rank the answers."""
    table = Table("of the scored set", "", title=None)
    for name in ("records", "scored", "text_only", "rejected"):
        table.add_row(name if name == "records" else f"answers {name.replace('_', '-')}", str(figures[name]))
    for name, value in figures["mean"].items():
        table.add_row(mean_of(name), f"{value:.4f}")
    if figures["above_shuffled"] is not None:
        table.add_row("answers above their score with another image", f"{figures['above_shuffled']:.3f}")
    return Group(table, ranks_table(figures["ranks"])) if figures["scored"] else table
