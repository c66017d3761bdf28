"""From scores to pseudo-labels and training weights.

A `reading` names the value of `Scores` to go by: one of the four readings of S(I2C)
(see `lightning_c3l.functional.i2c`), one of the user's own, or `mean_logp` and `mean_logq` as controls.
Our reading of C3L, arXiv 2405.12752.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.extensions import is_path
from lightning_c3l.functional.i2c import reading_function
from lightning_c3l.records import Group, Origin, Pooling, ScoredCandidate, Scores
from lightning_c3l.selection.quotas import capped_shares, even_yes_no
from lightning_c3l.selection.scoring_config import ScoringConfig, Unit, own_readings
from lightning_c3l.selection.texts import normalised

# The length is no score: choosing by it is what the length-matched control guards against.
_SELECTABLE = tuple(field.name for field in fields(Scores) if field.name not in ("tokens", "more"))

GroupBy = Literal["instruction", "image"]
Weighting = Literal["none", "sampler", "loss", "both"]
_WEIGHTINGS = ("none", "sampler", "loss", "both")
# `i2c.negatives`: the other candidates of the group, and further answers to its positive's question
_CANDIDATES = "candidates"
# there is one replayed question for each group
_MOST_REPLAY = 0.5
_ORIGINS: tuple[Origin, ...] = ("blind", "shuffled")


@dataclass(frozen=True)
class PseudoLabelConfig:
    """How pseudo-labels are chosen and weighed; flat options of `I2CReweighting`.

    Attributes:
        reading: reading of S(I2C) that chooses and weighs: `answer`, `positions`, `vocabulary`, `gap`, or one of your
            own, `module.function` (docs/extending/reading.md).
        margin: a negative scores at least this much below the positive.
        positive_margin: a group is trained on if its positive scores at least this much above the next candidate that
            says something else; one whose candidates all say the same is trained on whatever the margin.
        negatives: "candidates" for the other candidates of the group; "blind" or "shuffled" for answers of the scorer
            to the positive's question, without the image or about another one: what the language prior says;
            several joined by "+". Such answers take `writing.sampling.samples` texts for each group; none are made
            where the contrastive term does not take part.
        weighting: S(I2C) of the positive weighs a group in the loss, in the sampler, in both (to the square root each)
            or nowhere.
        balance_yes_no: whether the positives that answer yes weigh as much as those that answer no, within each kind
            and as far as `cap` allows; with `weighting: none` in the sampler.
        replay: share of the training samples that are greedy answers of the starting model to questions of the round,
            against forgetting how to answer; the likelihood of the answer is their loss. They come on top of what is
            drawn from the groups. At most 0.5; `writing.sampling.max_new_tokens` limits their length too.
        cap: no group weighs more than this many times the mean of its kind.
        group_by: whether pseudo-labels are chosen among the candidates of one image and `instruction`, or among all of
            one `image` (an ablation in which one kind of instruction takes over).
        pooling: how the values of an answer's tokens become its value: their mean (of C3L, as we read it), the lowest
            mean of a sentence, or the mean of the lowest quarter of the tokens. The last two look for the one wrong
            detail of a long answer; short answers are hardly affected.
        unit: `answer`, or `sentence`, which exports answers without the sentences that the image does not support.
            Rounds train on whole answers.
        sentence_min: smallest value of a sentence that counts as supported, in nats a token; at 0 the image makes it
            no less likely than it is without.
    """

    reading: str = "answer"
    margin: float = 0.0
    positive_margin: float = 0.0
    negatives: str = _CANDIDATES
    weighting: Weighting = "both"
    balance_yes_no: bool = False
    replay: float = 0.0
    cap: float = 3.0
    group_by: GroupBy = "instruction"
    pooling: Pooling = "mean"
    unit: Unit = "answer"
    sentence_min: float = 0.0

    def __post_init__(self) -> None:
        """Validate the options."""
        reading_function("i2c.reading", self.reading)
        for name, margin in (("margin", self.margin), ("positive_margin", self.positive_margin)):
            if not margin >= 0:
                raise ValueError(f"i2c.{name} must be at least 0, not {margin}")
        sources = self.negatives.split("+")
        if len(set(sources)) < len(sources) or not {_CANDIDATES, *_ORIGINS}.issuperset(sources):
            raise ValueError(
                f"i2c.negatives must be candidates, blind or shuffled, or several joined by +, not {self.negatives!r}"
            )
        if self.weighting not in _WEIGHTINGS:
            raise ValueError(f"i2c.weighting must be one of {', '.join(_WEIGHTINGS)}, not {self.weighting!r}")
        if not 0 <= self.replay <= _MOST_REPLAY:
            raise ValueError(f"i2c.replay must be between 0 and {_MOST_REPLAY}, not {self.replay}")
        if not self.cap >= 1:
            raise ValueError(f"i2c.cap must be at least 1, not {self.cap}")
        if self.group_by not in ("instruction", "image"):
            raise ValueError(f"i2c.group_by must be instruction or image, not {self.group_by!r}")
        try:
            ScoringConfig(pooling=self.pooling, unit=self.unit, by=self.reading, sentence_min=self.sentence_min)
        except ValueError as error:
            raise ValueError(f"i2c.{error}") from error

    @property
    def scoring(self) -> ScoringConfig:
        """How the candidates of a round are scored: as whole answers, by the chosen reading too if it is not ours."""
        return ScoringConfig(pooling=self.pooling, readings=own_readings(self.reading))

    @property
    def uses_candidates(self) -> bool:
        """Whether the other candidates of a group are its negatives."""
        return _CANDIDATES in self.negatives.split("+")

    @property
    def prior(self) -> tuple[Origin, ...]:
        """Which further answers are negatives."""
        return tuple(name for name in _ORIGINS if name in self.negatives.split("+"))

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Which further answers there are."""
        return (*self.prior, *(("replay",) if self.replay else ()))


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
    candidates: Sequence[ScoredCandidate],
    config: PseudoLabelConfig = PseudoLabelConfig(),  # frozen
    answers: Sequence[ScoredCandidate] = (),
) -> tuple[Group | None, list[ScoredCandidate]]:
    """Choose the pseudo-labels of one (image, instruction), or of one image.

    The candidate with the best reading is the positive (ties: the lowest sample number). Of equal texts (question and
    answer alike but for case, spacing and end punctuation) only the best counts, since the same text as positive and
    negative is noise. The others are negatives if they score at least `margin` below the positive. In a group of one
    image the positive may answer any of its instructions, and training takes all texts of the group for answers to
    that one.

    Args:
        candidates: all candidates of one group (see `grouped`).
        config: the options.
        answers: further answers to the positive's question, which can be negatives but not the positive.

    Returns:
        The group, None with no usable candidate or if the positive does not stand out; and all candidates, then all
        answers, in input order with their status: positive, negative, margin, unused, duplicate or rejected.

    Raises:
        ValueError: candidates of several groups, or a score that is not finite.
    """
    everything = [*candidates, *answers]
    if len({_group_of(one, config.group_by) for one in everything}) > 1:
        unit = "image" if config.group_by == "image" else "(image, instruction)"
        raise ValueError(f"select_group takes the candidates of one {unit}")
    statuses = ["rejected" if one.scores is None else "duplicate" for one in everything]
    distinct, is_clear = _distinct(candidates, config.reading, set()), False
    if distinct:
        best = reading_of(candidates[distinct[0]], config.reading)

        def is_below(i: int, margin: float) -> bool:
            return best - reading_of(everything[i], config.reading) >= margin

        is_clear = all(is_below(i, config.positive_margin) for i in distinct[1:2])
        others = distinct[1:] if config.uses_candidates else []
        known = {_said(candidates[i]) for i in (distinct[0], *others)}
        further = [len(candidates) + i for i in _distinct(answers, config.reading, known)]
        for i in (*distinct, *further):
            statuses[i] = "unused" if is_clear else "margin"
        for i in (*others, *further) if is_clear else ():
            statuses[i] = "negative" if is_below(i, config.margin) else "margin"
        if is_clear:
            statuses[distinct[0]] = "positive"
    judged = [replace(one, status=status) for one, status in zip(everything, statuses, strict=True)]
    if not is_clear:
        return None, judged
    return Group(judged[distinct[0]], tuple(one for one in judged if one.status == "negative")), judged


def _distinct(scored: Sequence[ScoredCandidate], reading: str, known: set[tuple[str, str]]) -> list[int]:
    """Positions of those with scores that say something new, the best first; what they say is added to `known`."""
    usable = [i for i, one in enumerate(scored) if one.scores is not None]
    distinct = list[int]()
    for i in sorted(usable, key=lambda i: (-reading_of(scored[i], reading), scored[i].candidate.sample)):
        if (said := _said(scored[i])) not in known:
            distinct.append(i)
            known.add(said)
    return distinct


def _said(one: ScoredCandidate) -> tuple[str, str]:
    return normalised(one.candidate.question), normalised(one.candidate.answer)


def group_weights(
    kinds: NDArray[np.int32],
    scores: NDArray[np.float64],
    polarity: NDArray[np.int8],
    config: PseudoLabelConfig = PseudoLabelConfig(),  # frozen
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight groups by the score of their positive.

    Each group gets w = max(S of its positive, 0), scaled to mean 1 within its kind of instruction, so that a kind with
    higher scores does not take over, and capped there (see `capped_shares`). A kind with no score above 0 gets w = 1
    throughout; one with so few that they would exceed the cap has them at the cap and divides the rest equally among
    its other groups. With `balance_yes_no`, w of yes and w of no have the same sum within a kind before they are
    capped.

    The expected contribution of a group to the gradient, its sampling rate times its weight in the loss, is
    proportional to w: loss and sampler share it equally, each takes sqrt(w), or one of them takes it alone.

    Args:
        kinds: number of the kind of each group's positive, `[G]`.
        scores: its reading, finite, `[G]`.
        polarity: 1 where it answers yes, -1 for no, 0 for another answer, `[G]`.
        config: the options.

    Returns:
        The weight of each group in the loss, and for the sampler, both of mean 1, `[G]`.
    """
    w, equal = np.empty(len(scores)), np.ones(len(scores))
    values = equal if config.weighting == "none" else np.maximum(scores, 0.0)
    for kind in np.unique(kinds):
        own = kinds == kind
        # where no score is above 0, yes and no are balanced all the same
        shares = values[own] if values[own].any() else equal[own]
        w[own] = capped_shares(even_yes_no(shares, polarity[own]) if config.balance_yes_no else shares, config.cap)
    if config.weighting == "both":
        roots = _of_mean_one(np.sqrt(w))
        return roots, roots
    return (_of_mean_one(w), equal) if config.weighting == "loss" else (equal, _of_mean_one(w))


def _of_mean_one(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    # one after the other, as weights have been summed from the first version on
    return weights / (sum(weights.data) / len(weights)) if len(weights) else weights


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
    if reading not in _SELECTABLE and not is_path(reading):
        raise ValueError(f"unknown reading {reading!r}, choose from {', '.join(_SELECTABLE)}")
    value = scores_of(scored).value(reading)
    if is_path(reading) and math.isnan(value):
        raise ValueError(f"{_name(scored)}: it was not scored by {reading}; score it by this reading first")
    if not math.isfinite(value):
        raise ValueError(f"{_name(scored)}: its {reading} reading is {value}")
    return value


def _name(scored: ScoredCandidate) -> str:
    candidate = scored.candidate
    return f"candidate of {candidate.image}, kind {candidate.instruction.kind!r}, sample {candidate.sample}"
