"""The tables of the page about a run."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lightning_c3l.functional.finite import finite
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.figures import figure, nested, rounds_of
from lightning_c3l.report.templating import FigureRow, FigureTable

Rounds = Mapping[int, Sequence[ScoredCandidate]]

# shown elsewhere on the page, or no figure of the rounds table
_ELSEWHERE = frozenset({"round", "kind_shares", "seconds", "rejected"})

_GUARDED = (
    "held_out",
    "inflation",
    "parsed_rate",
    "distinct_rate",
    "kind_entropy",
    "image_contrast",
    "answer_tokens",
)
_EXAMPLES = 5


def _keys(columns: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of all plain figures, in order of appearance."""
    found = (key for column in columns for key, value in column.items() if not isinstance(value, Mapping | list))
    return list(dict.fromkeys(found))


def _row(key: str, columns: Iterable[Mapping[str, Any]]) -> FigureRow:
    """A figure with its meaning under its name."""
    known = figure(key)
    return FigureRow(known.label, [column.get(key) for column in columns], known.meaning, known.digits)


def rounds_figures(summary: Mapping[str, Any]) -> FigureTable | None:
    """Figures down, rounds across: few rounds, many figures, and each figure has room for its meaning."""
    rounds = rounds_of(summary)
    seconds = [nested(one, "seconds") for one in rounds]
    rows = [_row(key, rounds) for key in _keys(rounds) if key not in _ELSEWHERE]
    rows += [FigureRow(f"seconds: {stage}", [one.get(stage) for one in seconds], digits=1) for stage in _keys(seconds)]
    heads = ["figure", *(f"round {one['round']}" for one in rounds)]
    return FigureTable("Figures of each round", heads, rows) if rounds else None


def writers_figures(writers: Mapping[str, Any]) -> FigureTable | None:
    """The starting model beside the tuned one, with the difference."""
    columns = {name: figures for name, figures in writers.items() if isinstance(figures, Mapping)}
    keys, heads = _keys(columns.values()), ["figure", *columns]
    rows = [_row(key, columns.values()) for key in keys]
    if "base" in columns and "tuned" in columns:
        heads.append("tuned \u2212 base")
        for index, key in enumerate(keys):
            base, tuned = (columns[name].get(key, math.nan) for name in ("base", "tuned"))
            gain = None if finite(base) is None or finite(tuned) is None else tuned - base
            rows[index] = replace(rows[index], cells=[*rows[index].cells, gain])
    return FigureTable("The starting model and the tuned model", heads, rows) if writers else None


def guard_figures(guard: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the section about the guard shows: its states' figures and the limits that they broke."""
    states = [state for state in guard.get("states") or [] if isinstance(state, Mapping)]
    if not states:
        return None
    figures = [{**nested(state, "figures"), **state} for state in states]
    rows = [_row(key, figures) for key in _GUARDED if any(key in one for one in figures)]
    heads = ["figure", *(f"state {state.get('round')}" for state in states)]
    tripped = [(state.get("round"), sentence) for state in states for sentence in state.get("tripped") or []]
    return {
        "best": nested(guard, "best").get("round"),
        "exported": guard.get("exported"),
        "tripped": [f"state {number}: {sentence}" for number, sentence in tripped],
        "figures": FigureTable("What each state generates on the guard's images", heads, rows),
    }


def condition_figures(caption: str, tree: Mapping[str, Any]) -> FigureTable | None:
    """A nested mapping: a line for each figure, a column for each mapping that holds plain values."""
    columns = _conditions(tree)
    keys = dict.fromkeys(key for plain in columns.values() for key in plain)
    rows = [FigureRow(figure(key).label, [plain.get(key) for plain in columns.values()]) for key in keys]
    return FigureTable(caption, ["figure", *columns], rows) if tree else None


def _conditions(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Plain values of every mapping that has some, by its path."""
    plain = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    found = {" / ".join(path) or "all": plain} if plain else {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found.update(_conditions(value, (*path, str(key))))
    return found


def kind_shares(summary: Mapping[str, Any]) -> FigureTable | None:
    """Share of each question kind by round."""
    rounds = rounds_of(summary)
    shares = [nested(one, "kind_shares") for one in rounds]
    kinds = sorted({kind for own in shares for kind in own})
    rows = [FigureRow(kind, [own.get(kind) for own in shares]) for kind in kinds]
    heads = ["kind", *(f"round {one['round']}" for one in rounds)]
    return FigureTable("Share of each question kind", heads, rows) if kinds else None


def rejected_counts(summary: Mapping[str, Any], candidates_by_round: Rounds) -> FigureTable | None:
    """How many texts were rejected, by reason and round; no rows where none was, None where nothing is known.

    Args:
        summary: figures of the run; its counts are taken where it has them.
        candidates_by_round: the texts, counted where the summary says nothing.
    """
    counts: dict[Any, Mapping[str, Any]] = {}
    for number, candidates in sorted(candidates_by_round.items()):
        reasons = [one.candidate.rejected for one in candidates if one.candidate.rejected]
        counts[number] = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
    counts.update({one["round"]: nested(one, "rejected") for one in rounds_of(summary) if "rejected" in one})
    known = [*(reason for own in counts.values() for reason in own), *rejected_texts(candidates_by_round)]
    reasons = list(dict.fromkeys(known))
    reasons.sort(key=lambda reason: -sum(finite(own.get(reason)) or 0.0 for own in counts.values()))
    rows = [FigureRow(reason, [own.get(reason, 0) for own in counts.values()], digits=0) for reason in reasons]
    heads = ["reason", *(f"round {one}" for one in counts)]
    return FigureTable("Rejected texts by reason", heads, rows) if counts else None


def rejected_texts(candidates_by_round: Rounds) -> dict[str, list[str]]:
    """Up to five different texts for each reason, the latest round first."""
    texts: dict[str, list[str]] = {}
    for _, candidates in sorted(candidates_by_round.items(), reverse=True):
        for one in candidates:
            known = texts.setdefault(one.candidate.rejected, []) if one.candidate.rejected else None
            if known is not None and len(known) < _EXAMPLES and one.candidate.text not in known:
                known.append(one.candidate.text)
    return texts
