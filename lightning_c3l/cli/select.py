"""`select`: a chosen part of a scored set, with a data card, and a random control beside it."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from braceexpand import braceexpand
from rich.console import Console
from tqdm import tqdm

from data_modules.formats import (
    Entry,
    Inexpressible,
    Layout,
    image_root,
    layout,
    named_root,
    open_writer,
    read_records,
    recorded_root,
)
from data_modules.formats.writers import WRITABLE
from lightning_c3l.cli.options import VerbParser
from lightning_c3l.cli.scored_input import beside, read_columns, read_meta
from lightning_c3l.records import READINGS_AND_RIVAL
from lightning_c3l.runs.atomic import atomic_path, require_writable, write_json_atomic, write_text_atomic
from lightning_c3l.selection.card import CardFacts, data_card, scores_chart
from lightning_c3l.selection.columns import Mask
from lightning_c3l.selection.control import random_control
from lightning_c3l.selection.plan import Selection, SelectionPlan, select_records
from lightning_c3l.selection.terminal import steps_table

_BESIDE = (".meta.json", ".card.md", ".card.svg", ".left_out.jsonl")
# a table to look at is no selection
_WRITABLE = tuple(kind for kind in WRITABLE if kind != ".csv")


def main(arguments: list[str]) -> int:
    """Write the part of a scored set that the rules keep; nothing is scored again."""
    options = _parser().parse_args(arguments)
    plan = _plan(options)
    form = layout(options.source)
    _check_paths(options, form)
    meta = read_meta(options.source)
    columns, model = read_columns(options.source, options.by, options.turns, plan)
    try:
        selection = select_records(columns, plan)
    except ValueError as error:
        raise ValueError(f"{options.source}: {error}") from error
    control = None
    if options.random_control:
        scored = selection.chosen & columns.scored
        drawn = random_control(columns, selection.eligible, scored, options.seed)
        # text-only records stand beside both, so that the two sets differ in the selection alone
        control = drawn | (selection.chosen & ~scored)
    _write_records(options, form, meta, selection, control)
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
        command=shlex.join(["python", "-m", "lightning_c3l", "select", *arguments]),
        seed=options.seed,
    )
    # images that are not carried stay where they are, wherever the selection goes
    root = None if form.carries_images else named_root(options.source) or Path(options.source).parent
    _write_beside(options.out, facts, meta, root)
    if options.random_control:
        facts_of_control = replace(facts, name=options.random_control.name, of_control=True)
        _write_beside(options.random_control, facts_of_control, meta, root)
    _report(options, facts)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = VerbParser("select", main.__doc__)
    parser.add_argument("source", metavar="IN", help="scored set: .json, .jsonl, .parquet, or shards")
    parser.add_argument("out", metavar="OUT", type=Path, help=f"file to write: {', '.join(_WRITABLE)}")
    score = parser.add_argument_group("score of a record")
    score.add_argument("--by", choices=READINGS_AND_RIVAL, default="answer", help="the reading to go by")
    score.add_argument("--turns", choices=("mean", "min"), default="mean", help="of the turns: by tokens, or the worst")
    rules = parser.add_argument_group("rules, applied in this order")
    rules.add_argument("--exact-duplicates", action="store_true", help="keep the best of those with the same texts")
    rules.add_argument("--near-duplicates", type=float, metavar="T", help="and of those whose word pairs overlap by T")
    rules.add_argument("--duplicates-over", choices=("images", "set"), default="images", help="who is compared")
    rules.add_argument("--min-score", type=float, metavar="X", help="drop what scores less, in nats a token")
    rules.add_argument("--per-image", type=int, metavar="N", help="the best N of each image")
    rules.add_argument("--per-kind", type=int, metavar="N", help="the best N of each kind of question")
    rules.add_argument("--top-k", type=int, metavar="K", help="the best K")
    rules.add_argument("--top-fraction", type=float, metavar="F", help="the best share F of what is left")
    rules.add_argument("--balance", choices=("kinds",), help="divide the size equally over the kinds of questions")
    rules.add_argument(
        "--balance-yes-no",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fill the size with as many answers of yes as of no",
    )
    rules.add_argument("--length-matched", action="store_true", help="take the size in each bin of answer length")
    beside = parser.add_argument_group("beside the selection")
    beside.add_argument("--text-only", choices=("drop", "keep"), default="drop", help="records about no image")
    beside.add_argument("--random-control", type=Path, metavar="FILE", help="a random set of equal size and lengths")
    beside.add_argument("--seed", type=int, default=0, help="of the random control")
    beside.add_argument("--left-out", action="store_true", help="write why each other record was left out")
    return parser


def _plan(options: argparse.Namespace) -> SelectionPlan:
    return SelectionPlan(
        exact_duplicates=options.exact_duplicates,
        near_duplicates=options.near_duplicates,
        duplicates_over=options.duplicates_over,
        min_score=options.min_score,
        per_image=options.per_image,
        per_kind=options.per_kind,
        top_k=options.top_k,
        top_fraction=options.top_fraction,
        balance=options.balance,
        balance_yes_no=options.balance_yes_no,
        length_matched=options.length_matched,
        text_only=options.text_only,
    )


def _check_paths(options: argparse.Namespace, form: Layout) -> None:
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
    options: argparse.Namespace, form: Layout, meta: Mapping[str, Any], selection: Selection, control: Mask | None
) -> None:
    """The second pass: the selection, its control, and why the others were left out."""
    root = image_root(options.source)
    masks = [selection.chosen] if control is None else [selection.chosen, control]
    outs = [options.out, options.random_control][: len(masks)]
    wanted = np.ones_like(selection.chosen) if options.left_out else np.logical_or.reduce(masks)
    with ExitStack() as files:
        writers = [
            files.enter_context(open_writer(path, form.dialect, image_root=root, embed=form.carries_images))
            for path in outs
        ]
        left_out = None
        if options.left_out:
            path = files.enter_context(atomic_path(beside(options.out, ".left_out.jsonl")))
            left_out = files.enter_context(path.open("w", encoding="utf-8"))
        for position, entry in _second_pass(options.source, wanted):
            why = selection.why(position)
            for writer, mask, out in zip(writers, masks, outs, strict=True):
                if not mask[position] or entry.record is None:
                    continue
                try:
                    writer.write(entry.record, entry.number)
                except Inexpressible as error:
                    mask[position] = False
                    print(f"{out}: record {entry.number} cannot be written: {error}", file=sys.stderr)
                    why = f"cannot be written: {error}" if mask is selection.chosen else why
            if left_out and not selection.chosen[position]:
                left_out.write(_line(entry, why) + "\n")
        if not selection.chosen.any():
            raise ValueError(f"{options.out}: none of the chosen records can be written in this format")


def _second_pass(source: str, wanted: Mask) -> Iterator[tuple[int, Entry]]:
    seen = 0
    records = read_records(source, lambda number: number <= len(wanted) and bool(wanted[number - 1]))
    with tqdm(total=int(wanted.sum()), desc="writing", unit="record", delay=1, leave=False) as bar:
        for entry in records:
            # broken records come whether they are wanted or not
            if entry.number <= len(wanted) and wanted[entry.number - 1]:
                yield entry.number - 1, entry
                seen += 1
                bar.update()
    if seen != wanted.sum():
        raise ValueError(f"{source}: has changed while it was read; run it again")


def _line(entry: Entry, why: str) -> str:
    name = entry.record.extra.get("id") if entry.record is not None else None
    reason = f"{why}: {entry.reason}" if entry.record is None else why
    return json.dumps({"record": entry.number, "id": name, "reason": reason})


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
    picture = beside(out, ".card.svg")
    write_json_atomic(beside(out, ".meta.json"), {**meta, "count": int(facts.written.sum()), "selected": selected})
    write_text_atomic(picture, scores_chart(facts))
    write_text_atomic(beside(out, ".card.md"), data_card(facts, picture.name))


def _report(options: argparse.Namespace, facts: CardFacts) -> None:
    Console().print(steps_table(facts.selection))
    if facts.selection.yes_no:
        print(facts.selection.yes_no)
    texts = int((facts.selection.chosen & ~facts.columns.scored).sum())
    also = f", {texts:,} of them text-only" if texts else ""
    total = f"{len(facts.selection.chosen):,} records"
    print(f"{int(facts.selection.chosen.sum()):,} of {total} in {options.out}{also}")
    if facts.control is not None:
        print(f"{int(facts.control.sum()):,} of {total} in {options.random_control}, drawn at random")
    print(f"about them: {beside(options.out, '.card.md')}")
