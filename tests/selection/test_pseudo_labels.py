"""Pseudo-labels and weights, on cases small enough to work out by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lightning_c3l.records import Group, Instruction, ScoredCandidate
from lightning_c3l.selection.pseudo_labels import PseudoLabelConfig, group_weights, grouped, select_group
from tests.helpers.scored import scored


def _statuses(candidates: list[ScoredCandidate]) -> list[str]:
    return [c.status for c in candidates]


# --- grouped


def test_groups_are_of_one_image_and_instruction() -> None:
    # the same kind in other words is another instruction
    other = replace(scored(0.4), candidate=replace(scored(0.4).candidate, instruction=Instruction("short", "Ask.")))
    candidates = [scored(0.1, image="b"), scored(0.2, image="a"), other, scored(0.3, 1, image="b"), scored(None)]
    groups = grouped(candidates)
    assert groups == [[candidates[0], candidates[3]], [candidates[1]], [other], [candidates[4]]]
    assert grouped([]) == []


def test_groups_of_an_image_mix_its_instructions() -> None:
    candidates = [scored(0.1, image="b"), scored(0.2, image="a"), scored(0.3, 1, image="b", kind="long")]
    assert grouped(candidates, "image") == [[candidates[0], candidates[2]], [candidates[1]]]


def test_a_mixed_group_has_one_positive_among_all_kinds() -> None:
    candidates = [
        scored(0.1, 0, kind="color"),
        scored(0.4, 1, kind="color"),
        scored(0.9, 0, "How many?", "two", kind="number"),
        # what another instruction was answered with too is a duplicate
        scored(0.2, 1, "What is thing1?", kind="number"),
        scored(None, 2, kind="number"),
    ]
    group, judged = select_group(candidates, PseudoLabelConfig(group_by="image"))
    assert _statuses(judged) == ["negative", "negative", "positive", "duplicate", "rejected"]
    assert group == Group(judged[2], (judged[0], judged[1]))


def test_groups_that_mix_more_than_they_may_are_refused() -> None:
    mixed = [scored(0.1, kind="color"), scored(0.2, kind="number")]
    with pytest.raises(ValueError, match=r"one \(image, instruction\)"):
        select_group(mixed)
    with pytest.raises(ValueError, match="one image"):
        select_group([scored(0.1, image="a"), scored(0.2, image="b")], PseudoLabelConfig(group_by="image"))
    with pytest.raises(ValueError, match="group_by must be instruction or image, not 'kind'"):
        grouped(mixed, "kind")  # type: ignore[arg-type]


# --- select_group


def test_best_reading_is_the_positive() -> None:
    candidates = [scored(0.1, 0), scored(0.5, 1), scored(-0.2, 2), scored(None, 3)]
    group, judged = select_group(candidates)
    assert _statuses(judged) == ["negative", "positive", "negative", "rejected"]
    assert [replace(c, status="") for c in judged] == candidates
    assert group is not None
    assert group.positive == judged[1]
    assert group.negatives == (judged[0], judged[2])
    assert (group.weight, group.sampling_weight) == (1.0, 1.0)


def test_the_reading_is_a_choice() -> None:
    candidates = [scored(0.9, 0, gap=0.1), scored(0.1, 1, gap=0.9)]
    assert _statuses(select_group(candidates, PseudoLabelConfig(reading="gap"))[1]) == ["negative", "positive"]
    # 0 for both: the lower sample number wins
    assert _statuses(select_group(candidates, PseudoLabelConfig(reading="vocabulary"))[1]) == ["positive", "negative"]


def test_ties_go_to_the_lowest_sample_number() -> None:
    _, judged = select_group([scored(0.5, 2), scored(0.5, 0), scored(0.5, 1)])
    assert _statuses(judged) == ["negative", "positive", "negative"]


def test_margin_leaves_close_ones_out() -> None:
    # 0.75 - 0.5 is exactly the margin and still counts as negative.
    group, judged = select_group([scored(0.75, 0), scored(0.625, 1), scored(0.5, 2)], PseudoLabelConfig(margin=0.25))
    assert _statuses(judged) == ["positive", "margin", "negative"]
    assert group is not None
    assert group.negatives == (judged[2],)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What colour is it?", "Red"),
        ("WHAT COLOUR IS IT ?!", "red."),
        ("  what\tcolour  is\nit", " red  …"),
    ],
)
def test_duplicates_are_found_after_normalisation(question: str, answer: str) -> None:
    candidates = [
        scored(0.2, 0, "What colour is it?", "Red"),
        scored(0.3, 1, question, answer),
        scored(0.1, 2, "How many?", "2"),
    ]
    group, judged = select_group(candidates)
    assert _statuses(judged) == ["duplicate", "positive", "negative"]
    assert group is not None
    assert len(group.negatives) == 1


def test_same_question_with_another_answer_is_no_duplicate_within_a_group() -> None:
    _, judged = select_group([scored(0.2, 0, "Q?", "50%"), scored(0.1, 1, "Q?", "50"), scored(0.1, 2, "Q?", "5")])
    assert _statuses(judged) == ["positive", "negative", "negative"]


def test_equally_scored_duplicates_keep_the_lowest_sample_number() -> None:
    _, judged = select_group([scored(0.2, 1, "Q?", "a"), scored(0.2, 0, "q", "A")])
    assert _statuses(judged) == ["duplicate", "positive"]


def test_a_lone_positive_is_still_a_group() -> None:
    group, judged = select_group([scored(-0.4, 0), scored(None, 1)])
    assert group is not None
    assert group.negatives == ()
    assert _statuses(judged) == ["positive", "rejected"]


def test_a_positive_that_does_not_stand_out_makes_no_group() -> None:
    # the next one that says something else lies 0.25 below
    candidates = [scored(0.75, 0, "Q?", "a"), scored(0.75, 1, "Q?", "a"), scored(0.5, 2, "Q?", "b"), scored(None, 3)]
    group, judged = select_group(candidates, PseudoLabelConfig(positive_margin=0.25))
    assert group is not None
    assert _statuses(judged) == ["positive", "duplicate", "negative", "rejected"]
    group, judged = select_group(candidates, PseudoLabelConfig(positive_margin=0.3))
    assert group is None
    assert _statuses(judged) == ["margin", "duplicate", "margin", "rejected"]
    # with nothing to be told from
    group, judged = select_group(candidates[:2], PseudoLabelConfig(positive_margin=9.0))
    assert group is not None
    assert _statuses(judged) == ["positive", "duplicate"]


def answered(score: float | None, sample: int, answer: str) -> ScoredCandidate:
    """An answer without the image."""
    one = scored(score, sample, "Q?", answer)
    return replace(one, candidate=replace(one.candidate, origin="blind"))


def test_answers_of_the_prior_are_negatives_but_no_positive() -> None:
    candidates = [scored(0.75, 0, "Q?", "a"), scored(0.5, 1, "Q?", "b"), scored(0.25, 2, "Q?", "c")]
    answers = [
        *(answered(-0.5, 3, "B."), answered(0.0, 4, "A"), answered(0.75, 5, "e"), answered(-0.25, 6, "d")),
        *(answered(-0.75, 7, "d"), answered(None, 8, "f")),
    ]
    group, judged = select_group(candidates, PseudoLabelConfig(negatives="blind", margin=0.125), answers)
    assert _statuses(judged[:3]) == ["positive", "unused", "unused"]
    # what another candidate says is a negative, what the positive says is none, and equal ones count once
    assert _statuses(judged[3:]) == ["negative", "duplicate", "margin", "negative", "duplicate", "rejected"]
    assert group == Group(judged[0], (judged[3], judged[6]))
    group, judged = select_group(candidates, PseudoLabelConfig(negatives="candidates+blind", margin=0.125), answers)
    assert _statuses(judged[:3]) == ["positive", "negative", "negative"]
    assert _statuses(judged[3:]) == ["duplicate", "duplicate", "margin", "negative", "duplicate", "rejected"]
    assert group == Group(judged[0], (judged[1], judged[2], judged[6]))


def test_nothing_usable_is_no_group() -> None:
    assert select_group([]) == (None, [])
    group, judged = select_group([scored(None, 0), scored(None, 1)])
    assert group is None
    assert _statuses(judged) == ["rejected", "rejected"]


def test_select_group_rejects_bad_input() -> None:
    with pytest.raises(ValueError, match=r"one \(image, instruction\)"):
        select_group([scored(0.1, 0), scored(0.1, 1, image="b.png")])
    with pytest.raises(ValueError, match=r"one \(image, instruction\)"):
        select_group([scored(0.1, 0), scored(None, 1, kind="detail")])
    with pytest.raises(ValueError, match=r"a\.png.*sample 4.*nan"):
        select_group([scored(math.nan, 4)])


# --- group_weights


def _weights(*kinds: list[float], cap: float = 3.0) -> list[float]:
    """Weights of groups whose positives have these scores, kind after kind; they are those of the sampler too."""
    numbers = np.repeat(np.arange(len(kinds), dtype=np.int32), [len(own) for own in kinds])
    scores = np.array([score for own in kinds for score in own], np.float64)
    loss, sampler = group_weights(numbers, scores, np.zeros(len(scores), np.int8), PseudoLabelConfig(cap=cap))
    assert np.array_equal(loss, sampler)
    return list(loss)


def _pulls(weights: list[float]) -> list[float]:
    """Expected pull of each group on the gradient: how often it is drawn times what it weighs."""
    return [weight * weight for weight in weights]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_weights_closed_form() -> None:
    # w = S / mean S = (1/2, 1, 3/2); loss and sampler take sqrt(w) each, over its mean.
    weights = _weights([0.1, 0.2, 0.3])
    roots = [math.sqrt(0.5), 1.0, math.sqrt(1.5)]
    assert weights == pytest.approx([r / _mean(roots) for r in roots])
    assert _pulls(weights)[2] / _pulls(weights)[0] == pytest.approx(3.0)


def test_kinds_are_normalised_apart() -> None:
    pulls = _pulls(_weights([0.1, 0.3], [10.0, 30.0]))
    assert pulls[:2] == pytest.approx(pulls[2:])
    assert pulls[1] / pulls[0] == pytest.approx(3.0)


def test_kinds_may_take_turns() -> None:
    kinds, scores = np.array([0, 1, 0, 1], np.int32), np.array([0.1, 30.0, 0.3, 10.0])
    in_turn, _ = group_weights(kinds, scores, np.zeros(4, np.int8))
    assert in_turn[[0, 2, 3, 1]].tolist() == pytest.approx(_weights([0.1, 0.3], [10.0, 30.0]))


def test_negative_scores_count_as_zero() -> None:
    weights = _weights([-0.5, 0.2, 0.2])
    assert weights[0] == 0.0
    assert weights[1] == pytest.approx(weights[2])
    assert _mean(weights) == pytest.approx(1.0)


def test_a_kind_without_positive_scores_weighs_evenly() -> None:
    assert _weights([-0.5, 0.0, -0.1], [0.4, 0.4]) == pytest.approx([1.0] * 5)


def test_the_cap_holds_after_renormalisation() -> None:
    # S = (8, 2, 1, 1): w = (8/3, ...) is capped at 2; the other three share 4 - 2 = 2 as 2 : 1 : 1.
    pulls = _pulls(_weights([8.0, 2.0, 1.0, 1.0], cap=2.0))
    assert [p / pulls[3] for p in pulls] == pytest.approx([4.0, 2.0, 1.0, 1.0])
    # One pass of capping is not enough here: S = (30, 9, 1). 1.2 caps the first, sharing
    # 1.8 lifts the second past it.
    pulls = _pulls(_weights([30.0, 9.0, 1.0], cap=1.2))
    assert [p / pulls[2] for p in pulls] == pytest.approx([2.0, 2.0, 1.0])


def test_the_cap_holds_where_too_few_scores_are_positive() -> None:
    # Two groups of eight carry all the score; at cap 3 they hold 6 of 8, and the six others share the rest.
    pulls = _pulls(_weights([5.0, 1.0] + [-1.0] * 6, cap=3.0))
    assert [p / pulls[0] for p in pulls] == pytest.approx([1.0, 1.0] + [1 / 9] * 6)


def test_weights_average_one_over_the_round() -> None:
    assert _mean(_weights([0.3, 0.01, 4.0, 0.2], [7.0, 0.1, -3.0])) == pytest.approx(1.0)
    assert _weights() == []


def _both(config: PseudoLabelConfig, scores: list[float], polarity: list[int]) -> tuple[list[float], list[float]]:
    """Weights of groups of one kind in the loss and for the sampler."""
    kinds = np.zeros(len(scores), np.int32)
    loss, sampler = group_weights(kinds, np.array(scores), np.array(polarity, np.int8), config)
    return list(loss), list(sampler)


@pytest.mark.parametrize(("weighting", "weighed"), [("loss", 0), ("sampler", 1)])
def test_weights_go_to_the_loss_or_to_the_sampler(weighting: Any, weighed: int) -> None:
    both = _both(PseudoLabelConfig(weighting=weighting), [0.1, 0.2, 0.3], [0] * 3)
    # w = S / mean S
    assert both[weighed] == pytest.approx([0.5, 1.0, 1.5])
    assert both[1 - weighed] == [1.0] * 3


def test_groups_that_are_not_weighed() -> None:
    assert _both(PseudoLabelConfig(weighting="none"), [0.1, -0.2, 0.3], [1, -1, 0]) == ([1.0] * 3, [1.0] * 3)


def test_yes_and_no_weigh_alike() -> None:
    # yes 0.6 + 0.2 and no 0.2 have 1.0 together, 0.5 each; the other answer keeps its 0.5; the mean of all is 3/8
    config = PseudoLabelConfig(weighting="loss", balance_yes_no=True)
    weights, _ = _both(config, [0.6, 0.2, 0.2, 0.5], [1, 1, -1, 0])
    assert weights == pytest.approx([value / 0.375 for value in (0.375, 0.125, 0.5, 0.5)])


def test_yes_and_no_are_balanced_in_the_sampler_where_scores_do_not_weigh() -> None:
    config = PseudoLabelConfig(weighting="none", balance_yes_no=True)
    loss, sampler = _both(config, [0.1, 0.9, -0.3, 0.4], [1, 1, 1, -1])
    # yes counts 3, no counts 1: 2 each
    assert sampler == pytest.approx([2 / 3] * 3 + [2.0])
    assert loss == [1.0] * 4


def test_yes_and_no_are_balanced_where_no_score_is_above_0() -> None:
    config = PseudoLabelConfig(weighting="loss", balance_yes_no=True)
    # three times yes and once no weigh 2 each
    assert _both(config, [-0.1, -0.9, -0.3, -0.4], [1, 1, 1, -1])[0] == pytest.approx([2 / 3] * 3 + [2.0])


def test_the_cap_limits_the_balance() -> None:
    config = PseudoLabelConfig(weighting="none", balance_yes_no=True, cap=2.0)
    # no would weigh 4; what the cap cuts off goes to yes
    assert _both(config, [0.1] * 8, [1] * 7 + [-1])[1] == pytest.approx([6 / 7] * 7 + [2.0])


# --- options


@pytest.mark.parametrize(
    "options",
    [
        {"reading": "tokens"},
        {"margin": -0.1},
        {"positive_margin": float("nan")},
        {"negatives": "candidates+other"},
        {"negatives": "blind+blind"},
        {"negatives": ""},
        {"weighting": "everywhere"},
        {"cap": 0.9},
        {"replay": 0.6},
        {"replay": -0.1},
        {"group_by": "kind"},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^i2c\.{next(iter(options))} must be "):
        PseudoLabelConfig(**options)
