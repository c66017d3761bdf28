"""The figures of a run over its rounds, as small multiples."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from lightning_c3l.functional.finite import finite
from lightning_c3l.functional.significance import bootstrap_interval
from lightning_c3l.report.candidate_columns import CandidateColumns
from lightning_c3l.report.extras import RunExtras
from lightning_c3l.report.figures import criterion_name, nested, question_type_label, rounds_of
from lightning_c3l.report.final import exported_state
from lightning_c3l.report.panels import Axis, Bound, Line, Panel, column_panel, line_panel

Rounds = Mapping[int, CandidateColumns]

# of the guard's figures, by key: title of the panel, whether it is a share, what it says
_GUARDED = {
    "parsed_rate": ("Parsed texts", True, "Share of the texts that hold a question and an answer."),
    "distinct_rate": ("Distinct questions", True, "Different questions over all questions."),
    "image_contrast": (
        "Contrast of images",
        False,
        "(r \u2212 s) / (|r| + |s|) of the mean S(I²C) with the right image, r, and with another one, s.",
    ),
    "kind_entropy": ("Entropy of question types", False, "In nats; a fall means that one type takes over."),
    "answer_tokens": ("Answer length", False, "Mean length of the answers, in tokens."),
}
_SCORES = {"i2c_mean": "right image", "i2c_shuffled_mean": "another image", "i2c_positive_mean": "positives"}
# where pseudo-labels are chosen by another reading than `answer`, which another image is scored by
_OWN_SCORES = {"i2c_mean": "all texts", "i2c_positive_mean": "positives"}
_CONTROL = {"i2c_answer_mean": "right image", "i2c_shuffled_mean": "another image"}
_TRUTHS = {"truth_rate": "all texts", "positive_truth_rate": "positives", "random_truth_rate": "random selection"}
_CAPTIONS = {
    "Mean S(I²C)": "In nats per token, of the texts of the round.",
    "Mean S(I²C) answer": "By the reading answer, in nats per token, of the texts of the round.",
    "Truth rate": "Right pairs: of all texts, and of what S(I²C) or chance selects from them.",
}
_LOSSES = {
    "train/loss": "loss",
    "train/answer_nll": "answer NLL",
    "train/write_nll": "question and answer NLL",
    "train/con": "contrastive",
}
# training steps whose losses are marked
_FEW_LOSSES = 8
# figures of which only so much more, or less, is allowed
_FACTORS = frozenset({"answer_tokens"})
_TYPES = "By the first words of the questions. One that takes over means a drift to what is easy."
_STATUSES = "What became of the texts: positives train the model, negatives are contrasted with them."
# parts of a column, and lines, that have a colour of their own
_MOST_PARTS, _MOST_KINDS = 8, 4


def curves(summary: Mapping[str, Any], candidates_by_round: Rounds, extras: RunExtras) -> list[Panel]:
    """All panels over the rounds for which something was measured, on one horizontal axis.

    Args:
        summary: figures of the run.
        candidates_by_round: the generated texts of each round with their scores.
        extras: the guard's limits and the training loss.
    """
    rounds = rounds_of(summary)
    states = [state for state in nested(summary, "guard").get("states") or [] if isinstance(state, Mapping)]
    numbers = [*_numbers(rounds), *_numbers(states), *candidates_by_round]
    losses, limits = _losses(extras.metrics), extras.limits
    last = max([*numbers, *(math.ceil(x) for line in losses for x, _ in line.points)], default=0)
    by_round, by_state = Axis(last), Axis(last, "state" if states else "round")
    found = [
        _criterion(nested(summary, "guard"), states, by_state, limits),
        *_scores(rounds, by_round),
        _over_rounds("Truth rate", rounds, _TRUTHS, by_round, 1.0),
        *(_guarded(key, rounds, states, by_state, limits) for key in _GUARDED),
        _columns("Question types", {one["round"]: _types(one) for one in rounds}, by_round, _TYPES),
        _columns("Status of the texts", _statuses(candidates_by_round), by_round, _STATUSES),
        _by_kind(candidates_by_round, by_round),
        line_panel("Training loss", losses, by_round, caption="What is trained on round k lies between k and k + 1."),
    ]
    return [panel for panel in found if panel is not None]


def _numbers(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    return [int(number) for one in rows if (number := finite(one.get("round"))) is not None]


def _criterion(
    guard: Mapping[str, Any], states: Sequence[Mapping[str, Any]], axis: Axis, limits: Mapping[str, Any]
) -> Panel | None:
    """The guard's criterion of each state with its interval, the best and the exported state marked."""
    intervals = {
        x: ends for state in states if (x := finite(state.get("round"))) is not None and (ends := _interval(state))
    }
    notes = defaultdict[float, list[str]](list)
    for word, state in (("best", nested(guard, "best")), ("exported", exported_state(guard))):
        if (x := finite(state.get("round"))) is not None:
            notes[x].append(word)
    bounds = _bounds("held_out", states[0].get("held_out") if states else None, limits)
    return line_panel(
        criterion_name(guard).capitalize(),
        [Line("", _points(states, "held_out"), intervals)],
        axis,
        bounds=bounds,
        notes={x: ", ".join(words) for x, words in notes.items()},
        caption="S(I²C) with the own image less that with another one, by the starting model. Bars: 95 % bootstrap "
        "over images.",
    )


def _interval(state: Mapping[str, Any]) -> tuple[float, float] | None:
    """95 % interval of a state's mean over images."""
    values = [real for value in nested(state, "by_image").values() if (real := finite(value)) is not None]
    if len(values) < 2:
        return None
    rows = np.stack([np.array(values), np.ones(len(values))], axis=1)
    return bootstrap_interval([rows], lambda sums: sums[..., 0, 0] / sums[..., 0, 1])


def _guarded(
    key: str,
    rounds: Sequence[Mapping[str, Any]],
    states: Sequence[Mapping[str, Any]],
    axis: Axis,
    limits: Mapping[str, Any],
) -> Panel | None:
    """A figure that the guard limits: on its own images, and on those of the rounds."""
    title, is_share, caption = _GUARDED[key]
    own = _points([{**nested(state, "figures"), "round": state.get("round")} for state in states], key)
    lines = [Line("guard's images", own), Line("images of the round", _points(rounds, key), series=1)]
    if not states:
        lines = [Line("", _points(rounds, key))]
    bounds = _bounds(key, own[0][1] if own else None, limits)
    return line_panel(title, lines, axis, 1.0 if is_share else None, bounds, caption=caption)


def _bounds(key: str, first: object, limits: Mapping[str, Any]) -> list[Bound]:
    """Where the guard warns, from the figure of the first state."""
    start, limit = finite(first), finite(limits.get(key))
    if start is None or limit is None or start <= 0:
        return []
    if key in _FACTORS:
        return [Bound(start / limit, "below"), Bound(start * limit, "above")]
    return [Bound(start * limit, "below")]


def _scores(rounds: Sequence[Mapping[str, Any]], axis: Axis) -> list[Panel | None]:
    """Means of the score, with another image in a panel of its own where the score is another reading than that."""
    if not any("i2c_answer_mean" in one for one in rounds):
        return [_over_rounds("Mean S(I²C)", rounds, _SCORES, axis)]
    return [
        _over_rounds("Mean S(I²C)", rounds, _OWN_SCORES, axis),
        _over_rounds("Mean S(I²C) answer", rounds, _CONTROL, axis),
    ]


def _over_rounds(
    title: str, rounds: Sequence[Mapping[str, Any]], names: Mapping[str, str], axis: Axis, top: float | None = None
) -> Panel | None:
    lines = [Line(name, _points(rounds, key), series=index) for index, (key, name) in enumerate(names.items())]
    return line_panel(title, lines, axis, top, caption=_CAPTIONS[title])


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, object]]:
    numbered = [(finite(one.get("round")), one.get(key)) for one in rows]
    return [(x, value) for x, value in numbered if x is not None]


def _types(figures: Mapping[str, Any]) -> dict[str, object]:
    return {question_type_label(name): share for name, share in nested(figures, "kind_shares").items()}


def _statuses(candidates_by_round: Rounds) -> dict[int, Mapping[str, int]]:
    """How many texts of each round have each status, in the order of the selection."""
    order = ("positive", "negative", "margin", "duplicate", "rejected")
    counts = {number: own.statuses for number, own in sorted(candidates_by_round.items())}
    known = {name for own in counts.values() for name in own if name}
    names = [*(name for name in order if name in known), *sorted(known - set(order))]
    return {number: {name: own.get(name, 0) for name in names} for number, own in counts.items()}


def _columns(title: str, columns: Mapping[Any, Mapping[str, Any]], axis: Axis, caption: str) -> Panel | None:
    """Shares by round; the rarest parts are taken together where there are many."""
    totals = Counter[str]()
    for column in columns.values():
        totals.update({name: finite(count) or 0.0 for name, count in column.items()})
    kept = [name for name, _ in totals.most_common(_MOST_PARTS if len(totals) <= _MOST_PARTS else _MOST_PARTS - 1)]
    # in the order in which they were given, so that a column reads alike in all runs
    shown = {x: {name: column.get(name) for name in totals if name in kept} for x, column in columns.items()}
    if len(kept) < len(totals):
        for x, column in columns.items():
            shown[x]["others"] = sum(finite(count) or 0.0 for name, count in column.items() if name not in kept)
    return column_panel(title, shown, axis, caption)


def _by_kind(candidates_by_round: Rounds, axis: Axis) -> Panel | None:
    """Mean S(I²C) of the texts of each kind of instruction, the most frequent kinds."""
    means, counts = defaultdict[str, dict[int, float]](dict), Counter[str]()
    for number, candidates in sorted(candidates_by_round.items()):
        for kind, scores in candidates.scores_by_kind():
            means[kind][number] = fmean(scores)
            counts[kind] += len(scores)
    kinds = [kind for kind, _ in counts.most_common(_MOST_KINDS)]
    lines = [Line(kind, list(means[kind].items()), series=index) for index, kind in enumerate(sorted(kinds))]
    caption = "Mean, in nats per token. The kind is that of the instruction that a text was generated with."
    return line_panel("S(I²C) by kind of instruction", lines, axis, caption=caption) if len(lines) > 1 else None


def _losses(rows: Sequence[Mapping[str, str]]) -> list[Line]:
    """The training loss and its terms; what is trained on round k lies between k and k + 1."""
    trained, number = defaultdict[float, list[Mapping[str, str]]](list), None
    for row in rows:
        if row.get("round/round"):
            number = _real(row["round/round"])
        elif number is not None and row.get("train/loss"):
            trained[number].append(row)
    places = [
        (round + (index + 0.5) / len(own), row) for round, own in trained.items() for index, row in enumerate(own)
    ]
    # a single point is seen only with a marker; many would hide the line
    marked = len(places) <= _FEW_LOSSES
    return [
        Line(name, [(x, _real(row.get(key))) for x, row in places], series=index, marked=marked)
        for index, (key, name) in enumerate(_LOSSES.items())
    ]


def _real(text: str | None) -> float | None:
    """A number of metrics.csv; None for anything else."""
    try:
        return finite(float(text or ""))
    except ValueError:
        return None
