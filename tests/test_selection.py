"""Pseudo-labels, weights and the final keep list, on cases small enough to work out by hand."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from lightning_c3l.records import Candidate, Group, Instruction, ScoredCandidate, Scores
from lightning_c3l.selection import (
    drop_near_duplicates,
    grouped,
    keep_random_like,
    keep_top,
    near_duplicates,
    select_group,
    weigh_groups,
)


def _scored(
    answer_score: float | None,
    sample: int = 0,
    question: str | None = None,
    answer: str = "red",
    image: str = "a.png",
    kind: str = "short",
    tokens: int = 1,
    gap: float = 0.0,
) -> ScoredCandidate:
    """A candidate whose `answer` reading is the first argument, None for a rejected one."""
    question = f"What is thing{sample}?" if question is None else question
    instruction = Instruction(kind, f"Write a {kind} pair.")
    if answer_score is None:
        return ScoredCandidate(Candidate(image, instruction, sample, "junk", rejected="no question"))
    candidate = Candidate(image, instruction, sample, f"{question} {answer}", question, answer)
    return ScoredCandidate(candidate, Scores(answer_score, 0.0, 0.0, gap, -1.0, -2.0, tokens))


def _fates(candidates: list[ScoredCandidate]) -> list[str]:
    return [c.fate for c in candidates]


# --- grouped


def test_groups_are_of_one_image_and_instruction() -> None:
    # the same kind in other words is another instruction
    other = replace(_scored(0.4), candidate=replace(_scored(0.4).candidate, instruction=Instruction("short", "Ask.")))
    candidates = [_scored(0.1, image="b"), _scored(0.2, image="a"), other, _scored(0.3, 1, image="b"), _scored(None)]
    groups = grouped(candidates)
    assert groups == [[candidates[0], candidates[3]], [candidates[1]], [other], [candidates[4]]]
    assert grouped([]) == []


def test_groups_of_an_image_mix_its_instructions() -> None:
    candidates = [_scored(0.1, image="b"), _scored(0.2, image="a"), _scored(0.3, 1, image="b", kind="long")]
    assert grouped(candidates, "image") == [[candidates[0], candidates[2]], [candidates[1]]]


def test_a_mixed_group_has_one_positive_among_all_kinds() -> None:
    candidates = [
        _scored(0.1, 0, kind="color"),
        _scored(0.4, 1, kind="color"),
        _scored(0.9, 0, "How many?", "two", kind="number"),
        # what another instruction was answered with too is a duplicate
        _scored(0.2, 1, "What is thing1?", kind="number"),
        _scored(None, 2, kind="number"),
    ]
    group, judged = select_group(candidates, by="image")
    assert _fates(judged) == ["negative", "negative", "positive", "duplicate", "rejected"]
    assert group == Group(judged[2], (judged[0], judged[1]))


def test_groups_that_mix_more_than_they_may_are_refused() -> None:
    mixed = [_scored(0.1, kind="color"), _scored(0.2, kind="number")]
    with pytest.raises(ValueError, match=r"one \(image, instruction\)"):
        select_group(mixed)
    with pytest.raises(ValueError, match="one image"):
        select_group([_scored(0.1, image="a"), _scored(0.2, image="b")], by="image")
    with pytest.raises(ValueError, match="group_by must be instruction or image, not 'kind'"):
        grouped(mixed, "kind")  # type: ignore[arg-type]


# --- select_group


def test_best_reading_is_the_positive() -> None:
    candidates = [_scored(0.1, 0), _scored(0.5, 1), _scored(-0.2, 2), _scored(None, 3)]
    group, judged = select_group(candidates)
    assert _fates(judged) == ["negative", "positive", "negative", "rejected"]
    assert [c.with_fate("") for c in judged] == candidates
    assert group is not None
    assert group.positive == judged[1]
    assert group.negatives == (judged[0], judged[2])
    assert (group.weight, group.sampling_weight) == (1.0, 1.0)


def test_the_reading_is_a_choice() -> None:
    candidates = [_scored(0.9, 0, gap=0.1), _scored(0.1, 1, gap=0.9)]
    assert _fates(select_group(candidates, reading="gap")[1]) == ["negative", "positive"]
    # Plain confidence, the control, is -1 for both: the lower sample number wins.
    assert _fates(select_group(candidates, reading="mean_logp")[1]) == ["positive", "negative"]


def test_ties_go_to_the_lowest_sample_number() -> None:
    _, judged = select_group([_scored(0.5, 2), _scored(0.5, 0), _scored(0.5, 1)])
    assert _fates(judged) == ["negative", "positive", "negative"]


def test_margin_leaves_close_ones_out() -> None:
    # 0.75 - 0.5 is exactly the margin and still counts as negative.
    group, judged = select_group([_scored(0.75, 0), _scored(0.625, 1), _scored(0.5, 2)], margin=0.25)
    assert _fates(judged) == ["positive", "margin", "negative"]
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
        _scored(0.2, 0, "What colour is it?", "Red"),
        _scored(0.3, 1, question, answer),
        _scored(0.1, 2, "How many?", "2"),
    ]
    group, judged = select_group(candidates)
    assert _fates(judged) == ["duplicate", "positive", "negative"]
    assert group is not None
    assert len(group.negatives) == 1


def test_same_question_with_another_answer_is_no_duplicate_within_a_group() -> None:
    _, judged = select_group([_scored(0.2, 0, "Q?", "50%"), _scored(0.1, 1, "Q?", "50"), _scored(0.1, 2, "Q?", "5")])
    assert _fates(judged) == ["positive", "negative", "negative"]


def test_equally_scored_duplicates_keep_the_lowest_sample_number() -> None:
    _, judged = select_group([_scored(0.2, 1, "Q?", "a"), _scored(0.2, 0, "q", "A")])
    assert _fates(judged) == ["duplicate", "positive"]


def test_a_lone_positive_is_still_a_group() -> None:
    group, judged = select_group([_scored(-0.4, 0), _scored(None, 1)])
    assert group is not None
    assert group.negatives == ()
    assert _fates(judged) == ["positive", "rejected"]


def test_nothing_usable_is_no_group() -> None:
    assert select_group([]) == (None, [])
    group, judged = select_group([_scored(None, 0), _scored(None, 1)])
    assert group is None
    assert _fates(judged) == ["rejected", "rejected"]


def test_select_group_rejects_bad_input() -> None:
    with pytest.raises(ValueError, match=r"one \(image, instruction\)"):
        select_group([_scored(0.1, 0), _scored(0.1, 1, image="b.png")])
    with pytest.raises(ValueError, match=r"one \(image, instruction\)"):
        select_group([_scored(0.1, 0), _scored(None, 1, kind="detail")])
    with pytest.raises(ValueError, match="unknown reading 'tokens'"):
        select_group([_scored(0.1, 0)], reading="tokens")
    with pytest.raises(ValueError, match="margin"):
        select_group([_scored(0.1, 0)], margin=-0.1)
    with pytest.raises(ValueError, match=r"a\.png.*sample 4.*nan"):
        select_group([_scored(math.nan, 4)])


# --- weigh_groups


def _groups(scores: list[float], kind: str = "short") -> list[Group]:
    return [Group(_scored(s, i, kind=kind), ()) for i, s in enumerate(scores)]


def _pulls(groups: list[Group]) -> list[float]:
    """Expected pull of each group on the gradient: how often it is drawn times what it weighs."""
    return [g.weight * g.sampling_weight for g in groups]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_weights_closed_form() -> None:
    # w = S / mean S = (1/2, 1, 3/2); loss and sampler take sqrt(w) each, over its mean.
    groups = weigh_groups(_groups([0.1, 0.2, 0.3]))
    roots = [math.sqrt(0.5), 1.0, math.sqrt(1.5)]
    expected = [r / _mean(roots) for r in roots]
    assert [g.weight for g in groups] == pytest.approx(expected)
    assert [g.sampling_weight for g in groups] == pytest.approx(expected)
    assert _pulls(groups)[2] / _pulls(groups)[0] == pytest.approx(3.0)


def test_kinds_are_normalised_apart() -> None:
    groups = weigh_groups(_groups([0.1, 0.3]) + _groups([10.0, 30.0], "detail"))
    pulls = _pulls(groups)
    assert pulls[:2] == pytest.approx(pulls[2:])
    assert pulls[1] / pulls[0] == pytest.approx(3.0)


def test_negative_scores_count_as_zero() -> None:
    groups = weigh_groups(_groups([-0.5, 0.2, 0.2]))
    assert _pulls(groups)[0] == 0.0
    assert groups[1].weight == pytest.approx(groups[2].weight)
    assert _mean([g.weight for g in groups]) == pytest.approx(1.0)


def test_a_kind_without_positive_scores_weighs_evenly() -> None:
    groups = weigh_groups(_groups([-0.5, 0.0, -0.1]) + _groups([0.4, 0.4], "detail"))
    assert [g.weight for g in groups] == pytest.approx([1.0] * 5)


def test_the_cap_holds_after_renormalisation() -> None:
    # S = (8, 2, 1, 1): w = (8/3, ...) is capped at 2; the other three share 4 - 2 = 2 as 2 : 1 : 1.
    groups = weigh_groups(_groups([8.0, 2.0, 1.0, 1.0]), cap=2.0)
    pulls = _pulls(groups)
    assert [p / pulls[3] for p in pulls] == pytest.approx([4.0, 2.0, 1.0, 1.0])
    # One pass of capping is not enough here: S = (30, 9, 1). 1.2 caps the first, sharing
    # 1.8 lifts the second past it.
    pulls = _pulls(weigh_groups(_groups([30.0, 9.0, 1.0]), cap=1.2))
    assert [p / pulls[2] for p in pulls] == pytest.approx([2.0, 2.0, 1.0])


def test_the_cap_holds_where_too_few_scores_are_positive() -> None:
    # Two groups of eight carry all the score; at cap 3 they hold 6 of 8, and the six others share the rest.
    pulls = _pulls(weigh_groups(_groups([5.0, 1.0] + [-1.0] * 6), cap=3.0))
    assert [p / pulls[0] for p in pulls] == pytest.approx([1.0, 1.0] + [1 / 9] * 6)


def test_weights_average_one_over_the_round() -> None:
    groups = weigh_groups(_groups([0.3, 0.01, 4.0, 0.2]) + _groups([7.0, 0.1, -3.0], "detail"))
    assert _mean([g.weight for g in groups]) == pytest.approx(1.0)
    assert _mean([g.sampling_weight for g in groups]) == pytest.approx(1.0)


def test_weighing_keeps_order_and_pseudo_labels() -> None:
    before = [replace(g, negatives=(_scored(0.0, 9),)) for g in _groups([0.1, 0.2]) + _groups([0.4], "detail")]
    after = weigh_groups(before)
    assert [(g.positive, g.negatives) for g in after] == [(g.positive, g.negatives) for g in before]
    assert weigh_groups([]) == []


def test_weigh_groups_rejects_bad_input() -> None:
    with pytest.raises(ValueError, match="cap"):
        weigh_groups(_groups([0.1]), cap=0.9)
    with pytest.raises(ValueError, match="no scores"):
        weigh_groups([Group(_scored(None), ())])


# --- near-duplicates


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # 4 of 5 words shared: exactly the threshold.
        (("is the cat", "red"), ("is the cat", "red indeed"), True),
        # {a..d, red} against {a..d, e, red, big}: 5 of 7.
        (("a b c d", "red"), ("a b c d e", "red big"), False),
        (("is it red?", "yes"), ("Is it  red", "no"), True),
        # Order makes another question: 6 of 8 words shared.
        (("is the dog left of the cat?", "yes"), ("is the cat left of the dog?", "no"), False),
        (("what is it?", "a dog"), ("where is it?", "outside"), False),
    ],
)
def test_near_duplicates(first: tuple[str, str], second: tuple[str, str], expected: bool) -> None:
    one, two = (_scored(0.1, i, q, a).candidate for i, (q, a) in enumerate((first, second)))
    assert near_duplicates(one, two) is expected
    assert near_duplicates(two, one) is expected


def test_only_the_best_of_near_duplicates_stays() -> None:
    candidates = [
        _scored(0.1, 0, "is it red?", "yes"),
        _scored(0.3, 1, "Is it red?", "no"),
        _scored(0.2, 2, "how many dogs run here?", "two"),
        _scored(0.2, 3, "is it red?", "yes", image="b.png"),
        _scored(0.1, 4, "how many dogs run here", "Two"),
    ]
    kept, dropped = drop_near_duplicates(candidates)
    assert kept == [candidates[1], candidates[2], candidates[3]]
    assert dropped == [candidates[0], candidates[4]]


def test_near_duplicates_of_a_dropped_candidate_stay() -> None:
    # Words a-e, a-f, a-g: neighbours share 5 of 6 and 6 of 7, the ends 5 of 7. The best is an end.
    ends = [
        _scored(s, i, q, "a") for i, (s, q) in enumerate([(0.3, "b c d e"), (0.2, "b c d e f"), (0.1, "b c d e f g")])
    ]
    kept, dropped = drop_near_duplicates(ends)
    assert (kept, dropped) == ([ends[0], ends[2]], [ends[1]])


def test_near_duplicate_threshold_and_reading_are_choices() -> None:
    pair = [_scored(0.9, 0, "a b c d", "x", gap=0.0), _scored(0.1, 1, "a b c d e", "x y", gap=1.0)]
    assert drop_near_duplicates(pair)[1] == []
    assert drop_near_duplicates(pair, reading="gap", threshold=0.7) == ([pair[1]], [pair[0]])
    with pytest.raises(ValueError, match="threshold"):
        drop_near_duplicates(pair, threshold=0.0)
    with pytest.raises(ValueError, match="no scores"):
        drop_near_duplicates([_scored(None)])


# --- keep_top


def _pool(counts: dict[str, int]) -> list[ScoredCandidate]:
    """That many candidates a kind, kinds interleaved, the best one last within its kind."""
    pool = [_scored(0.1 * i, i, kind=kind) for kind, n in counts.items() for i in range(n)]
    return sorted(pool, key=lambda c: c.candidate.sample)


def _kinds(candidates: list[ScoredCandidate]) -> Counter[str]:
    return Counter(c.candidate.instruction.kind for c in candidates)


def test_keep_top_takes_the_best_of_each_kind_in_input_order() -> None:
    pool = [
        _scored(0.1, 0),
        _scored(5.0, 1, kind="detail"),
        _scored(0.9, 2),
        _scored(4.0, 3, kind="detail"),
        _scored(0.5, 4),
    ]
    assert keep_top(pool, 3) == [pool[1], pool[2], pool[3]]
    assert keep_top(pool, 2) == [pool[1], pool[2]]


@pytest.mark.parametrize(
    ("counts", "target", "expected"),
    [
        ({"a": 10, "b": 10, "c": 10}, 9, {"a": 3, "b": 3, "c": 3}),
        # b gives its rest of 2 to a and c.
        ({"a": 10, "b": 1, "c": 10}, 9, {"a": 4, "b": 1, "c": 4}),
        # b gives to c, which then falls short too: a takes it all.
        ({"a": 20, "b": 1, "c": 4}, 15, {"a": 10, "b": 1, "c": 4}),
        # What does not divide goes to the kinds first in the alphabet.
        ({"c": 5, "b": 5, "a": 5}, 5, {"a": 2, "b": 2, "c": 1}),
        ({"a": 2, "b": 1}, 50, {"a": 2, "b": 1}),
        ({"a": 3, "b": 3}, 0, {}),
    ],
)
def test_keep_top_quotas(counts: dict[str, int], target: int, expected: dict[str, int]) -> None:
    pool = _pool(counts)
    kept = keep_top(pool, target)
    assert dict(_kinds(kept)) == expected
    assert kept == [c for c in pool if c in kept]
    for kind, n in expected.items():
        samples = {c.candidate.sample for c in kept if c.candidate.instruction.kind == kind}
        assert samples == set(range(counts[kind] - n, counts[kind]))


def test_keep_top_ties_go_to_the_first() -> None:
    pool = [_scored(0.5, i) for i in range(4)]
    assert keep_top(pool, 2) == pool[:2]


def test_keep_top_rejects_bad_input() -> None:
    with pytest.raises(ValueError, match="target_size"):
        keep_top([], -1)
    with pytest.raises(ValueError, match="no scores"):
        keep_top([_scored(None)], 1)
    assert keep_top([], 3) == []


# --- keep_random_like


def _cells(candidates: list[ScoredCandidate]) -> Counter[tuple[str, int]]:
    return Counter((c.candidate.instruction.kind, c.scores.tokens) for c in candidates if c.scores)


def test_random_control_matches_kinds_and_lengths() -> None:
    pool = [_scored(0.01 * i, i, kind="ab"[i % 2], tokens=1 + i % 5) for i in range(200)]
    reference = keep_top(pool, 60)
    chosen = keep_random_like(pool, reference, seed=0)
    assert _cells(chosen) == _cells(reference)
    assert chosen == [c for c in pool if c in chosen]
    assert chosen == keep_random_like(pool, reference, seed=0)
    assert chosen != keep_random_like(pool, reference, seed=1)
    # It draws from all candidates, not from the reference alone: 60 of 200 are in both by chance.
    assert 0 < len([c for c in chosen if c in reference]) < 45


def test_random_control_draws_every_candidate_alike() -> None:
    pool = [_scored(0.1 * i, i) for i in range(5)]
    draws = Counter(c.candidate.sample for seed in range(500) for c in keep_random_like(pool, pool[:2], seed))
    # 500 draws of 2 of 5: mean 200, standard deviation 11.
    assert all(abs(draws[i] - 200) < 50 for i in range(5))


def test_random_control_names_a_cell_it_cannot_fill() -> None:
    reference = [_scored(0.1, 0, tokens=7), _scored(0.2, 1, tokens=7)]
    with pytest.raises(ValueError, match=r"short.*7 tokens.*2.*1"):
        keep_random_like(reference[:1], reference, seed=0)
    with pytest.raises(ValueError, match="no scores"):
        keep_random_like([_scored(None)], [], seed=0)
