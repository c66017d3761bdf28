"""Near-duplicates and the final keep list, on cases small enough to work out by hand."""

from collections import Counter

import pytest

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.selection.pseudo_labels import (
    drop_near_duplicates,
    evenly,
    keep_random_like,
    keep_top,
    near_duplicates,
)
from tests.helpers.scored import scored

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
    one, two = (scored(0.1, i, q, a).candidate for i, (q, a) in enumerate((first, second)))
    assert near_duplicates(one, two) is expected
    assert near_duplicates(two, one) is expected


def test_only_the_best_of_near_duplicates_stays() -> None:
    candidates = [
        scored(0.1, 0, "is it red?", "yes"),
        scored(0.3, 1, "Is it red?", "no"),
        scored(0.2, 2, "how many dogs run here?", "two"),
        scored(0.2, 3, "is it red?", "yes", image="b.png"),
        scored(0.1, 4, "how many dogs run here", "Two"),
    ]
    kept, dropped = drop_near_duplicates(candidates)
    assert kept == [candidates[1], candidates[2], candidates[3]]
    assert dropped == [candidates[0], candidates[4]]


def test_near_duplicates_of_a_dropped_candidate_stay() -> None:
    # Words a-e, a-f, a-g: neighbours share 5 of 6 and 6 of 7, the ends 5 of 7. The best is an end.
    ends = [
        scored(s, i, q, "a") for i, (s, q) in enumerate([(0.3, "b c d e"), (0.2, "b c d e f"), (0.1, "b c d e f g")])
    ]
    kept, dropped = drop_near_duplicates(ends)
    assert (kept, dropped) == ([ends[0], ends[2]], [ends[1]])


def test_near_duplicate_threshold_and_reading_are_choices() -> None:
    pair = [scored(0.9, 0, "a b c d", "x", gap=0.0), scored(0.1, 1, "a b c d e", "x y", gap=1.0)]
    assert drop_near_duplicates(pair)[1] == []
    assert drop_near_duplicates(pair, reading="gap", threshold=0.7) == ([pair[1]], [pair[0]])
    with pytest.raises(ValueError, match="threshold"):
        drop_near_duplicates(pair, threshold=0.0)
    with pytest.raises(ValueError, match="no scores"):
        drop_near_duplicates([scored(None)])


# --- keep_top


def _pool(counts: dict[str, int]) -> list[ScoredCandidate]:
    """That many candidates a kind, kinds interleaved, the best one last within its kind."""
    pool = [scored(0.1 * i, i, kind=kind) for kind, n in counts.items() for i in range(n)]
    return sorted(pool, key=lambda c: c.candidate.sample)


def _kinds(candidates: list[ScoredCandidate]) -> Counter[str]:
    return Counter(c.candidate.instruction.kind for c in candidates)


def test_keep_top_takes_the_best_of_each_kind_in_input_order() -> None:
    pool = [
        scored(0.1, 0),
        scored(5.0, 1, kind="detail"),
        scored(0.9, 2),
        scored(4.0, 3, kind="detail"),
        scored(0.5, 4),
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
    pool = [scored(0.5, i) for i in range(4)]
    assert keep_top(pool, 2) == pool[:2]


def _answered(*answers: str) -> list[ScoredCandidate]:
    """Ranked as they stand."""
    return [scored(1.0 - 0.01 * i, i, answer=answer) for i, answer in enumerate(answers)]


@pytest.mark.parametrize(
    ("answers", "size", "places"),
    [
        (["yes", "yes", "yes", "yes", "no", "no", "no"], 4, [0, 1, 4, 5]),
        # an odd place goes to the first
        (["yes", "yes", "yes", "no", "no"], 3, [0, 1, 3]),
        (["no", "no", "no", "yes", "yes"], 3, [0, 1, 3]),
        # one runs out
        (["yes", "yes", "yes", "yes", "no"], 4, [0, 1, 2, 4]),
        (["no", "no", "no", "no"], 3, [0, 1, 2]),
        # other answers keep their places, and their number
        (["red", "Yes, a dog.", "yes", "blue", "No!", "green"], 4, [0, 1, 3, 4]),
        (["red", "blue", "no", "yes"], 2, [0, 1]),
        # these only begin alike
        (["yesterday", "yes", "none", "no"], 2, [0, 1]),
        (["yes"], 3, [0]),
        (["yes", "no"], 0, []),
    ],
)
def test_yes_comes_as_often_as_no(answers: list[str], size: int, places: list[int]) -> None:
    ranked = _answered(*answers)
    assert sorted(one.candidate.sample for one in evenly(ranked, size)) == places


def test_keep_top_keeps_yes_as_often_as_no() -> None:
    pool = [scored(1.0 - 0.1 * (i // 2 + 5 * (i % 2)), i, answer="yes" if i % 2 == 0 else "no") for i in range(10)]
    assert [one.candidate.answer for one in keep_top(pool, 4)].count("yes") == 2
    assert [one.candidate.sample for one in keep_top(pool, 4)] == [0, 1, 2, 3]


def test_keep_top_rejects_bad_input() -> None:
    with pytest.raises(ValueError, match="target_size"):
        keep_top([], -1)
    with pytest.raises(ValueError, match="no scores"):
        keep_top([scored(None)], 1)
    assert keep_top([], 3) == []


# --- keep_random_like


def _cells(candidates: list[ScoredCandidate]) -> Counter[tuple[str, int]]:
    return Counter((c.candidate.instruction.kind, c.scores.tokens) for c in candidates if c.scores)


def test_random_control_matches_kinds_and_lengths() -> None:
    pool = [scored(0.01 * i, i, kind="ab"[i % 2], tokens=1 + i % 5) for i in range(200)]
    reference = keep_top(pool, 60)
    chosen = keep_random_like(pool, reference, seed=0)
    assert _cells(chosen) == _cells(reference)
    assert chosen == [c for c in pool if c in chosen]
    assert chosen == keep_random_like(pool, reference, seed=0)
    assert chosen != keep_random_like(pool, reference, seed=1)
    # It draws from all candidates, not from the reference alone: 60 of 200 are in both by chance.
    assert 0 < len([c for c in chosen if c in reference]) < 45


def test_random_control_draws_every_candidate_alike() -> None:
    pool = [scored(0.1 * i, i) for i in range(5)]
    draws = Counter(c.candidate.sample for seed in range(500) for c in keep_random_like(pool, pool[:2], seed))
    # 500 draws of 2 of 5: mean 200, standard deviation 11.
    assert all(abs(draws[i] - 200) < 50 for i in range(5))


def test_random_control_names_a_cell_it_cannot_fill() -> None:
    reference = [scored(0.1, 0, tokens=7), scored(0.2, 1, tokens=7)]
    with pytest.raises(ValueError, match=r"short.*7 tokens.*2.*1"):
        keep_random_like(reference[:1], reference, seed=0)
    with pytest.raises(ValueError, match="no scores"):
        keep_random_like([scored(None)], [], seed=0)
