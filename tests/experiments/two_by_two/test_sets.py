"""Sets of one size and distribution: quotas and draws against counts made by hand."""

from collections import Counter

import pytest

from experiments.two_by_two.sets import (
    best_first,
    cell_name,
    cell_of,
    common_quotas,
    figures_of,
    shuffled,
    take,
    take_even,
    yes_share,
)
from lightning_c3l.records import ScoredCandidate, Verdict
from lightning_c3l.rounds.figures import judged
from tests.helpers.scored import scored


def pool(counts: dict[tuple[str, int], int], score: float = 0.0) -> list[ScoredCandidate]:
    """Pairs of each kind and number of binary digits of the length, about images of their own: no near-duplicates."""
    return [
        scored(score + number, image=f"{kind} {digits} {number}", kind=kind, tokens=2 ** (digits - 1))
        for (kind, digits), count in counts.items()
        for number in range(count)
    ]


def test_quotas_are_what_all_pools_can_give() -> None:
    first = pool({("color", 1): 9, ("place", 2): 9, ("place", 3): 2})
    second = pool({("color", 1): 4, ("place", 2): 9, ("number", 1): 9})
    # color is short in the second pool, place of 4 tokens and number are in one alone
    assert common_quotas([first, second], 12) == {("color", 1): 4, ("place", 2): 8}
    assert common_quotas([first, second], 6) == {("color", 1): 3, ("place", 2): 3}
    assert common_quotas([first, second], 100) == {("color", 1): 4, ("place", 2): 9}
    assert common_quotas([first, pool({("number", 1): 9})], 10) == {}


def test_lengths_within_a_kind_are_in_proportion_and_whole() -> None:
    both = [pool({("a", 1): 60, ("a", 2): 30, ("a", 3): 10}), pool({("a", 1): 90, ("a", 2): 30, ("a", 3): 10})]
    assert common_quotas(both, 10) == {("a", 1): 6, ("a", 2): 3, ("a", 3): 1}
    # 0.6, 0.3 and 0.1 of 7 are 4.2, 2.1 and 0.7: the largest remainder goes up
    assert common_quotas(both, 7) == {("a", 1): 4, ("a", 2): 2, ("a", 3): 1}


def test_lengths_within_a_factor_of_two_are_one_cell() -> None:
    cells = {tokens: cell_of(scored(0.0, kind="detail", tokens=tokens)) for tokens in (1, 2, 3, 4, 31, 32, 63, 64)}
    assert [cell_name(cells[tokens]) for tokens in (1, 2, 4, 31)] == [
        "detail, 1 to 1 tokens",
        "detail, 2 to 3 tokens",
        "detail, 4 to 7 tokens",
        "detail, 16 to 31 tokens",
    ]
    assert cells[2] == cells[3]
    assert cells[32] == cells[63]
    assert len(set(cells.values())) == 6


def test_all_sets_have_the_same_cells_and_size() -> None:
    pools = [pool({("a", 1): 20, ("a", 2): 11, ("b", 1): 30}), pool({("a", 1): 30, ("a", 2): 5, ("b", 1): 12})]
    quotas = common_quotas(pools, 21)
    sets = [take(best_first(pools[0]), quotas), take(shuffled(pools[1], 3), quotas)]
    assert sum(quotas.values()) == 21
    assert all(Counter(map(cell_of, one)) == quotas for one in sets)


def test_the_top_of_a_cell_is_its_best_scores() -> None:
    chosen = take(best_first(pool({("a", 1): 9, ("b", 1): 9})), {("a", 1): 2, ("b", 1): 3})
    scores = [(one.candidate.instruction.kind, one.scores.answer) for one in chosen if one.scores]
    assert sorted(scores) == [("a", 7.0), ("a", 8.0), ("b", 6.0), ("b", 7.0), ("b", 8.0)]


def test_too_small_a_cell_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="a, 1 to 1 tokens: 2 pairs too few"):
        take(pool({("a", 1): 3}), {("a", 1): 5})


def twins(count: int) -> list[ScoredCandidate]:
    """Two answers to the same question about each of many images, the true one with the higher score."""
    return [
        scored(score, question="Where is it?", answer=answer, image=f"{number}.png")
        for number in range(count)
        for answer, score in (("there", 1.0), ("nowhere", 0.0))
    ]


def test_near_duplicates_go_from_all_pools_but_only_the_top_looks_at_scores() -> None:
    best, blind = best_first(twins(200)), shuffled(twins(200), 0)
    for chosen in (best, blind):
        assert len({one.candidate.image for one in chosen}) == len(chosen) == 200
    assert {one.candidate.answer for one in best} == {"there"}
    kept = Counter(one.candidate.answer for one in blind)["there"]
    # a fair coin lies within five standard deviations (7.07 each) of 100
    assert 65 < kept < 135


def test_a_random_pool_depends_on_its_seed_alone() -> None:
    pairs = pool({("a", 1): 40})
    assert shuffled(pairs, 1) == shuffled(pairs, 1)
    assert shuffled(pairs, 1) != shuffled(pairs, 2)
    assert shuffled([*pairs, scored(None)], 1) == shuffled(pairs, 1)  # what has no score was never there


VERDICTS: dict[str, Verdict] = {"yes": "right", "no": "wrong", "red": "wrong"}


def yes_no(answers: str) -> list[ScoredCandidate]:
    words = {"y": "yes", "n": "no"}
    return [
        scored(-float(index), question=f"Are there any {index}?", answer=words[one], image=str(index), kind="presence")
        for index, one in enumerate(answers)
    ]


@pytest.mark.parametrize(
    ("answers", "quota", "expected"),
    # of five, two of either are even; the fifth is the best that is left, a no in the last case
    [("yyyyyynnnn", 4, 0.5), ("yyyyyyyyyn", 4, 0.75), ("yyyyyy", 4, 1.0), ("yyyynn", 5, 0.6), ("nnnnyy", 5, 0.4)],
)
def test_yes_as_often_as_no_where_there_are_as_many(answers: str, quota: int, expected: float) -> None:
    ordered = yes_no(answers)
    chosen = take_even(ordered, {("presence", 1): quota})
    assert len(chosen) == quota
    assert yes_share(chosen) == expected


def test_even_choice_takes_the_best_of_either_and_leaves_other_kinds_alone() -> None:
    ordered = [*yes_no("yyyynn"), *pool({("color", 1): 5}, score=-100)]
    chosen = take_even(best_first(ordered), {("presence", 1): 4, ("color", 1): 2})
    assert [one.candidate.image for one in chosen if one.candidate.instruction.kind == "presence"] == [
        "0",
        "1",
        "4",
        "5",
    ]
    assert [one.scores.answer for one in chosen if one.scores and cell_of(one)[0] == "color"] == [-96.0, -97.0]


def test_the_share_of_yes_counts_yes_no_answers_alone() -> None:
    assert yes_share([*yes_no("yyyn"), *pool({("color", 1): 9})]) == 0.75
    assert yes_share(pool({("color", 1): 9})) is None


def test_figures_of_a_set() -> None:
    pairs = judged([*yes_no("yyn"), scored(6.0, answer="red", kind="color", tokens=5)], lambda *pair: VERDICTS[pair[2]])
    assert figures_of(list(pairs)) == {
        "pairs": 4,
        "cells": {"color, 4 to 7 tokens": 1, "presence, 1 to 1 tokens": 3},
        "truth_rate": 0.5,
        # 0, -1, -2 and 6
        "i2c_mean": 0.75,
        "yes_share": pytest.approx(2 / 3),
    }
