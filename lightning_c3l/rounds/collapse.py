"""Signs that self-training collapses: figures of a later state of the model against those of its first.

A writer that trains on its own texts can fall apart while its scores rise: with the trained model as its own scorer,
S(I2C) grows as the truth of what it writes falls and one kind of question takes over (see
`callbacks.guard_rails.GuardRails`). No figure here needs the truth.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lightning_c3l.functional.finite import finite
from lightning_c3l.records import ScoredCandidate

_NAMES = {
    "parsed_rate": "parsed rate",
    "distinct_rate": "rate of distinct questions",
    "kind_entropy": "entropy of question kinds",
    "image_contrast": "contrast of S(I2C) between the right and another image",
    "held_out": "S(I2C) on held-out images",
    "answer_tokens": "mean answer length in tokens",
    "inflation": "S(I2C) by the run's scorer over that by the starting model",
}
# factors; all others are least shares
_FACTORS = ("answer_tokens", "inflation")


@dataclass(frozen=True)
class CollapseLimits:
    """How far a round may fall behind the first one; null leaves a figure out.

    All but the last two are shares of the first round's figure, whose rise never counts against a state: better writers
    parse better and owe more to the image.

    Attributes:
        parsed_rate: least share; texts that hold no question and answer are the first thing a broken writer writes.
        distinct_rate: least share; good writers repeat themselves more too, so there is some room.
        kind_entropy: least share; falls where one kind of question takes over.
        image_contrast: least share; falls where another image would do as well. Both means of S(I2C) may rise together
            where the trained model scores, so the difference alone would not show it.
        held_out: least share of the starting model's `held_out_criterion`, which the frozen starting model scores.
        answer_tokens: answers may become at most so many times as long, or as short.
        inflation: S(I2C) by the run's scorer may rise at most so many times as much as by the frozen starting model;
            more than that is a model that grows sure of itself. It stays near 1 where the starting model scores anyway.
    """

    parsed_rate: float | None = 0.9
    distinct_rate: float | None = 0.5
    kind_entropy: float | None = 0.9
    image_contrast: float | None = 0.5
    held_out: float | None = 0.8
    answer_tokens: float | None = 2.0
    inflation: float | None = 1.5

    def __post_init__(self) -> None:
        """Refuse limits that the first round itself would break."""
        for name, limit in asdict(self).items():
            if limit is None:
                continue
            if name in _FACTORS and not limit > 1:
                raise ValueError(f"guard.limits.{name} is a factor above 1, or null, not {limit}")
            if name not in _FACTORS and not 0 < limit <= 1:
                raise ValueError(
                    f"guard.limits.{name} is a share of round 0, above 0 and at most 1, or null, not {limit}"
                )


def tripped(first: Mapping[str, Any], now: Mapping[str, Any], limits: CollapseLimits = CollapseLimits()) -> list[str]:
    """Which limits a state breaks.

    A figure that the first state lacks, or that is not above 0 there, has nothing to be compared with and is passed
    over. One that was there and is gone breaks its limit: nothing is left to measure.

    Args:
        first: figures of the first state, by the names of `CollapseLimits`.
        now: the same of the state that is judged.
        limits: how far it may fall.

    Returns:
        A sentence for each broken limit.
    """
    found = (_broken(name, limit, first.get(name), now.get(name)) for name, limit in asdict(limits).items())
    return [sentence for sentence in found if sentence]


def held_out_criterion(scored: Sequence[ScoredCandidate]) -> float | None:
    """What a writer's text owes to its own image and to no other, on average over everything it wrote.

    That is S(I2C) with the right image less S(I2C) with another one (the `answer` reading, in nats a token); a text
    that cannot be parsed, or has no such control, adds nothing. So a writer gains nothing by writing only what is easy
    to parse, nor by answers that fit every image. It must be scored by the frozen starting model: a model's score of
    its own texts rises as it grows sure of itself, whatever they say. It does rise where questions drift to a kind that
    scores high: a state that drifted must be told by its `kind_entropy`.

    Returns:
        The criterion, None where nothing was written.
    """
    if not scored:
        return None
    gaps = (one.scores.answer - one.shuffled for one in scored if one.scores and one.shuffled is not None)
    return math.fsum(gap for gap in gaps if math.isfinite(gap)) / len(scored)


def inflation(own: object, reference: object) -> float | None:
    """Mean S(I2C) of a state's texts by the run's scorer, over that by the starting model; None where there is none.

    Both are of other images, so it means something only beside that of another state.
    """
    above, below = finite(own), finite(reference)
    return None if above is None or below is None or below <= 0 else above / below


def _broken(name: str, limit: float | None, first: object, now: object) -> str:
    """What to say of one figure; empty where it holds."""
    before, after = finite(first), finite(now)
    if limit is None or before is None or before <= 0:
        return ""
    if after is None:
        return f"{_NAMES[name]} was {before:.3f} at first and cannot be measured any more"
    if name == "answer_tokens":
        holds, bound = before / limit <= after <= before * limit, f"more than {limit:g} times as long or as short"
    elif name == "inflation":
        holds, bound = after <= limit * before, f"above {limit:g} times as much"
    else:
        holds, bound = after >= limit * before, f"below {limit:g} of it"
    return "" if holds else f"{_NAMES[name]} went from {before:.3f} at first to {after:.3f}, {bound}"
