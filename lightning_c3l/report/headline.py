"""Whether the rounds helped, in one sentence and a few figures, with or without known truth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lightning_c3l.functional.finite import finite
from lightning_c3l.functional.significance import paired_interval
from lightning_c3l.report.figures import OWN_IMAGES, criterion_name, nested
from lightning_c3l.report.final import exported_state
from lightning_c3l.report.text import number, signed

Verdict = Literal["better", "worse", "undecided", "unmeasured"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class HeadlineFigure:
    """A figure of the model before and after the rounds.

    Attributes:
        name: what it is.
        meaning: one sentence for the reader.
        before: of the starting model, or of what the second value is compared with.
        after: of the model that was exported.
        interval: 95 % interval of after - before, from a bootstrap over images; None where it cannot be had.
        digits: decimals to show.
    """

    name: str
    meaning: str
    before: float | None
    after: float | None
    interval: Interval | None = None
    digits: int = 3


@dataclass(frozen=True)
class Headline:
    """What a reader should know first.

    Attributes:
        sentence: whether the rounds helped.
        verdict: the same in a word.
        figures: at most four, the one that the verdict rests on first.
        notes: what else must not be overlooked, such as limits of the guard that were broken.
    """

    sentence: str
    verdict: Verdict
    figures: tuple[HeadlineFigure, ...]
    notes: tuple[str, ...] = ()


def headline(summary: Mapping[str, Any]) -> Headline:
    """Judge a run by what was measured before its first and after its last training.

    Known truth decides where there is some, else the criterion of the guard's states, unless a state broke a
    limit of the guard: the criterion rises in a collapse too, if questions drift to kinds that score high.

    Args:
        summary: content of summary.json.
    """
    guard = nested(summary, "guard")
    truth, criterion = _truth(summary), _criterion(guard)
    deciding = truth or criterion
    rest = [criterion if truth else None, _dataset(summary), *_of_states(guard)]
    figures = [one for one in [deciding, *rest] if one is not None][:4]
    notes = _notes(guard)
    if (harm := _harm(guard, criterion, truth)) is not None:
        return Headline(harm, "worse", tuple(figures), notes)
    if deciding is None:
        return Headline(_unmeasured(summary), "unmeasured", tuple(figures), notes)
    verdict = _verdict(deciding)
    return Headline(_sentence(deciding, verdict), verdict, tuple(figures), notes)


def _harm(guard: Mapping[str, Any], criterion: HeadlineFigure | None, truth: HeadlineFigure | None) -> str | None:
    """The sentence about a run whose states broke limits, where no truth says more; None of all others."""
    states, last = guard.get("states") or [], finite(exported_state(guard).get("round"))
    broken = [k for one in states if one.get("tripped") and (k := finite(one.get("round"))) is not None]
    if not broken or last is None:
        return None
    if last == states[0].get("round"):
        return (
            f"The rounds did harm: state {broken[0]:g} broke a limit of the guard, and the starting model was exported."
        )
    is_told = truth is not None or (criterion is not None and _verdict(criterion) == "worse")
    if is_told or all(state > last for state in broken):
        return None
    rise = ""
    if criterion is not None:
        before, after = number(criterion.before), number(criterion.after)
        rise = f"; {criterion.name} {before} \u2192 {after} can rise in a collapse too"
    return f"The rounds probably did harm: state {broken[0]:g} broke a limit of the guard{rise}."


def _unmeasured(summary: Mapping[str, Any]) -> str:
    """Why nothing is said of the rounds; of a run of `test` or `predict`, what it came to."""
    has_rounds = summary.get("rounds") or nested(summary, "guard")
    evaluation = nested(summary, "evaluation")
    for name, value in evaluation.items():
        if not has_rounds and name.startswith("test/") and finite(value) is not None:
            return f"{name.removeprefix('test/')} is {number(value)} on {number(evaluation.get('n'))} questions."
    pairs = finite(nested(summary, "dataset").get("pairs"))
    if not has_rounds and pairs is not None:
        return f"{number(int(pairs))} pairs were written and selected; no round was trained."
    if summary.get("seconds_total") is None:
        return "Nothing says yet whether the rounds helped: that is measured after the last training."
    reason = "set data.held_out, and leave guard.action on, to have it measured"
    return f"Nothing says yet whether the rounds helped: {reason}."


def _truth(summary: Mapping[str, Any]) -> HeadlineFigure | None:
    """Share of right pairs among all that the starting and the tuned model generate about the same images."""
    writers = nested(summary, "writers")
    base, tuned = nested(writers, "base"), nested(writers, "tuned")
    before, after = finite(base.get("truth_rate")), finite(tuned.get("truth_rate"))
    if before is None or after is None:
        return None
    interval = change_interval(nested(base, "by_image"), nested(tuned, "by_image"))
    meaning = "Right pairs among all that the model generates about held-out images."
    return HeadlineFigure("truth of generated pairs", meaning, before, after, interval)


def _criterion(guard: Mapping[str, Any]) -> HeadlineFigure | None:
    """The guard's criterion of the first and of the exported state, under a name that says on which images."""
    states, exported = guard.get("states") or [], exported_state(guard)
    if not states or exported.get("round") == states[0].get("round"):
        return None
    before, after = finite(states[0].get("held_out")), finite(exported.get("held_out"))
    if before is None or after is None:
        return None
    name = criterion_name(guard)
    where = "images of the rounds" if name == OWN_IMAGES else "held-out images"
    meaning = (
        f"S(I\u00b2C) with the own image less that with another, on {where}, by the starting model, in nats per token."
    )
    interval = change_interval(nested(states[0], "by_image"), nested(exported, "by_image"))
    return HeadlineFigure(name, meaning, before, after, interval)


def _dataset(summary: Mapping[str, Any]) -> HeadlineFigure | None:
    data = nested(summary, "dataset")
    chance, chosen = finite(data.get("random_truth_rate")), finite(data.get("truth_rate"))
    if chosen is not None:
        meaning = "Right pairs in the data set, beside those in a random selection of equal size."
        return HeadlineFigure("truth, random \u2192 selected", meaning, chance, chosen)
    if (pairs := finite(data.get("pairs"))) is not None:
        meaning = "Pairs that the tuned model generated and S(I\u00b2C) selected."
        return HeadlineFigure("pairs in the data set", meaning, None, pairs, digits=0)
    return None


def _of_states(guard: Mapping[str, Any]) -> list[HeadlineFigure]:
    """What the first and the exported state generate on the guard's images."""
    states, last = guard.get("states") or [], exported_state(guard)
    if not states or last.get("round") == states[0].get("round"):
        return []
    shown = {
        "parsed_rate": ("parsed", "Share of the generated texts that hold a question and an answer."),
        "distinct_rate": ("distinct questions", "Different questions over all questions."),
    }
    first = [finite(nested(states[0], "figures").get(key)) for key in shown]
    after = [finite(nested(last, "figures").get(key)) for key in shown]
    rows = zip(shown.values(), first, after, strict=True)
    return [HeadlineFigure(*words, old, new) for words, old, new in rows if old is not None and new is not None]


def change_interval(before: Mapping[str, Any], after: Mapping[str, Any]) -> Interval | None:
    """95 % interval of the mean change over images, drawn image by image together.

    Args:
        before: figure of each image by its key.
        after: the same; images of one side alone are left out.

    Returns:
        Lower and upper end; None with fewer than two images.
    """
    pairs = [(finite(before[key]), finite(after[key])) for key in before if key in after]
    known = np.array([pair for pair in pairs if None not in pair], dtype=np.float64)
    if len(known) < 2:
        return None
    ones = np.ones(len(known))
    sides = [np.stack([known[:, side], ones], axis=1) for side in (0, 1)]
    # resamples hold as many images each, so that the second column is their number
    return paired_interval([sides[1]], [sides[0]], lambda sums: sums[..., 0, 0] / sums[..., 0, 1])


def _verdict(figure: HeadlineFigure) -> Verdict:
    """Whether the change can be told from chance; without an interval, by its sign."""
    change = (figure.after or 0.0) - (figure.before or 0.0)
    low, high = figure.interval or (change, change)
    if low > 0:
        return "better"
    return "worse" if high < 0 else "undecided"


def _sentence(figure: HeadlineFigure, verdict: Verdict) -> str:
    start = {
        "better": "The rounds helped",
        "worse": "The rounds did harm",
        "undecided": "Whether the rounds helped cannot be told from chance",
    }[verdict]
    before, after = (number(value, figure.digits) for value in (figure.before, figure.after))
    if figure.interval == (0.0, 0.0):
        # no image differs, as where no step was trained
        return f"The rounds changed nothing: {figure.name} {before}."
    sentence = f"{start}: {figure.name} {before} \u2192 {after}"
    if figure.interval is None or math.isnan(sum(figure.interval)):
        return f"{sentence}."
    low, high = (signed(end) for end in figure.interval)
    return f"{sentence} (change {signed((figure.after or 0.0) - (figure.before or 0.0))}, 95 % {low} to {high})."


def _notes(guard: Mapping[str, Any]) -> tuple[str, ...]:
    """Limits that were broken, and that another state than the best was exported."""
    states: Sequence[Mapping[str, Any]] = guard.get("states") or []
    broken = [f"State {one.get('round')} broke a limit: {why}." for one in states for why in one.get("tripped") or []]
    best, exported = nested(guard, "best"), exported_state(guard)
    if not states or best.get("round") is None or best.get("round") == exported.get("round"):
        return tuple(broken)
    scores = [number(one.get("held_out")) for one in (best, exported)]
    better = (
        f"Exported is state {exported.get('round')} ({criterion_name(guard)} {scores[1]}); "
        f"the best was state {best['round']} ({scores[0]}), kept in best/."
    )
    return (*broken, better)
