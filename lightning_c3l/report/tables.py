"""The tables of the page about a run."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lightning_c3l.functional.finite import finite
from lightning_c3l.report.candidate_columns import CandidateColumns
from lightning_c3l.report.figures import (
    EXPOSURE,
    HELD_OUT,
    STATUSES,
    criterion_name,
    figure,
    nested,
    question_type_label,
    rounds_of,
)
from lightning_c3l.report.headline import change_interval
from lightning_c3l.report.templating import FigureRow, FigureTable
from lightning_c3l.report.text import MISSING, number, signed

Rounds = Mapping[int, CandidateColumns]

# figures of which there are values of each image, and where these are
_VALUES_BY_IMAGE = {"truth_rate": "by_image", "statement_truth": "statements_by_image"}
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


def _keys(columns: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of all plain figures, in order of appearance."""
    found = (key for column in columns for key, value in column.items() if not isinstance(value, Mapping | list))
    return list(dict.fromkeys(found))


def _has(key: str, columns: Iterable[Mapping[str, Any]]) -> bool:
    return any(one.get(key) is not None for one in columns)


def _row(key: str, columns: Iterable[Mapping[str, Any]]) -> FigureRow:
    """A figure with its meaning under its name."""
    known = figure(key)
    return FigureRow(known.label, [column.get(key) for column in columns], known.meaning, known.digits)


def rounds_figures(summary: Mapping[str, Any]) -> FigureTable | None:
    """Figures down, rounds across: few rounds, many figures, and each figure has room for its meaning."""
    rounds = rounds_of(summary)
    seconds = [nested(one, "seconds") for one in rounds]
    rows = [_row(key, rounds) for key in _keys(rounds) if key not in _ELSEWHERE and _has(key, rounds)]
    rows += [FigureRow(f"seconds: {stage}", [one.get(stage) for one in seconds], digits=1) for stage in _keys(seconds)]
    heads = ["figure", *(f"round {one['round']}" for one in rounds)]
    return FigureTable("Figures of each round", heads, rows) if rows else None


def writers_figures(writers: Mapping[str, Any]) -> FigureTable | None:
    """The starting model beside the tuned one, with the change and, where there are values of each image, its interval.

    Args:
        writers: figures of both, under `base` and `tuned`.
    """
    base, tuned = nested(writers, "base"), nested(writers, "tuned")
    keys = _keys([base, tuned])
    if not keys:
        return None
    rows = []
    for key in keys:
        row, before, after = _row(key, [base, tuned]), finite(base.get(key)), finite(tuned.get(key))
        change = MISSING if before is None or after is None else signed(after - before, row.digits)
        values = _VALUES_BY_IMAGE.get(key, "")
        interval = change_interval(nested(base, values), nested(tuned, values))
        if interval is not None:
            change += " ({} to {})".format(*(signed(end, row.digits) for end in interval))
        rows.append(replace(row, cells=[*row.cells, change]))
    heads = ["figure", "starting model", "tuned model", "change (95 % interval)"]
    return FigureTable("What the starting and the tuned model generate about the same images", heads, rows)


def guard_figures(guard: Mapping[str, Any]) -> FigureTable | None:
    """What each state of the model generates on the guard's images, and how it changed the guard's criterion."""
    states = [state for state in guard.get("states") or [] if isinstance(state, Mapping)]
    if not states:
        return None
    figures = [{**nested(state, "figures"), **state} for state in states]
    rows = [_row(key, figures) for key in _GUARDED if any(finite(one.get(key)) is not None for one in figures)]
    rows = [replace(row, name=criterion_name(guard)) if row.name == HELD_OUT else row for row in rows]
    first = nested(states[0], "by_image")
    intervals = [change_interval(first, nested(state, "by_image")) for state in states[1:]]
    if any(intervals):
        cells = [MISSING, *(_range(one) for one in intervals)]
        meaning = "95 % interval of the change of the criterion since state 0, from the same images."
        rows.insert(1, FigureRow("its change", cells, meaning))
    heads = ["figure", *(f"state {state.get('round')}" for state in states)]
    return FigureTable("What each state generates on the guard's images", heads, rows)


def _range(interval: tuple[float, float] | None) -> str:
    return MISSING if interval is None else " to ".join(signed(end) for end in interval)


def exposure_figures(conditions: Mapping[str, Any]) -> FigureTable | None:
    """What follows an own prefix and what follows one from the truth: figures down, models and prefixes across.

    Args:
        conditions: figures of each model, called like `seen nll, own`.
    """
    known = {name: figures for name, figures in conditions.items() if isinstance(figures, Mapping)}
    split = [key.rpartition(", ") for key in _keys(known.values())]
    names, prefixes = (list(dict.fromkeys(parts)) for parts in ([one[0] for one in split], [one[2] for one in split]))
    rows = [
        FigureRow(
            EXPOSURE.get(name, name),
            [own.get(f"{name}, {prefix}" if name else prefix) for own in known.values() for prefix in prefixes],
        )
        for name in names
    ]
    heads = [f"{model}: {EXPOSURE.get(prefix, prefix)}" for model in known for prefix in prefixes]
    caption = "After a prefix that the model generated itself, and after one made from the truth"
    return FigureTable(caption, ["figure", *heads], rows) if rows else None


def dataset_figures(data: Mapping[str, Any]) -> FigureTable | None:
    """Size, duplicates and truth of the exported data set."""
    keys = [key for key in _keys([data]) if finite(data.get(key)) is not None]
    rows = [_row(f"dataset_{key}", [{f"dataset_{key}": data[key]}]) for key in keys]
    kinds = nested(data, "kinds")
    rows += [FigureRow(f"pairs of kind {kind}", [count], digits=0) for kind, count in kinds.items()]
    return FigureTable("The exported data set", ["figure", "value"], rows) if rows else None


def benchmark_tables(evaluations: Mapping[str, Mapping[str, Any]]) -> list[FigureTable]:
    """Headline figure of every protocol of every benchmark, then its other figures, over all answers and by category.

    Args:
        evaluations: content of each evaluation.json, by the name of its folder.
    """
    headlines, further = list[FigureRow](), list[FigureTable]()
    for folder, evaluation in evaluations.items():
        for protocol, result in nested(evaluation, "protocols").items():
            if not isinstance(result, Mapping):
                continue
            ends = [end for one in result.get("interval") or [] if (end := finite(one)) is not None]
            interval = " to ".join(number(end) for end in ends) if len(ends) == 2 else MISSING
            cells = [result.get("metric"), result.get("headline"), interval, result.get("n")]
            name = f"{evaluation.get('benchmark')}, {protocol}"
            # the run folder itself is no name
            headlines.append(FigureRow(name, cells, str(result.get("meaning") or folder.strip("."))))
            figures = {"parse failures": result.get("parse_failures"), **nested(result, "figures")}
            rows = [FigureRow(key, [figures[key]]) for key in _keys([figures]) if figures[key] is not None]
            further += [FigureTable(f"{name}: all answers", ["figure", "value"], rows)] if rows else []
            tables = nested(result, "tables")
            further += [_by_category(f"{name}: by {key}", nested(tables, key)) for key in tables]
    heads = ["benchmark, protocol", "metric", "value", "95 % interval", "answers"]
    title = "Headline figures, shares in [0, 1] but for llava_w, which is in percent"
    return [FigureTable(title, heads, headlines), *further] if headlines else []


def _by_category(title: str, categories: Mapping[str, Any]) -> FigureTable:
    rows = {category: nested(categories, category) for category in categories}
    heads = _keys(rows.values())
    cells = [FigureRow(category, [row.get(head) for head in heads]) for category, row in rows.items()]
    return FigureTable(title, ["category", *heads], cells)


def type_shares(summary: Mapping[str, Any]) -> FigureTable | None:
    """Share of each question type by round."""
    rounds = rounds_of(summary)
    shares = [nested(one, "kind_shares") for one in rounds]
    types = sorted({name for own in shares for name in own})
    rows = [FigureRow(question_type_label(name), [own.get(name) for own in shares]) for name in types]
    heads = ["question type", *(f"round {one['round']}" for one in rounds)]
    return FigureTable("Share of each question type", heads, rows) if types else None


def status_counts(candidates_by_round: Rounds) -> FigureTable | None:
    """How many texts of each round have each status."""
    counts = {number: own.statuses for number, own in sorted(candidates_by_round.items())}
    known = dict.fromkeys(status for own in counts.values() for status in own if status)
    rows = [
        FigureRow(status, [own.get(status, 0) for own in counts.values()], STATUSES.get(status, ""), 0)
        for status in known
    ]
    heads = ["status", *(f"round {number}" for number in counts)]
    return FigureTable("Texts by status", heads, rows) if rows else None


def rejected_counts(summary: Mapping[str, Any], candidates_by_round: Rounds) -> FigureTable | None:
    """How many texts were rejected, by reason and round; None where none was.

    Args:
        summary: figures of the run; its counts are taken where it has them.
        candidates_by_round: the texts, counted where the summary says nothing.
    """
    counts: dict[Any, Mapping[str, Any]] = {number: own.rejected for number, own in sorted(candidates_by_round.items())}
    counts.update({one["round"]: nested(one, "rejected") for one in rounds_of(summary) if "rejected" in one})
    reasons = list(dict.fromkeys(reason for own in counts.values() for reason in own))
    reasons.sort(key=lambda reason: -sum(finite(own.get(reason)) or 0.0 for own in counts.values()))
    rows = [FigureRow(reason, [own.get(reason, 0) for own in counts.values()], digits=0) for reason in reasons]
    heads = ["reason", *(f"round {one}" for one in counts)]
    return FigureTable("Rejected texts by reason", heads, rows) if rows else None
