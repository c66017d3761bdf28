"""The data card of a selection: Markdown with the head that Hugging Face reads, and a picture of the scores."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_c3l.report.charts import histogram
from lightning_c3l.report.text import number
from lightning_c3l.runs.digests import sha256_digest
from lightning_c3l.selection.columns import Columns, Mask
from lightning_c3l.selection.markdown import escape, fenced, markdown_table
from lightning_c3l.selection.plan import Selection
from lightning_c3l.selection.quotas import length_edges

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
# a set may name a kind for every record
_MOST_KINDS = 30
_HASH = re.compile("[0-9a-f]{16,64}")
# what `score` notes of the set and of the folders of one machine
_NOT_THE_SCORER = frozenset(("set", "bytes", "records", "format", "images", "chunk"))


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of.

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
        command: the command line.
        seed: of the control.
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

    @property
    def written(self) -> Mask:
        """The records that the card is about, [N]."""
        return self.control if self.of_control and self.control is not None else self.selection.chosen


def data_card(facts: CardFacts, picture: str) -> str:
    """The card's text. Nothing in it depends on when or where it is made.

    Args:
        facts: what it is made of.
        picture: file name of the picture of the scores beside it.
    """
    count = int(facts.written.sum())
    parts = [
        _head(facts.name, count),
        f"# {escape(facts.name)}\n\n{_sentence(facts, count)}",
        "**Licence: to fill in** (above as well). It follows from the images and from who or what wrote the texts.",
        "## Contents\n\n" + markdown_table(["", _name(facts), "whole set"], _contents(facts), "lrr"),
        f"## Scores\n\nBy the reading {facts.by}, in nats a token; of several turns the {_turns(facts.turns)}.\n\n"
        + markdown_table(["quantile", *_columns(facts)], _quantiles(facts), "l" + "r" * len(_columns(facts)))
        + f"\n\n![Scores]({escape(picture)})",
        "## Answer lengths\n\n"
        + markdown_table(["tokens", _name(facts), "share", "whole set", "share"], _lengths(facts), "lrrrr"),
        "## Kinds of questions\n\n"
        + markdown_table(["kind", _name(facts), "share", "whole set", "share"], _kinds(facts), "lrrrr"),
        "## How it was chosen\n\n" + markdown_table(["rule", "kept", "dropped"], _steps(facts.selection), "lrl"),
        fenced(facts.command),
        "## Scored with\n\n" + markdown_table(["what", "value"], _scorer(facts.scored_with), "ll"),
    ]
    return "\n\n".join(parts) + "\n"


def scores_chart(facts: CardFacts) -> str:
    """An SVG picture of the scores of the whole set and of the chosen records."""
    whole, chosen = facts.columns.score[facts.columns.scored], facts.columns.score[_counted(facts)]
    groups = {"whole set": whole.tolist(), _name(facts): chosen.tolist()}
    return histogram("Scores of the whole set and of a part of it", groups, f"{facts.by}, nats a token", "records")


def _name(facts: CardFacts) -> str:
    """Whose card this is, as tables and legends have it."""
    return "random control" if facts.of_control else "chosen"


def _head(name: str, count: int) -> str:
    size = next((label for limit, label in _SIZES if count < limit), "n>1M")
    return "\n".join(
        [
            "---",
            "license: # FILL IN: nothing here can know it",
            f"pretty_name: {json.dumps(name)}",
            "task_categories:",
            "- visual-question-answering",
            "size_categories:",
            f"- {size}",
            "---",
        ]
    )


def _sentence(facts: CardFacts, count: int) -> str:
    source = f"the {len(facts.columns.score):,} records of {escape(facts.source)}"
    if facts.of_control:
        return (
            f"{count:,} of {source}, drawn at random (seed {facts.seed}) with as many records of each kind and length "
            "of answer as the selection it is compared with."
        )
    return f"{count:,} of {source}, chosen by how much their answers owe to their images, S(I²C)."


def _turns(turns: str) -> str:
    return "lowest" if turns == "min" else "mean weighted by tokens"


def _counted(facts: CardFacts) -> Mask:
    """What is written and has a score: text-only records may stand beside it."""
    return np.asarray(facts.written & facts.columns.scored, np.bool_)


def _contents(facts: CardFacts) -> list[list[str]]:
    columns, masks = facts.columns, (facts.written, np.ones_like(facts.written))

    def images(mask: Mask) -> int:
        return len(np.unique(columns.image[mask & (columns.image != 0)]))

    rows = {
        "records": [int(mask.sum()) for mask in masks],
        "images (sets of images where a record has several)": [images(mask) for mask in masks],
        "answers": [int(columns.turns[mask].sum()) for mask in masks],
        "scored records": [int((mask & columns.scored).sum()) for mask in masks],
        "text-only records": [int((mask & columns.text_only).sum()) for mask in masks],
    }
    return [[name, *map(number, counts)] for name, counts in rows.items()]


def _columns(facts: CardFacts) -> list[str]:
    return ["selection", *(["random control"] if facts.control is not None else []), "whole set"]


def _quantiles(facts: CardFacts) -> list[list[str]]:
    columns = facts.columns
    controls = [] if facts.control is None else [facts.control]
    sets = [columns.score[mask & columns.scored] for mask in (facts.selection.chosen, *controls, columns.scored)]
    rows = [[f"{share:.0%}", *(number(float(np.quantile(one, share))) for one in sets)] for share in QUANTILES]
    return [*rows, ["mean", *(number(float(one.mean())) for one in sets)]]


def _lengths(facts: CardFacts) -> list[list[str]]:
    columns = facts.columns
    whole, chosen = columns.tokens[columns.scored], columns.tokens[_counted(facts)]
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
    masks = (_counted(facts), columns.scored)
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
    def fell(counts: Mapping[str, int]) -> str:
        return ", ".join(f"{number(count)} {escape(why)}" for why, count in counts.items()) or "none"

    return [[escape(step.rule), number(step.kept), fell(step.fell)] for step in selection.steps]


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
