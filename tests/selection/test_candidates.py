"""Which candidates become the exported data set, on cases small enough to work out by hand."""

import random
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from lightning_c3l.records import Candidate, ScoredCandidate
from lightning_c3l.selection.candidates import deduplicate, select_candidates
from lightning_c3l.selection.columns import Mask
from lightning_c3l.selection.control import random_control
from tests.helpers.scored import scored


def those(candidates: list[ScoredCandidate], mask: Mask) -> list[ScoredCandidate]:
    assert len(mask) == len(candidates)
    return [candidates[position] for position in np.flatnonzero(mask)]


def chosen_of(candidates: list[ScoredCandidate], size: int, **options: float) -> list[ScoredCandidate]:
    return those(candidates, select_candidates(candidates, size, **options).chosen)


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
    pair = [scored(0.1, i, q, a) for i, (q, a) in enumerate((first, second))]
    assert deduplicate(pair) == (pair[:1] if expected else pair)
    assert deduplicate(pair[::-1]) == (pair[1:] if expected else pair[::-1])


def test_only_the_best_of_near_duplicates_stays() -> None:
    candidates = [
        scored(0.1, 0, "is it red?", "yes"),
        scored(0.3, 1, "Is it red?", "no"),
        scored(0.2, 2, "how many dogs run here?", "two"),
        scored(0.2, 3, "is it red?", "yes", image="b.png"),
        scored(0.1, 4, "how many dogs run here", "Two"),
    ]
    found = select_candidates(candidates, 9)
    assert those(candidates, found.chosen) == [candidates[1], candidates[2], candidates[3]]
    assert those(candidates, found.distinct) == [candidates[1], candidates[2], candidates[3]]
    assert those(candidates, found.duplicates) == [candidates[0], candidates[4]]


def test_near_duplicates_of_a_dropped_candidate_stay() -> None:
    # Words a-e, a-f, a-g: neighbours share 5 of 6 and 6 of 7, the ends 5 of 7. The best is an end.
    ends = [
        scored(s, i, q, "a") for i, (s, q) in enumerate([(0.3, "b c d e"), (0.2, "b c d e f"), (0.1, "b c d e f g")])
    ]
    found = select_candidates(ends, 9)
    assert those(ends, found.distinct) == [ends[0], ends[2]]
    assert those(ends, found.duplicates) == [ends[1]]


def test_near_duplicate_threshold_and_reading_are_choices() -> None:
    pair = [scored(0.9, 0, "a b c d", "x", gap=0.0), scored(0.1, 1, "a b c d e", "x y", gap=1.0)]
    assert not select_candidates(pair, 9).duplicates.any()
    found = select_candidates(pair, 9, reading="gap", near_duplicate=0.7)
    assert found.distinct.tolist() == [False, True]
    assert found.duplicates.tolist() == [True, False]
    with pytest.raises(ValueError, match="near_duplicates must be above 0"):
        select_candidates(pair, 9, near_duplicate=0.0)
    with pytest.raises(ValueError, match="no scores"):
        select_candidates([replace(pair[0], scores=None)], 9)
    with pytest.raises(ValueError, match="no scores"):
        deduplicate([scored(None)])


def test_rejected_candidates_are_counted_and_change_nothing() -> None:
    pair = [scored(0.9, 0), scored(0.1, 1, kind="detail"), scored(0.5, 2)]
    junk = [scored(None, 3, kind="new"), scored(None, 4)]
    found = select_candidates([junk[0], *pair, junk[1]], 2)
    assert found.chosen.tolist() == [False, True, True, False, False]
    assert chosen_of(pair, 2) == pair[:2]
    assert found.distinct.tolist() == [False, True, True, True, False]
    assert not found.duplicates.any()
    assert found.kinds() == {"detail": 1, "short": 1}
    first, *_, last = found.selection.steps
    assert (first.kept, first.fell) == (3, {"rejected: no question": 2})
    assert (last.kept, last.fell) == (2, {"not among the best": 1})
    assert len(found.columns.score) == 5


def alike(one: Candidate, two: Candidate, threshold: float) -> bool:
    """The rule as it reads: the same question, or words that overlap."""
    questions = [" ".join(c.question.casefold().split()).rstrip(".?! ") for c in (one, two)]
    first, second = (set(re.findall(r"\w+", f"{c.question} {c.answer}".casefold())) for c in (one, two))
    return questions[0] == questions[1] or len(first & second) >= threshold * len(first | second) > 0


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("threshold", [0.5, 0.75, 1.0])
def test_any_set_is_as_a_comparison_of_all_pairs_has_it(
    threshold: float, in_order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # two images at most in a chunk, of those that are image by image
    monkeypatch.setattr("lightning_c3l.selection.candidates._CHUNK", 120)
    draw = random.Random(0)

    def text(most: int) -> str:
        return " ".join(draw.choice("abcdEFGHIJKL?") for _ in range(draw.randrange(most)))

    # more candidates of an image than MinHash would leave to pairs
    pool = [scored(draw.randrange(4) / 2, i, text(5), text(3), image="pqrs"[i % 4]) for i in range(300)]
    if in_order:
        pool.sort(key=lambda one: one.candidate.image)
    stayed = list[ScoredCandidate]()
    for one in sorted(pool, key=lambda c: -c.scores.answer if c.scores else 0.0):
        rivals = [c.candidate for c in stayed if c.candidate.image == one.candidate.image]
        if not any(alike(one.candidate, rival, threshold) for rival in rivals):
            stayed.append(one)
    assert 20 < len(stayed) < 290
    found = select_candidates(pool, 300, near_duplicate=threshold)
    assert those(pool, found.distinct) == [c for c in pool if any(c is one for one in stayed)]


# --- size


def _kinds(candidates: list[ScoredCandidate]) -> Counter[str]:
    return Counter(c.candidate.instruction.kind for c in candidates)


def test_the_best_of_each_kind_are_chosen_in_input_order() -> None:
    pool = [
        scored(0.1, 0),
        scored(5.0, 1, kind="detail"),
        scored(0.9, 2),
        scored(4.0, 3, kind="detail"),
        scored(0.5, 4),
    ]
    assert chosen_of(pool, 3) == [pool[1], pool[2], pool[3]]
    assert chosen_of(pool, 2) == [pool[1], pool[2]]


@pytest.mark.parametrize(
    ("counts", "target", "expected"),
    [
        ({"a": 10, "b": 10, "c": 10}, 9, {"a": 3, "b": 3, "c": 3}),
        ({"a": 10, "b": 1, "c": 10}, 9, {"a": 4, "b": 1, "c": 4}),
        ({"c": 5, "b": 5, "a": 5}, 5, {"a": 2, "b": 2, "c": 1}),
        ({"a": 2, "b": 1}, 50, {"a": 2, "b": 1}),
    ],
)
def test_kinds_share_the_size(counts: dict[str, int], target: int, expected: dict[str, int]) -> None:
    # another image for each kind, too, or the same question would be there twice
    pool = [scored(0.1 * i, i, image=f"{kind}.png", kind=kind) for kind, n in counts.items() for i in range(n)]
    chosen = chosen_of(pool, target, near_duplicate=1.0)
    assert dict(_kinds(chosen)) == expected
    assert chosen == [c for c in pool if c in chosen]
    for kind, n in expected.items():
        samples = {c.candidate.sample for c in chosen if c.candidate.instruction.kind == kind}
        assert samples == set(range(counts[kind] - n, counts[kind]))


def test_ties_go_to_the_first() -> None:
    pool = [scored(0.5, i) for i in range(4)]
    assert chosen_of(pool, 2) == pool[:2]


def test_yes_is_chosen_as_often_as_no() -> None:
    pool = [scored(1.0 - 0.1 * (i // 2 + 5 * (i % 2)), i, answer="yes" if i % 2 == 0 else "no") for i in range(10)]
    chosen = chosen_of(pool, 4)
    assert [one.candidate.sample for one in chosen] == [0, 1, 2, 3]
    assert [one.candidate.answer for one in chosen].count("yes") == 2


def test_bad_input_is_refused_and_nothing_is_chosen_from_nothing() -> None:
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        select_candidates([], 0)
    with pytest.raises(ValueError, match="unknown reading 'length'"):
        select_candidates([scored(0.1)], 1, "length")
    assert chosen_of([], 3) == deduplicate([]) == []


# --- the random control


def _cells(candidates: list[ScoredCandidate]) -> Counter[tuple[str, int]]:
    return Counter((c.candidate.instruction.kind, c.scores.tokens) for c in candidates if c.scores)


def random_candidates(pool: list[ScoredCandidate], chosen: list[ScoredCandidate], seed: int) -> list[ScoredCandidate]:
    """As many of each kind and length as were chosen."""
    columns, wanted = select_candidates(pool, len(pool)).columns, {id(one) for one in chosen}
    mask = np.array([id(one) in wanted for one in pool])
    drawn = random_control(columns, columns.scored, mask, seed, exact_lengths=True)
    return those(pool, drawn)


def test_random_control_matches_kinds_and_lengths() -> None:
    pool = [scored(0.01 * i, i, kind="ab"[i % 2], tokens=1 + i % 5) for i in range(200)]
    reference = chosen_of(pool, 60)
    chosen = random_candidates(pool, reference, seed=0)
    assert len(reference) == 60
    assert _cells(chosen) == _cells(reference)
    assert chosen == [c for c in pool if c in chosen]
    assert chosen == random_candidates(pool, reference, seed=0)
    assert chosen != random_candidates(pool, reference, seed=1)
    # It draws from all candidates, not from the reference alone: 60 of 200 are in both by chance.
    assert 0 < len([c for c in chosen if c in reference]) < 45


def test_random_control_draws_as_python_does_from_each_cell_in_order() -> None:
    # what earlier versions drew: cells by kind and length, a sample of the members in input order
    pool = [scored(0.0, i, kind="ba"[i % 2], tokens=9 - i % 3) for i in range(60)]
    draw, expected = random.Random(5), set[int]()
    for kind in "ab":
        for tokens in (7, 8, 9):
            members = [i for i, c in enumerate(pool) if _cells([c])[kind, tokens]]
            expected.update(draw.sample(members, sum(i < 12 for i in members)))
    assert random_candidates(pool, pool[:12], 5) == [c for i, c in enumerate(pool) if i in expected]


def test_random_control_draws_every_candidate_alike() -> None:
    pool = [scored(0.1 * i, i) for i in range(5)]
    draws = Counter(c.candidate.sample for seed in range(500) for c in random_candidates(pool, pool[:2], seed))
    # 500 draws of 2 of 5: mean 200, standard deviation 11.
    assert all(abs(draws[i] - 200) < 50 for i in range(5))
