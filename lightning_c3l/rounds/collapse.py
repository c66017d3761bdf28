"""Signs of collapse in self-training: figures of a later state of the model compared with those of the first.

An LVLM that trains on its own texts can collapse while its scores rise: with the trained model as its own scorer,
S(I2C) grows while fewer candidates are true and one type of question takes over (see
`callbacks.guard_rails.GuardRails`). No figure here needs the truth.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lightning_c3l.functional.finite import finite
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.figures import HELD_OUT

_NAMES = {
    "parsed_rate": "parsed rate",
    "distinct_rate": "rate of distinct questions",
    "kind_entropy": "entropy of question types",
    "image_contrast": "contrast of S(I2C) between the right and another image",
    "answer_tokens": "mean answer length in tokens",
    "inflation": "S(I2C) by the run's scorer over that by the starting model",
}
# factors; all others are minimum shares
_FACTORS = ("answer_tokens", "inflation")


@dataclass(frozen=True)
class CollapseLimits:
    """How far a round may fall behind the first one; null ignores a figure.

    All but the last two are shares of the first round's figure; a rise is always allowed: better generators parse
    better and depend more on the image.

    Attributes:
        parsed_rate: minimum share of parsed texts; those without question and answer are the first sign of collapse.
        distinct_rate: minimum share of distinct questions; good generators repeat themselves more too.
        kind_entropy: minimum share of the entropy of the types of questions, which falls if one type takes over.
        image_contrast: minimum share of the contrast between S(I2C) with the right and with another image, which falls
            if another image would do as well. With the trained model as the scorer both means of S(I2C) may rise
            together, which their difference alone would not show.
        held_out: minimum share of the first state's `held_out_criterion`, scored by the frozen starting model.
        answer_tokens: answers may become at most this many times as long, or as short.
        inflation: S(I2C) by the run's scorer may rise at most this many times as much as by the frozen starting model;
            more means that the model grows overconfident. It stays near 1 if the starting model is the scorer.
    """

    parsed_rate: float | None = 0.9
    distinct_rate: float | None = 0.5
    kind_entropy: float | None = 0.9
    image_contrast: float | None = 0.5
    held_out: float | None = 0.8
    answer_tokens: float | None = 2.0
    inflation: float | None = 1.5

    def __post_init__(self) -> None:
        """Refuse limits that the first round itself would violate."""
        for name, limit in asdict(self).items():
            if limit is None:
                continue
            if name in _FACTORS and not limit > 1:
                raise ValueError(f"guard.limits.{name} is a factor above 1, or null, not {limit}")
            if name not in _FACTORS and not 0 < limit <= 1:
                raise ValueError(
                    f"guard.limits.{name} is a share of round 0, above 0 and at most 1, or null, not {limit}"
                )


def tripped(
    first: Mapping[str, Any],
    now: Mapping[str, Any],
    limits: CollapseLimits = CollapseLimits(),
    criterion: str = HELD_OUT,
) -> list[str]:
    """Limits that a state violates.

    A figure that is missing in the first state, or not above 0 there, is ignored. One that was there and is missing now
    violates its limit.

    Args:
        first: figures of the first state, by the names of `CollapseLimits`.
        now: figures of the state that is judged.
        limits: how far they may fall.
        criterion: name of `held_out`, which says on which images it was measured.

    Returns:
        A sentence per violated limit.
    """
    sentences, names = list[str](), {**_NAMES, "held_out": criterion}
    for name, limit in asdict(limits).items():
        before, after = finite(first.get(name)), finite(now.get(name))
        if limit is None or before is None or before <= 0:
            continue
        if after is None:
            sentences.append(f"{names[name]} was {before:.3f} at first and cannot be measured any more")
            continue
        if name == "answer_tokens":
            holds, bound = before / limit <= after <= before * limit, f"more than {limit:g} times as long or as short"
        elif name == "inflation":
            holds, bound = after <= limit * before, f"above {limit:g} times as much"
        else:
            holds, bound = after >= limit * before, f"below {limit:g} of it"
        if not holds:
            sentences.append(f"{names[name]} went from {before:.3f} at first to {after:.3f}, {bound}")
    return sentences


def held_out_criterion(scored: Sequence[ScoredCandidate]) -> float | None:
    """How much candidates depend on their own image and on no other, on average over all that were generated.

    That is S(I2C) with the right image less S(I2C) with another one (the `answer` reading, in nats a token); a text
    that cannot be parsed, or has no such control, adds nothing. So a model gains nothing by generating only what is
    easy to parse, nor by answers that fit every image. It must be scored by the frozen starting model: a model's
    score of its own texts rises as it grows overconfident, whatever they say. It does rise if questions drift to a
    kind that scores high: a state that drifted must be told by its `kind_entropy`.

    Returns:
        The criterion, None without candidates.
    """
    return math.fsum(map(_gap, scored)) / len(scored) if scored else None


def held_out_by_image(scored: Sequence[ScoredCandidate]) -> dict[str, float]:
    """`held_out_criterion` of the candidates of each image, by its key: what intervals over images are drawn from."""
    gaps = defaultdict[str, list[float]](list)
    for one in scored:
        gaps[one.candidate.image].append(_gap(one))
    return {image: math.fsum(own) / len(own) for image, own in gaps.items()}


def _gap(one: ScoredCandidate) -> float:
    """S(I2C) with the right image less that with another; 0 where either is missing."""
    if one.scores is None or one.shuffled is None:
        return 0.0
    return finite(one.scores.answer - one.shuffled) or 0.0


def inflation(own: object, reference: object) -> float | None:
    """Mean S(I2C) of a state's texts by the run's scorer, over that by the starting model; None where there is none.

    Both are of other images, so it means something only beside that of another state.
    """
    above, below = finite(own), finite(reference)
    return None if above is None or below is None or below <= 0 else above / below
