"""`select`: a chosen part of a scored set, with a data card, and a random control beside it."""

import json
import os
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from braceexpand import braceexpand
from rich.console import Console

from data_modules.formats import (
    Entry,
    Inexpressible,
    Layout,
    Record,
    WriteOptions,
    image_root,
    named_root,
    open_writer,
    read_layout,
    read_records,
    recorded_root,
)
from data_modules.formats.writers import WRITABLE
from lightning_c3l.cli.options import parse_options
from lightning_c3l.cli.scored_input import beside, read_columns, read_meta
from lightning_c3l.cli.set_sentences import DroppedCount, require_sentences, supported_part
from lightning_c3l.distributed.program import program
from lightning_c3l.report.progress import stage
from lightning_c3l.runs.atomic import atomic_path, require_writable, write_json_atomic
from lightning_c3l.selection.card import CardFacts, steps_table, write_card
from lightning_c3l.selection.columns import Mask
from lightning_c3l.selection.control import random_control
from lightning_c3l.selection.plan import Selection, SelectionPlan, select_records
from lightning_c3l.selection.scores import Turns, require_reading

_BESIDE = (".meta.json", ".card.md", ".card.svg", ".left_out.jsonl", ".html")
# a table to look at is no selection
_WRITABLE = tuple(kind for kind in WRITABLE if kind != ".csv")


@dataclass(frozen=True)
class SelectOptions:
    """Write the part of a scored set that the rules keep; nothing is scored again.

    Example:
        c3l select scored.jsonl best.json --exact-duplicates --top-fraction 0.5 --random-control random.json

    Attributes:
        source: set that `score` wrote: .json, .jsonl, .parquet, or shards.
        out: file to write: .json, .jsonl, .parquet or .tar.
        by: reading that is the score of an answer: `answer`, `positions`, `vocabulary`, `gap`, `mean_logp`, or one of
            your own, `module.function`, by which the set was scored.
        turns: score of a record with several answers: their `mean`, weighted by tokens, or the lowest (`min`).
        unit: `sentence` leaves out the sentences of an answer that the image does not support; needs `score --unit
            sentence`.
        random_control: file for a random set of equal size, kinds and lengths.
        seed: seed of the random control.
        left_out: write a file that says why each other record was left out.
        no_page: leave out the page about the selection.
        plan: the rules.
    """

    source: str
    out: Path
    by: str = "answer"
    turns: Turns = "mean"
    unit: Literal["answer", "sentence"] = "answer"
    random_control: Path | None = None
    seed: int = 0
    left_out: bool = False
    no_page: bool = False
    plan: SelectionPlan = field(default_factory=SelectionPlan)

    def __post_init__(self) -> None:
        """Check the name of the reading."""
        require_reading("--by", self.by)


def main(arguments: list[str]) -> int:
    """Run the verb `select`; returns its exit status."""
    options = parse_options("select", SelectOptions, arguments)
    # late: a wrong option need not wait for jinja2
    from lightning_c3l.cli.select_page import shown_positions, write_page

    form = read_layout(options.source)
    _check_paths(options, form)
    meta = read_meta(options.source)
    if options.unit == "sentence":
        require_sentences(options.source, meta)
    columns, model = read_columns(options.source, options.by, options.turns, options.plan, options.unit == "sentence")
    try:
        selection = select_records(columns, options.plan)
    except ValueError as error:
        raise ValueError(f"{options.source}: {error}") from error
    control = None
    if options.random_control:
        scored = selection.chosen & columns.scored
        drawn = random_control(columns, selection.eligible, scored, options.seed)
        # text-only records stand beside both, so that the two sets differ in the selection alone
        control = drawn | (selection.chosen & ~scored)
    shown = {} if options.no_page else shown_positions(columns, selection)
    dropped = DroppedCount()
    records = _write_records(options, form, selection, control, shown, dropped)
    facts = CardFacts(
        name=options.out.name,
        source=Path(options.source).name,
        columns=columns,
        selection=selection,
        control=control,
        of_control=False,
        by=options.by,
        turns=options.turns,
        scored_with=meta.get("scored_with") or model,
        command=shlex.join([*program(), "select", *arguments]),
        seed=options.seed,
        notes=(str(dropped),) if options.unit == "sentence" else (),
    )
    # images that are not carried stay where they are, wherever the selection goes
    root = None if form.carries_images else named_root(options.source) or Path(options.source).parent
    _write_beside(options.out, facts, meta, root)
    if options.random_control:
        facts_of_control = replace(facts, name=options.random_control.name, of_control=True)
        _write_beside(options.random_control, facts_of_control, meta, root)
    if not options.no_page:
        write_page(options, facts, shown, records)
    _report(options, facts)
    return 0


def _check_paths(options: SelectOptions, form: Layout) -> None:
    """Before anything is read: every file has a name of its own, and its format can be written."""
    sources = braceexpand(options.source) if form.container == "tar" else [options.source]
    taken = {os.path.realpath(path): path for source in sources for path in (source, beside(source, _BESIDE[0]))}
    for out in filter(None, (options.out, options.random_control)):
        if out.suffix.lower() not in _WRITABLE:
            raise ValueError(f"{out}: cannot be written; known are {', '.join(_WRITABLE)}")
        require_writable(out)
        if form.carries_images and form.container in ("parquet", "tar") and out.suffix.lower() in _WRITABLE[:2]:
            raise ValueError(f"{out}: {options.source} carries its images; give a .parquet or .tar file")
        for path in (out, *(beside(out, end) for end in _BESIDE)):
            if (other := taken.setdefault(os.path.realpath(path), path)) is not path:
                raise ValueError(f"{path}: would be written over {other}; give {out} another name")


def _write_records(
    options: SelectOptions,
    form: Layout,
    selection: Selection,
    control: Mask | None,
    shown: Collection[int],
    dropped: DroppedCount,
) -> dict[int, Record]:
    """The second pass: the selection, its control, and why the others were left out.

    Args:
        options: of the verb.
        form: of the set.
        selection: what is chosen.
        control: what is drawn at random.
        shown: positions of the records that are returned.
        dropped: counts the sentences that the chosen records have lost.

    Returns:
        The records at the positions that are shown.
    """
    how = WriteOptions(form.dialect, image_root=image_root(options.source), embed=form.carries_images)
    masks = [selection.chosen] if control is None else [selection.chosen, control]
    outs = [options.out] if options.random_control is None else [options.out, options.random_control]
    wanted = np.ones_like(selection.chosen) if options.left_out else np.logical_or.reduce(masks)
    wanted[list(shown)] = True
    records = dict[int, Record]()
    with ExitStack() as files:
        writers = [files.enter_context(open_writer(path, how)) for path in outs]
        left_out = None
        if options.left_out:
            path = files.enter_context(atomic_path(beside(options.out, ".left_out.jsonl")))
            left_out = files.enter_context(path.open("w", encoding="utf-8"))
        for position, entry in _second_pass(options.source, wanted):
            if entry.record is not None and options.unit == "sentence":
                entry = replace(entry, record=supported_part(entry.record))
            if position in shown and entry.record is not None:
                records[position] = entry.record
            why = selection.why(position)
            for writer, mask, out in zip(writers, masks, outs, strict=True):
                if not mask[position] or entry.record is None:
                    continue
                try:
                    writer.write(entry.record, entry.number)
                    if mask is selection.chosen:
                        dropped.add(entry.record)
                except Inexpressible as error:
                    mask[position] = False
                    print(f"{out}: record {entry.number} cannot be written: {error}", file=sys.stderr)
                    why = f"cannot be written: {error}" if mask is selection.chosen else why
            if left_out and not selection.chosen[position]:
                name = entry.record.extra.get("id") if entry.record is not None else None
                reason = f"{why}: {entry.reason}" if entry.record is None else why
                left_out.write(json.dumps({"record": entry.number, "id": name, "reason": reason}) + "\n")
        if not selection.chosen.any():
            raise ValueError(f"{options.out}: none of the chosen records can be written in this format")
    return records


def _second_pass(source: str, wanted: Mask) -> Iterator[tuple[int, Entry]]:
    seen = 0
    records = read_records(source, lambda number: number <= len(wanted) and bool(wanted[number - 1]))
    with stage("write", "records", int(wanted.sum())) as progress:
        for entry in records:
            # broken records come whether they are wanted or not
            if entry.number <= len(wanted) and wanted[entry.number - 1]:
                yield entry.number - 1, entry
                seen += 1
                progress.update()
    if seen != wanted.sum():
        raise ValueError(f"{source}: has changed while it was read; run it again")


def _write_beside(out: Path, facts: CardFacts, meta: Mapping[str, Any], root: Path | None) -> None:
    selected: dict[str, Any] = {
        "from": facts.source,
        "by": facts.by,
        "turns": facts.turns,
        "rules": [{"rule": step.rule, "kept": step.kept, "fell": step.fell} for step in facts.selection.steps],
    }
    if facts.of_control:
        selected |= {"random_control": True, "seed": facts.seed}
    if root is not None:
        meta = {**meta, "image_root": recorded_root(root, out)}
    write_json_atomic(beside(out, ".meta.json"), {**meta, "count": int(facts.written.sum()), "selected": selected})
    write_card(out, facts)


def _report(options: SelectOptions, facts: CardFacts) -> None:
    Console().print(steps_table(facts.selection))
    if facts.selection.yes_no:
        print(facts.selection.yes_no)
    texts = int((facts.selection.chosen & ~facts.columns.scored).sum())
    also = f", {texts:,} of them text-only" if texts else ""
    total = f"{len(facts.selection.chosen):,} records"
    print(f"{int(facts.selection.chosen.sum()):,} of {total} in {options.out}{also}")
    if facts.control is not None:
        print(f"{int(facts.control.sum()):,} of {total} in {options.random_control}, drawn at random")
    page = "" if options.no_page else f", {beside(options.out, '.html')}"
    for note in facts.notes:
        print(note)
    print(f"about them: {beside(options.out, '.card.md')}{page}")
