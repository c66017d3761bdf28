"""Candidates become scored candidates: readings by hand, order, partners of the control, unusable scores."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.records import Candidate, Instruction, ScoredCandidate, Turn, exchange
from lightning_c3l.rounds.scoring import Context, score_candidates, score_contexts
from lightning_c3l.rounds.turn_scores import TurnScore
from lightning_c3l.selection.scoring_config import ScoringConfig
from tests.helpers.doubles import TableLVLM

BLIND = {"red": [0.25], "two dots": [0.5, 0.125], "": []}
SEEN = {
    ("x", "red"): [0.5],
    ("y", "red"): [0.125],
    ("z", "red"): [0.25],
    ("x", "two dots"): [0.25, 0.5],
    ("y", "two dots"): [0.5, 0.125],
    ("z", "two dots"): [0.5, 0.25],
}
LN2 = math.log(2)


def one(image: str, answer: str, rejected: str = "") -> Candidate:
    return Candidate(image, Instruction("a", "W"), 0, "text", "Q?", answer, rejected)


def score(candidates: list[Candidate], size: int = 2, lvlm: Any = None, **options: Any) -> list[ScoredCandidate]:
    lvlm = lvlm or TableLVLM(SEEN, BLIND)
    config = ScoringConfig(**{"shuffle_seed": 0, **options})
    batch_size = BatchSize(size, "writing.score_batch_size")
    return score_candidates(lvlm, candidates, lambda key: key, batch_size, config)  # type: ignore[arg-type,return-value]


def test_readings_by_hand() -> None:
    (red,) = score([one("x", "red")])
    assert red.scores is not None
    assert red.scores.answer == pytest.approx(0.5 * LN2)
    assert red.scores.gap == pytest.approx(LN2)
    assert red.scores.vocabulary == pytest.approx(0.25)
    assert red.scores.positions == 0
    assert (red.scores.mean_logp, red.scores.mean_logq) == pytest.approx((-LN2, -2 * LN2))
    assert red.scores.tokens == 1
    (dots,) = score([one("x", "two dots")])
    assert dots.scores is not None
    # p = (1/4, 1/2), q = (1/2, 1/8)
    assert dots.scores.answer == pytest.approx((-0.25 * LN2 + 0.5 * 2 * LN2) / 2)
    assert dots.scores.gap == pytest.approx((-LN2 + 2 * LN2) / 2)
    assert dots.scores.tokens == 2


@pytest.mark.parametrize("size", [1, 2, 5])
def test_order_and_number_stay_whatever_the_batch(size: int) -> None:
    candidates = [
        one("z", "red"), one("x", "red"), one("y", "", "no label"), one("x", "two dots"), one("y", "two dots"),
    ]  # fmt: skip
    out = score(candidates, size)
    assert [scored.candidate for scored in out] == candidates
    gaps = [scored.scores.gap if scored.scores else None for scored in out]
    assert gaps == pytest.approx([0.0, LN2, None, LN2 / 2, 0.0], abs=1e-6)


def test_an_image_is_run_once_for_all_of_its_pairs() -> None:
    lvlm = TableLVLM(SEEN, BLIND)
    score([one("x", "red"), one("y", "red"), one("x", "two dots")], size=1, lvlm=lvlm)
    assert lvlm.batches == [["x"], ["y"]]


MIXED = [
    one("x", "red"), one("y", "", "no label"), one("y", "red"), one("z", "two dots"), one("z", "red"), one("x", "red"),
    one("z", "two dots"),
]  # fmt: skip


def test_images_with_the_longest_pairs_go_first() -> None:
    """What is alike in length stands together, and what needs the most memory comes before all else."""
    lvlm = TableLVLM(SEEN, BLIND)
    score(MIXED, size=1, lvlm=lvlm)
    assert lvlm.batches == [["z"], ["x"], ["y"]]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_order_of_work_does_not_show(size: int) -> None:
    """Each record's scores and control are those that it gets in any order of the candidates."""
    found = score(MIXED, size)
    assert [scored.candidate for scored in found] == MIXED
    partner = dict(zip("xyz", (scored.shuffled for scored in score([one(i, "red") for i in "xyz"])), strict=True))
    assert [s.shuffled for s in found if s.candidate.answer == "red"] == pytest.approx(
        [partner[c.image] for c in MIXED if c.answer == "red"]
    )
    for scored in found:
        if scored.candidate.rejected:
            assert scored.scores is None
            continue
        (alone,) = score([scored.candidate])
        assert scored.scores == alone.scores


@pytest.mark.parametrize(("fits", "sizes", "named"), [(2, [2, 1], ["2"]), (1, [1, 1, 1], ["2", "1"])])
def test_out_of_memory_goes_on_with_less_and_scores_the_same(fits: int, sizes: list[int], named: list[str]) -> None:
    lvlm = TableLVLM(SEEN, BLIND, fits)
    with pytest.warns(UserWarning, match="out of memory") as caught:
        found = score(MIXED, size=4, lvlm=lvlm)
    assert found == score(MIXED, size=4)
    messages = [str(one.message) for one in caught]
    assert messages == [f"out of memory: going on with writing.score_batch_size: {n}" for n in named]
    assert lvlm.sizes == sizes


def test_an_image_that_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError, match=r"with writing\.score_batch_size: 1;"):
        score(MIXED, size=1, lvlm=TableLVLM(SEEN, BLIND, fits=0))


def test_the_control_reads_another_image() -> None:
    images = ["x", "y", "z"]
    out = score([one(image, "red") for image in images], size=2)
    # p (log p - log q) of "red" with each image
    readings = {"x": 0.5 * LN2, "y": -0.125 * LN2, "z": 0.0}
    control = [scored.shuffled for scored in out]
    assert sorted(control) == pytest.approx(sorted(readings.values()), abs=1e-6)  # type: ignore[type-var]
    for image, value in zip(images, control, strict=True):
        assert value != pytest.approx(readings[image], abs=1e-6)


def test_no_control_where_there_is_no_other_image() -> None:
    assert [s.shuffled for s in score([one("x", "red"), one("x", "two dots")])] == [None, None]
    assert [s.shuffled for s in score([one("x", "red"), one("y", "red")], shuffle_seed=None)] == [None, None]


def test_a_score_that_is_no_number_drops_the_pair_alone() -> None:
    seen = {**SEEN, ("x", "red"): [math.nan]}
    with pytest.warns(UserWarning, match=r"image x, group 'a', text 0: its score is not a finite number"):
        broken, fine = score([one("x", "red"), one("x", "two dots")], lvlm=TableLVLM(seen, BLIND))
    assert broken.scores is None
    assert broken.candidate.rejected == "score is not a finite number"
    assert fine.scores is not None
    # a token that the image rules out altogether: gap is -inf
    with pytest.warns(UserWarning, match="image x, group 'a'"):
        (impossible,) = score([one("x", "red")], lvlm=TableLVLM({("x", "red"): [0.0]}, BLIND))
    assert impossible.scores is None


def test_an_answer_without_tokens_drops_the_pair_alone() -> None:
    seen = {**SEEN, ("x", ""): [], ("y", ""): []}
    out = score([one("x", "red"), one("x", ""), one("y", "red")], lvlm=TableLVLM(seen, BLIND))
    assert [scored.scores.gap if scored.scores else None for scored in out] == pytest.approx([LN2, None, -LN2])
    assert [scored.candidate.rejected for scored in out] == ["", "answer has no token", ""]
    assert out[1].shuffled is None


def test_nothing_to_score() -> None:
    rejected = one("x", "", "empty text")
    assert score([rejected]) == [ScoredCandidate(rejected)]
    assert score([]) == []


def context(images: str, *chats: str) -> Context:
    """Of "what:answer, what:answer" conversations about the images "x+y"."""
    said = [[part.strip().split(":") for part in chat.split(",")] for chat in chats]
    turns = tuple(tuple(turn for q, a in own for turn in exchange(q, a)) for own in said)
    return Context(tuple(images.split("+")), turns)


def gaps(found: list[list[TurnScore]]) -> list[list[float | str]]:
    return [[one.scores.gap / LN2 if one.scores else one.reason for one in own] for own in found]


def score_all(contexts: list[Context], size: int = 2, lvlm: Any = None) -> list[list[TurnScore]]:
    lvlm = lvlm or TableLVLM(SEEN, BLIND)
    return score_contexts(lvlm, contexts, lambda key: key, BatchSize(size, "size"), ScoringConfig(0))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_every_answer_of_every_conversation_in_its_place(size: int) -> None:
    contexts = [context("x", "a:red, b:two dots", "c:red"), context("y", "a:red"), context("z", "a:two dots, b:red")]
    assert gaps(score_all(contexts, size)) == [
        pytest.approx([1, 0.5, 1], abs=1e-6),
        pytest.approx([-1], abs=1e-6),
        pytest.approx([0.5, 0], abs=1e-6),
    ]


def test_the_control_has_as_many_images() -> None:
    seen = {**SEEN, ("x+y", "red"): [0.5], ("z+x", "red"): [0.125]}
    contexts = [context("x+y", "a:red"), context("x", "a:red"), context("z+x", "a:red")]
    (pair,), (alone,), (other,) = score_all(contexts, lvlm=TableLVLM(seen, BLIND))
    # p (log p - log q) with the other pair of images
    assert pair.shuffled == pytest.approx(-0.125 * LN2)
    assert other.shuffled == pytest.approx(0.5 * LN2)
    assert alone.shuffled is None


@pytest.mark.parametrize("size", [1, 3])
def test_a_conversation_that_cannot_be_read_stops_nothing_else(size: int) -> None:
    """Of a long one, the turns up to there are scored."""
    lvlm = TableLVLM(SEEN, BLIND, too_long=["long"])
    contexts = [context("x", "a:red", "b:red, c:two dots, long:red"), context("y", "long:red"), context("z", "a:red")]
    first, second, third = gaps(score_all(contexts, size, lvlm))
    assert first[:3] == pytest.approx([1, 1, 0.5])
    assert all(isinstance(reason, str) and reason.startswith("too long") for reason in (first[3], second[0]))
    assert third == pytest.approx([0], abs=1e-6)


def test_a_candidate_that_cannot_be_read_is_rejected_with_its_reason() -> None:
    long = replace(one("x", "red"), question="long")
    fine, refused = score([one("x", "red"), long], lvlm=TableLVLM(SEEN, BLIND, too_long=["long"]))
    assert fine.scores is not None
    assert refused.candidate.rejected.startswith("too long")


def test_a_long_neighbour_leaves_the_control_alone() -> None:
    lvlm = TableLVLM(SEEN, BLIND, too_long=["long"])
    contexts = [context("x", "a:red", "b:red, long:red"), context("y", "a:red")]
    ((alone, earlier, refused), _) = score_all(contexts, lvlm=lvlm)
    # p (log p - log q) of "red" with the other image
    assert alone.shuffled == earlier.shuffled == pytest.approx(-0.125 * LN2)
    assert refused.scores is None


def test_a_conversation_without_answers_has_no_scores() -> None:
    silent = Context(("x",), ((Turn("user", "long"),),))
    lvlm = TableLVLM(SEEN, BLIND, too_long=["long"])
    assert score_all([silent, context("y", "a:red")], lvlm=lvlm)[0] == []
