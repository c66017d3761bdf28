"""From scores to pseudo-labels and training weights.

A `reading` names the column of `Scores` to go by: one of the four readings of S(I2C)
(see `lightning_c3l.functional.i2c`), or `mean_logp` and `mean_logq` as controls. Our reading of C3L, arXiv 2405.12752.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.records import Group, ScoredCandidate, Scores
from lightning_c3l.selection.quotas import capped_shares
from lightning_c3l.selection.texts import normalised

# The length is no score: choosing by it is what the length-matched control guards against.
_SELECTABLE = tuple(field.name for field in fields(Scores) if field.name != "tokens")

GroupBy = Literal["instruction", "image"]


def grouped(candidates: Sequence[ScoredCandidate], by: GroupBy = "instruction") -> list[list[ScoredCandidate]]:
    """Split candidates into the groups that `select_group` takes.

    Args:
        candidates: the candidates of a round.
        by: one group per (image, instruction), or per image with all of its instructions: an ablation in which one
            kind of instruction takes over.

    Returns:
        Groups in the order of their first candidates, candidates within in input order.

    Raises:
        ValueError: `by` is neither.
    """
    groups: dict[object, list[ScoredCandidate]] = defaultdict(list)
    for one in candidates:
        groups[_group_of(one, by)].append(one)
    return list(groups.values())


def select_group(
    candidates: Sequence[ScoredCandidate], reading: str = "answer", margin: float = 0.0, by: GroupBy = "instruction"
) -> tuple[Group | None, list[ScoredCandidate]]:
    """Choose the pseudo-labels of one (image, instruction), or of one image.

    The candidate with the best reading is the positive (ties: the lowest sample number). Of equal texts (question and
    answer alike but for case, spacing and end punctuation) only the best counts, since the same text as positive and
    negative is noise. The others are negatives if they score at least `margin` below the positive. In a group of one
    image the positive may answer any of its instructions, and training takes all texts of the group for answers to
    that one.

    Args:
        candidates: all candidates of one group (see `grouped`).
        reading: the score to rank by.
        margin: least distance of a negative from the positive, in the reading's unit, at least 0.
        by: what the group was made by.

    Returns:
        The group, None with no usable candidate; and all candidates in input order with their status: positive,
        negative, margin, duplicate or rejected.

    Raises:
        ValueError: candidates of several groups, an unknown reading, a score that is not finite, or a margin below 0.
    """
    if margin < 0:
        raise ValueError(f"margin must not be below 0, not {margin}")
    if len({_group_of(c, by) for c in candidates}) > 1:
        unit = "image" if by == "image" else "(image, instruction)"
        raise ValueError(f"select_group takes the candidates of one {unit}")
    usable = [i for i, c in enumerate(candidates) if c.scores is not None]
    ranked = sorted(usable, key=lambda i: (-reading_of(candidates[i], reading), candidates[i].candidate.sample))
    statuses = ["rejected"] * len(candidates)
    seen: set[tuple[str, str]] = set()
    for i in ranked:
        text = normalised(candidates[i].candidate.question), normalised(candidates[i].candidate.answer)
        below = reading_of(candidates[ranked[0]], reading) - reading_of(candidates[i], reading)
        if text in seen:
            statuses[i] = "duplicate"
        elif not seen:
            statuses[i] = "positive"
        else:
            statuses[i] = "negative" if below >= margin else "margin"
        seen.add(text)
    judged = [replace(c, status=status) for c, status in zip(candidates, statuses, strict=True)]
    if not ranked:
        return None, judged
    return Group(judged[ranked[0]], tuple(c for c in judged if c.status == "negative")), judged


def group_weights(kinds: NDArray[np.int32], scores: NDArray[np.float64], cap: float = 3.0) -> NDArray[np.float64]:
    """Weight groups by the score of their positive.

    Each group gets w = max(S of its positive, 0), scaled to mean 1 within its kind of instruction, so that a kind with
    higher scores does not take over, and capped there (see `capped_shares`). A kind with no score above 0 gets w = 1
    throughout; one with so few that they would exceed the cap has them at the cap and divides the rest equally among
    its other groups.

    Loss and sampler share w equally: `weight` and `sampling_weight` are both proportional to sqrt(w), scaled to mean 1
    over the round. The expected contribution of a group to the gradient, its sampling rate times its weight in the
    loss, is then proportional to w.

    Args:
        kinds: number of the kind of each group's positive, `[G]`.
        scores: its reading, finite, `[G]`.
        cap: largest w, at least 1.

    Returns:
        The weight of each group in the loss, and for the sampler, `[G]`.

    Raises:
        ValueError: a cap below 1.
    """
    if not cap >= 1:
        raise ValueError(f"cap must be at least 1, the mean of the weights, not {cap}")
    roots = np.empty(len(scores))
    for kind in np.unique(kinds):
        own = kinds == kind
        roots[own] = np.sqrt(capped_shares(np.maximum(scores[own], 0.0), cap))
    # one after the other, as weights have been summed from the first version on
    mean = sum(roots.data) / len(roots) if len(roots) else 1.0
    return roots / mean


def _group_of(one: ScoredCandidate, by: GroupBy) -> object:
    """Key of a candidate's group."""
    if by not in ("instruction", "image"):
        raise ValueError(f"group_by must be instruction or image, not {by!r}")
    return one.candidate.image if by == "image" else (one.candidate.image, one.candidate.instruction)


def scores_of(scored: ScoredCandidate) -> Scores:
    """The scores of a candidate.

    Raises:
        ValueError: it has none.
    """
    if scored.scores is None:
        raise ValueError(f"{_name(scored)} has no scores")
    return scored.scores


def reading_of(scored: ScoredCandidate, reading: str) -> float:
    """The value of a candidate's reading.

    Raises:
        ValueError: the reading is unknown, or the candidate has none. A nan would make rankings depend on input order.
    """
    if reading not in _SELECTABLE:
        raise ValueError(f"unknown reading {reading!r}, choose from {', '.join(_SELECTABLE)}")
    value = float(getattr(scores_of(scored), reading))
    if not math.isfinite(value):
        raise ValueError(f"{_name(scored)}: its {reading} reading is {value}")
    return value


def _name(scored: ScoredCandidate) -> str:
    candidate = scored.candidate
    return f"candidate of {candidate.image}, kind {candidate.instruction.kind!r}, sample {candidate.sample}"
