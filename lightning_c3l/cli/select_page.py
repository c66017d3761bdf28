"""The page that `select` writes beside a selection: what it kept and what each rule left out."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from markupsafe import Markup

from data_modules.formats import Record, image_root
from lightning_c3l.cli.scored_input import beside
from lightning_c3l.cli.set_pairs import answer_pair, image_reader
from lightning_c3l.cli.set_tokens import AnswerTokenValues, read_tokens
from lightning_c3l.report.gallery import GalleryPair
from lightning_c3l.report.set_page import SetPage, render_set_page
from lightning_c3l.report.templating import FigureRow, FigureTable
from lightning_c3l.report.text import number
from lightning_c3l.runs.atomic import write_text_atomic
from lightning_c3l.selection.card import CardFacts, scores_chart
from lightning_c3l.selection.columns import Columns
from lightning_c3l.selection.plan import Selection
from lightning_c3l.selection.scores import SCORES

# cards of what was kept, of each rule, and rules that have cards
_KEPT, _LEFT_OUT, _RULES = 12, 6, 10
BEST, WORST, LEFT_OUT = "best kept", "worst kept", "left out"
_SCORER = ("model", "fingerprint", "dtype")
_MEANINGS = {BEST: "The highest scores.", WORST: "The lowest scores that were kept."}


class Written(Protocol):
    """The options of `select` that the page tells of."""

    @property
    def source(self) -> str:
        """The scored set."""

    @property
    def out(self) -> Path:
        """The selection."""


def shown_positions(columns: Columns, selection: Selection) -> dict[int, str]:
    """Positions of the records that the page shows, with the section that each is shown in.

    Those are the best and the worst that were kept, and of the records that each rule left out the best: they missed by
    least.
    """
    score = np.where(np.isfinite(columns.score), columns.score, -np.inf)
    kept = np.flatnonzero(selection.chosen & columns.scored)
    kept = kept[np.argsort(-score[kept], kind="stable")]
    half = (len(kept) + 1) // 2
    shown = dict.fromkeys(kept[: min(_KEPT, half)].tolist(), BEST)
    shown |= dict.fromkeys(kept[max(half, len(kept) - _KEPT) :][::-1].tolist(), WORST)
    codes = [code for code in range(1, len(selection.reasons)) if (selection.fell_at == code).any()]
    for code in codes[-_RULES:]:
        out = np.flatnonzero(selection.fell_at == code)
        out = out[np.argsort(-score[out], kind="stable")][:_LEFT_OUT]
        shown |= dict.fromkeys(out.tolist(), f"{LEFT_OUT}: {selection.reasons[code]}")
    return shown


def write_page(options: Written, facts: CardFacts, shown: Mapping[int, str], records: Mapping[int, Record]) -> None:
    """Write `<stem>.html` beside a selection.

    Args:
        options: of the command.
        facts: what the data card tells.
        shown: section of each position that is shown.
        records: the records at these positions; those that are broken are missing.
    """
    numbered = {int(facts.columns.number[position]): record for position, record in records.items()}
    tokens = read_tokens(beside(options.source, ".tokens.json"), numbered)
    selection, chosen = facts.selection, int(facts.selection.chosen.sum())
    scorer = {name: str(facts.scored_with[name]) for name in _SCORER if facts.scored_with.get(name)}
    page = SetPage(
        name=options.out.name,
        sentence=f"{number(chosen)} of {number(len(selection.chosen))} records of {facts.source} were kept.",
        facts={"command": facts.command, "score": f"{facts.by}, of several turns the {facts.turns}", **scorer},
        charts=[(Markup(scores_chart(facts)), "Scores of the whole set and of what was kept.")],
        tables=[_rules(selection)],
        pairs=[
            pair
            for position, section in shown.items()
            if position in records
            for pair in _pairs(facts, position, records[position], section, tokens)
        ],
        meanings=_MEANINGS,
    )
    read = image_reader(numbered, image_root(options.source))
    write_text_atomic(beside(options.out, ".html"), render_set_page(page, read))


def _rules(selection: Selection) -> FigureTable:
    """How many records each rule kept and left out, and why."""
    rows = list[FigureRow]()
    for step in selection.steps:
        why = "; ".join(f"{number(count)} {reason}" for reason, count in step.fell.items())
        rows.append(FigureRow(step.rule, [step.kept, sum(step.fell.values())], why))
    return FigureTable("The rules in their order", ["rule", "kept", "left out"], rows)


def _pairs(
    facts: CardFacts, position: int, record: Record, section: str, tokens: AnswerTokenValues
) -> Iterator[GalleryPair]:
    """A card for the first scored answer of a record, or for its first answer where none is scored."""
    rows = _rows(record)
    turns = [index for index, message in enumerate(record.messages) if message.role == "assistant"]
    turn = next(
        (index for index in turns if rows.get(index, {}).get("status") == "scored"), turns[0] if turns else None
    )
    if turn is None:
        return
    own, chosen = int(facts.columns.number[position]), bool(facts.selection.chosen[position])
    why = "" if chosen else facts.selection.why(position)
    row = {**rows.get(turn, {}), "status": "kept" if chosen else LEFT_OUT, "reason": why}
    pair = answer_pair(own, record, turn, section, row, tokens.get((own, turn)))
    yield replace(pair, reading=facts.by)


def _rows(record: Record) -> dict[int, Mapping[str, Any]]:
    """What is known of each answer, by its index among the messages: from `score`, or from a run."""
    listed, own = record.extra.get(SCORES), record.extra.get("c3l")
    if isinstance(listed, list):
        rows = [row for row in listed if isinstance(row, Mapping)]
        return {row["turn"]: row for row in rows if isinstance(row.get("turn"), int)}
    scores = own.get("scores") if isinstance(own, Mapping) else None
    first = next((index for index, message in enumerate(record.messages) if message.role == "assistant"), None)
    return {first: {**scores, "status": "scored"}} if isinstance(scores, Mapping) and first is not None else {}
