"""What people read about a selection: a data card in Markdown, a chart of the scores, a table for the terminal."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from lightning_c3l.report.charts import histogram
from lightning_c3l.report.text import number, printable
from lightning_c3l.runs.atomic import write_text_atomic
from lightning_c3l.runs.digests import sha256_digest
from lightning_c3l.selection.columns import Columns, Mask, runs
from lightning_c3l.selection.markdown import escape, fenced, markdown_table
from lightning_c3l.selection.plan import Selection
from lightning_c3l.selection.quotas import length_edges

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
# a set may name a kind for every record
_MOST_KINDS = 30
_HASH = re.compile("[0-9a-f]{16,64}")
# what `score` notes about the set and the folders of one machine
_NOT_THE_SCORER = frozenset(("set", "bytes", "records", "format", "images", "chunk"))


@dataclass(frozen=True)
class CardFacts:
    """The facts that a data card tells.

    Attributes:
        name: name of the written file.
        source: name of the scored set.
        columns: the scored set, N records.
        selection: the selection.
        control: its random control, [N], where there is one.
        of_control: whether the card is about the control.
        by: the reading that chose.
        turns: how turns became the score of a record.
        scored_with: what the set says about its scorer: model, fingerprint, prompt.
        command: the command line, empty where it is not known.
        seed: of the control.
        origin: where the records come from, where more is known than the name of their file.
        notes: what to know before use, a sentence each.
    """

    name: str
    source: str
    columns: Columns
    selection: Selection
    control: Mask | None
    of_control: bool
    by: str
    turns: str
    scored_with: Mapping[str, Any]
    command: str
    seed: int
    origin: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def written(self) -> Mask:
        """The records that the card is about, [N]."""
        return self.control if self.of_control and self.control is not None else self.selection.chosen

    @property
    def written_and_scored(self) -> Mask:
        """Those of them with a score, [N]: text-only records may stand beside."""
        return np.asarray(self.written & self.columns.scored, np.bool_)

    @property
    def label(self) -> str:
        """Name of the records that the card is about, in tables and legends."""
        return "random control" if self.of_control else "chosen"


def data_card(facts: CardFacts, chart: str) -> str:
    """Text of the card; it does not depend on when or where it is written.

    Args:
        facts: the facts to tell.
        chart: file name of the chart of the scores beside it.

    Returns:
        Markdown with a YAML head.
    """
    count = int(facts.written.sum())
    size = next((label for limit, label in _SIZES if count < limit), "n>1M")
    source = f"the {len(facts.columns.score):,} records of {escape(facts.source)}"
    sentence = f"{count:,} of {source}, chosen by how much their answers depend on their images, S(I²C)."
    if facts.of_control:
        sentence = (
            f"{count:,} of {source}, drawn at random (seed {facts.seed}) with as many records of each kind and length "
            "of answer as the selection it is compared with."
        )
    turns = "lowest" if facts.turns == "min" else "mean weighted by tokens"
    sets = ["selection", *(["random control"] if facts.control is not None else []), "whole set"]
    parts = [
        f"---\nlicense: # FILL IN: nothing here can know it\npretty_name: {json.dumps(facts.name)}\ntask_categories:\n"
        f"- visual-question-answering\nsize_categories:\n- {size}\n---",
        f"# {escape(facts.name)}\n\n{sentence}",
        "**Licence: to fill in** (above as well). It follows from the images and from who or what wrote the texts.",
        *_origin(facts),
        "## Contents\n\n" + markdown_table(["", facts.label, "whole set"], _contents(facts), "lrr"),
        f"## Scores\n\nBy the reading {facts.by}, in nats a token; of several turns the {turns}.\n\n"
        + markdown_table(["quantile", *sets], _quantiles(facts), "l" + "r" * len(sets))
        + f"\n\n![Scores]({escape(chart)})",
        "## Answer lengths\n\n"
        + markdown_table(["tokens", facts.label, "share", "whole set", "share"], _lengths(facts), "lrrrr"),
        "## Kinds\n\nKinds of instructions; of a record that names none, the type of its first question.\n\n"
        + markdown_table(["kind", facts.label, "share", "whole set", "share"], _kinds(facts), "lrrrr"),
        "## How it was chosen\n\n" + markdown_table(["rule", "kept", "dropped"], _steps(facts.selection), "lrl"),
        *([fenced(facts.command)] if facts.command else []),
        "## Scored with\n\n" + markdown_table(["what", "value"], _scorer(facts.scored_with), "ll"),
    ]
    return "\n\n".join(parts) + "\n"


def write_card(out: Path, facts: CardFacts) -> Path:
    """Write the card `<stem>.card.md` of a data set and its chart `<stem>.card.svg`; returns the card's path."""
    card, picture = out.with_suffix(".card.md"), out.with_suffix(".card.svg")
    write_text_atomic(picture, scores_chart(facts))
    write_text_atomic(card, data_card(facts, picture.name))
    return card


def scores_chart(facts: CardFacts) -> str:
    """An SVG histogram of the scores of the whole set and of the records that the card is about."""
    whole, chosen = facts.columns.score[facts.columns.scored], facts.columns.score[facts.written_and_scored]
    groups = {"whole set": whole, facts.label: chosen}
    return histogram("Scores of the whole set and of a part of it", groups, f"{facts.by}, nats a token", "records")


def steps_table(selection: Selection) -> Table:
    """The rules for the terminal: how many records each kept and dropped, and why."""
    table = Table()
    table.add_column("rule")
    table.add_column("kept", justify="right", no_wrap=True)
    table.add_column("dropped", justify="right", no_wrap=True)
    table.add_column("why")
    for step in selection.steps:
        why = "\n".join(f"{number(count)} {printable(reason, 80)}" for reason, count in step.fell.items())
        # Text objects, because plain strings would be read as rich markup
        table.add_row(Text(step.rule), number(step.kept), number(sum(step.fell.values())), Text(why))
    return table


def _origin(facts: CardFacts) -> list[str]:
    """What to know before use, and where the records come from."""
    parts = list[str]()
    if facts.notes:
        parts.append("## Before use\n\n" + "\n".join(f"- {escape(note, 600)}" for note in facts.notes))
    if facts.origin:
        rows = [[escape(name, 60), escape(text)] for name, text in facts.origin.items()]
        parts.append("## Origin\n\n" + markdown_table(["what", "value"], rows, "ll"))
    return parts


def _contents(facts: CardFacts) -> list[list[str]]:
    columns, masks = facts.columns, (facts.written, np.ones_like(facts.written))
    rows = {
        "records": [mask.sum() for mask in masks],
        "images (sets of images where a record has several)": [
            len(np.unique(runs(columns.image[mask & (columns.image != 0)]))) for mask in masks
        ],
        "answers": [columns.turns[mask].sum() for mask in masks],
        "answered yes": [(columns.polarity[mask] > 0).sum() for mask in masks],
        "answered no": [(columns.polarity[mask] < 0).sum() for mask in masks],
        "scored records": [(mask & columns.scored).sum() for mask in masks],
        "text-only records": [(mask & columns.text_only).sum() for mask in masks],
    }
    return [[name, *(number(int(count)) for count in counts)] for name, counts in rows.items()]


def _quantiles(facts: CardFacts) -> list[list[str]]:
    columns = facts.columns
    controls = [] if facts.control is None else [facts.control]
    sets = [columns.score[mask & columns.scored] for mask in (facts.selection.chosen, *controls, columns.scored)]
    means = ["mean", *(number(float(one.mean())) for one in sets)]
    # in place, since a copy of all scores is enough
    table = np.array([np.quantile(one, QUANTILES, overwrite_input=True) for one in sets]).T
    rows = [[f"{share:.0%}", *map(number, own)] for share, own in zip(QUANTILES, table.tolist(), strict=True)]
    return [*rows, means]


def _lengths(facts: CardFacts) -> list[list[str]]:
    columns = facts.columns
    whole, chosen = columns.tokens[columns.scored], columns.tokens[facts.written_and_scored]
    longest = int(whole.max())
    ends = [int(edge) for edge in length_edges(whole) if edge < longest] + [longest]
    starts = [int(whole.min()), *(end + 1 for end in ends)]
    rows = []
    for start, end in zip(starts, ends, strict=False):
        counts = [int(((start <= one) & (one <= end)).sum()) for one in (chosen, whole)]
        name = f"{start}" if start == end else f"{start} to {end}"
        rows.append([name, *_shares(counts, [len(chosen), len(whole)])])
    return rows


def _kinds(facts: CardFacts) -> list[list[str]]:
    columns, size = facts.columns, len(facts.columns.kinds)
    masks = (facts.written_and_scored, columns.scored)
    chosen, whole = (np.bincount(columns.kind[mask], minlength=size).tolist() for mask in masks)
    ranked = sorted((code for code in range(size) if whole[code]), key=lambda i: (-whole[i], columns.kinds[i]))
    totals = [sum(chosen), sum(whole)]
    rows = [
        [escape(columns.kinds[i], 60) or "(no name)", *_shares([chosen[i], whole[i]], totals)]
        for i in ranked[:_MOST_KINDS]
    ]
    if rest := ranked[_MOST_KINDS:]:
        counts = [sum(chosen[i] for i in rest), sum(whole[i] for i in rest)]
        rows.append([f"{len(rest)} other kinds", *_shares(counts, totals)])
    return rows


def _shares(counts: Sequence[int], totals: Sequence[int]) -> list[str]:
    cells = ((number(count), f"{count / max(total, 1):.1%}") for count, total in zip(counts, totals, strict=True))
    return [cell for pair in cells for cell in pair]


def _steps(selection: Selection) -> list[list[str]]:
    rows = []
    for step in selection.steps:
        fell = ", ".join(f"{number(count)} {escape(why)}" for why, count in step.fell.items()) or "none"
        rows.append([escape(step.rule), number(step.kept), fell])
    return rows


def _scorer(scored_with: Mapping[str, Any]) -> list[list[str]]:
    if not scored_with:
        return [["model", "unknown: the scored set does not say"]]
    rows = []
    for name, value in scored_with.items():
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
        if name == "prompt" and not _HASH.fullmatch(text):
            text = sha256_digest(text, digits=16)
        if name not in _NOT_THE_SCORER:
            rows.append(["prompt, SHA-256" if name == "prompt" else escape(name, 60), escape(text)])
    return rows
