"""The selection of a round as a stream: groups as positions, and figures from columns."""

import math
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from lightning_c3l.functional.sums import ExactSum
from lightning_c3l.records import Candidate, Instruction, ScoredCandidate
from lightning_c3l.rounds.candidate_rows import JoinedRows
from lightning_c3l.rounds.group_rows import GroupColumns, GroupRows
from lightning_c3l.rounds.round_selection import RoundSelection
from lightning_c3l.selection.pseudo_labels import PseudoLabelConfig, grouped, select_group
from tests.helpers.scored import scored

CANDIDATES = [
    scored(0.1, 0, image="a"),
    scored(0.5, 1, image="a"),
    scored(None, 2, image="a"),
    scored(0.9, 0, image="a", kind="long"),
    scored(None, 0, image="b"),
    scored(0.2, 0, image="c"),
    scored(0.3, 1, image="c"),
    scored(0.7, 2, image="c"),
]


@pytest.fixture
def selection() -> RoundSelection:
    return RoundSelection()


def test_groups_are_positions_in_what_was_selected(selection: RoundSelection) -> None:
    selected = list(selection.select(iter(CANDIDATES)))
    assert [one.status for one in selected] == [
        *("negative", "positive", "rejected", "positive", "rejected"),
        *("negative", "negative", "positive"),
    ]
    rows = list(selection.groups().rows())
    assert [(row["positive"], row["negatives"]) for row in rows] == [(1, [0]), (3, []), (7, [5, 6])]
    # w = (10/12, 14/12) within the first kind, 1 in the other; the weight is its root over the mean root
    roots = [math.sqrt(10 / 12), 1.0, math.sqrt(14 / 12)]
    expected = [3 * root / sum(roots) for root in roots]
    assert [row["weight"] for row in rows] == pytest.approx(expected)
    assert [row["sampling_weight"] for row in rows] == pytest.approx(expected)


def test_figures_of_a_stream(selection: RoundSelection) -> None:
    list(selection.select(iter(CANDIDATES)))
    figures = selection.figures(0)
    assert (figures["images"], figures["groups"], figures["candidates"]) == (3, 3, 8)
    assert figures["i2c_mean"] == pytest.approx((0.1 + 0.5 + 0.9 + 0.2 + 0.3 + 0.7) / 6)
    assert figures["i2c_positive_mean"] == pytest.approx((0.5 + 0.9 + 0.7) / 3)
    assert "truth_rate" not in figures


def test_a_round_without_candidates(selection: RoundSelection) -> None:
    assert list(selection.select([])) == []
    assert list(selection.groups().rows()) == []
    figures = selection.figures(0)
    assert (figures["candidates"], figures["i2c_mean"], figures["length_correlation"]) == (0, None, None)


def test_groups_are_read_from_their_candidates(selection: RoundSelection) -> None:
    selected: list[ScoredCandidate] = list(selection.select(CANDIDATES))
    groups = GroupRows(selected, GroupColumns.of(selection.groups().rows()))
    chosen = [select_group(own)[0] for own in grouped(CANDIDATES)]
    expected = [(one.positive, one.negatives) for one in chosen if one is not None]
    assert [(one.positive, one.negatives) for one in groups] == expected
    assert [one.sampling_weight for one in groups] == groups.sampling_weights.tolist()
    assert list(groups.images()) == ["a", "a", "c"]
    some = groups.kept(groups.sampling_weights > 0.95)
    assert some == [one for one in groups if one.sampling_weight > 0.95]
    assert len(some) == 2


def answer(score: float, sample: int, said: str, image: str, verdict: Any) -> ScoredCandidate:
    one = scored(score, sample, "Q?", said, image=image)
    return ScoredCandidate(replace(one.candidate, origin="blind"), one.scores, verdict=verdict)


def test_further_answers_are_negatives_behind_the_candidates() -> None:
    read = [
        *(scored(0.5, 0, "Q?", "a", image="a"), scored(0.25, 1, "Q?", "b", image="a")),
        *(answer(-0.5, 2, "c", "a", "wrong"), answer(-0.25, 3, "d", "a", "right"), answer(0.0, 4, "a", "a", "right")),
        *(scored(0.75, 0, "Q?", "a", image="b"), answer(-0.75, 2, "c", "b", "wrong")),
    ]
    selection = RoundSelection(PseudoLabelConfig(negatives="candidates+blind"))
    candidates = list(selection.select(read))
    answers = list(selection.answers(read))
    assert [one.status for one in candidates] == ["positive", "negative", "positive"]
    assert [one.status for one in answers] == ["negative", "negative", "duplicate", "negative"]
    rows = [(row["positive"], row["negatives"]) for row in selection.groups().rows()]
    assert rows == [(0, [1, 3, 4]), (2, [6])]
    joined = JoinedRows(candidates, answers)
    assert list(joined) == [*candidates, *answers] == joined[:]
    assert joined[-1] == answers[-1]
    group = GroupRows(joined, selection.groups())[0]
    assert group.negatives == (candidates[1], answers[0], answers[1])
    figures = selection.figures(0)
    # the answers count in figures of their own alone
    assert (figures["candidates"], figures["i2c_mean"], figures["groups"]) == (3, 0.5, 2)
    assert "truth_rate" not in figures
    own = {name: value for name, value in figures.items() if name.startswith("answer_negatives")}
    assert own == {
        "answer_negatives": 3,
        "answer_negatives_i2c": -0.5,
        "answer_negatives_truth_rate": pytest.approx(1 / 3),
    }


def test_replayed_answers_are_groups_of_their_own() -> None:
    read = list[ScoredCandidate]()
    for number in range(6):
        image = f"i{number}"
        read += [scored(0.5, 0, "Q?", "a", image=image), answer(-0.5, 2, "b", image, None)]
        candidate = Candidate(image, Instruction("short", "Q?"), 0, f"said{number}", "Q?", f"said{number}")
        verdict: Any = "right" if number else "wrong"
        read.append(ScoredCandidate(replace(candidate, origin="replay"), verdict=verdict))
    selection = RoundSelection(PseudoLabelConfig(negatives="blind", replay=0.25))
    candidates, answers = list(selection.select(read)), list(selection.answers(read))
    assert [one.status for one in answers] == ["negative", "replay"] * 6
    groups = GroupRows(JoinedRows(candidates, answers), selection.groups(seed=1))
    # 2 of 8 are a quarter
    assert len(groups) == 8
    assert all(one.positive.status == "positive" and len(one.negatives) == 1 for one in groups[:6])
    for one in groups[6:]:
        said = one.positive.candidate
        assert (one.positive.status, one.negatives, one.weight, one.sampling_weight) == ("replay", (), 1.0, 1.0)
        assert (said.instruction.text, said.text, said.answer) == ("Q?", f"said{one.image[1:]}", f"said{one.image[1:]}")
    drawn = {tuple(one.image for one in GroupRows(groups.candidates, selection.groups(seed))[6:]) for seed in range(9)}
    assert len(drawn) > 1
    figures = selection.figures(0)
    assert (figures["candidates"], figures["groups"]) == (6, 6)
    assert (figures["replayed"], figures["replayed_truth_rate"]) == (6, pytest.approx(5 / 6))
    assert figures["answer_negatives"] == 6


def test_few_replayed_answers_are_drawn_more_often() -> None:
    read = [scored(0.5, 0, "Q?", "a", image=f"i{number}") for number in range(4)]
    replayed = Candidate("i1", Instruction("short", "Q?"), 0, "said", "Q?", "said", origin="replay")
    read.insert(2, ScoredCandidate(replayed))
    selection = RoundSelection(PseudoLabelConfig(replay=0.5))
    list(selection.select(read))
    # as many as groups are wanted, and there is one
    assert selection.groups().sampling_weights.tolist() == [1.0, 1.0, 1.0, 1.0, 4.0]


def test_groups_of_rounds_follow_each_other() -> None:
    rounds = []
    for image in "ab":
        selection = RoundSelection()
        selected = list(selection.select([scored(0.5, 0, image=image), scored(0.25, 1, image=image)]))
        rounds.append(GroupRows(selected, selection.groups()))
    joined = rounds[1].followed_by(rounds[0])
    assert list(joined) == [rounds[1][0], rounds[0][0]]
    assert joined.sampling_weights.tolist() == [1.0, 1.0]


def test_exact_sums_are_those_of_the_standard_library() -> None:
    random = Random(0)
    values = [random.uniform(-1, 1) * 10 ** random.randint(-200, 200) for _ in range(300)]
    total = ExactSum()
    assert total.mean() is None
    for number, value in enumerate(values, start=1):
        total.add(value)
        assert total.mean() == math.fsum(values[:number]) / number
