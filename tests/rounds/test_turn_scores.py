"""Scores of answers by pooling, and without the sentences that the image does not support, in closed form."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from lightning_c3l.lvlm.base import AnswerTokens
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.records import Candidate, Instruction, ScoredCandidate
from lightning_c3l.rounds.scoring import score_candidates
from lightning_c3l.rounds.turn_scores import NO_SENTENCE, TurnScore, turn_scores
from lightning_c3l.selection.scoring_config import ScoringConfig
from tests.helpers.doubles import TableLVLM

LN2 = math.log(2)
ANSWER = "It is red. It is big."
TEXTS = ["It is", " red", ".", " It is", " big", "."]
# log2 p and log2 q: gaps 1, 3, 2 in the first sentence and 0, -3, 0 in the second
P, Q = [-1, -1, -1, -1, -4, -1], [-2, -4, -3, -1, -1, -1]
FIRST_ANSWER = (0.5 * 1 + 0.5 * 3 + 0.5 * 2) / 3 * LN2
SENTENCE = ScoringConfig(unit="sentence", by="gap")


def tokens(*rows: tuple[list[int], list[int]]) -> AnswerTokens:
    """One answer a row, with a token of padding."""
    pad = [9]
    seen = torch.tensor([p + pad for p, _ in rows], dtype=torch.float64) * LN2
    blind = torch.tensor([q + pad for _, q in rows], dtype=torch.float64) * LN2
    mask = torch.tensor([[True] * len(p) + [False] for p, _ in rows])
    kl = torch.arange(mask.shape[1], dtype=torch.float64).expand(mask.shape)
    return AnswerTokens(seen, blind, kl, mask, blind)


def one(config: ScoringConfig, p: list[int] = P, q: list[int] = Q, texts: list[str] = TEXTS) -> TurnScore:
    (found,) = turn_scores(tokens((p, q)), config, [ANSWER], [texts])
    return found


def value(found: TurnScore, name: str) -> float:
    assert found.scores is not None
    return float(getattr(found.scores, name))


def test_pooling_takes_the_place_of_the_mean_in_readings_of_tokens() -> None:
    mean, low, quarter = (one(ScoringConfig(pooling=name)) for name in ("mean", "min_sentence", "lowest_quarter"))  # type: ignore[arg-type]
    assert value(mean, "gap") == pytest.approx(3 / 6 * LN2)
    assert value(low, "gap") == pytest.approx(-3 / 3 * LN2)
    assert value(quarter, "gap") == pytest.approx((-3 + 0) / 2 * LN2)
    assert value(low, "answer") == pytest.approx(-3 / 16 / 3 * LN2)
    assert value(quarter, "answer") == pytest.approx(-3 / 16 / 2 * LN2)
    # divergences 0 to 5
    assert [value(one, "vocabulary") for one in (mean, low, quarter)] == pytest.approx([2.5, 1.0, 0.5])
    for name in ("positions", "mean_logp", "mean_logq", "tokens"):
        assert value(mean, name) == value(low, name) == value(quarter, name)
    # the other image says as much as no image
    assert low.shuffled == pytest.approx(0.0)


def test_a_sentence_that_the_image_speaks_against_is_left_out() -> None:
    found = one(SENTENCE)
    kept = found.supported
    assert kept is not None
    assert kept.scores is not None
    assert [ANSWER[start:end] for start, end in kept.dropped] == ["It is big."]
    assert value(found, "gap") == pytest.approx(3 / 6 * LN2)  # of the whole answer
    assert kept.scores.gap == pytest.approx(6 / 3 * LN2)
    assert kept.scores.answer == pytest.approx(FIRST_ANSWER)
    assert kept.scores.vocabulary == pytest.approx(1.0)
    assert kept.scores.tokens == 3
    assert kept.shuffled == pytest.approx(0.0)
    assert TurnScore.from_row(found.to_row()) == found


def test_the_threshold_and_what_is_kept_whole() -> None:
    nothing = one(replace(SENTENCE, sentence_min=5.0)).supported
    assert nothing is not None
    assert nothing.scores is None
    assert len(nothing.dropped) == 2
    everything = one(replace(SENTENCE, sentence_min=-1.0))  # -ln 2 is the value of the second sentence
    assert everything.supported is not None
    assert everything.supported.dropped == ()
    assert everything.supported.scores == everything.scores
    # what is read is another text than the answer: its sentences are not known
    odd = one(SENTENCE, texts=["It was", *TEXTS[1:]]).supported
    assert odd is not None
    assert odd.dropped == ()


def test_rows_of_the_default_are_as_before() -> None:
    row = one(ScoringConfig()).to_row()
    assert sorted(row) == ["reason", "scores", "shuffled"]
    assert ScoringConfig(7).made_with() == {}
    assert ScoringConfig(pooling="lowest_quarter").made_with() == {"pooling": "lowest_quarter"}


def test_candidates_lose_their_sentences() -> None:
    # a token a character: gaps of ln 2 and -ln 2
    blind = {"Up. No.": [0.25] * 7, "No.": [0.5] * 3}
    seen = {("x", "Up. No."): [0.5] * 3 + [0.125] * 4, ("x", "No."): [0.25] * 3}
    lvlm: Any = TableLVLM(seen, blind)
    asked = [Candidate("x", Instruction("k", "W"), 0, "text", "Q?", answer) for answer in blind]
    size = BatchSize(2, "batch_size")
    first, second = score_candidates(lvlm, asked, lambda key: key, size, SENTENCE)  # type: ignore[arg-type,return-value]
    assert (first.candidate.answer, first.dropped, first.candidate.text) == ("Up.", ("No.",), "text")
    assert first.scores is not None
    assert first.scores.gap == pytest.approx(LN2)
    assert first.scores.tokens == 3
    assert (second.candidate.rejected, second.scores, second.dropped) == (NO_SENTENCE, None, ("No.",))
    assert [ScoredCandidate.from_row(found.to_row()) for found in (first, second)] == [first, second]
    assert "dropped" not in ScoredCandidate(asked[0]).to_row()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "pooling must be one of"),
        ({"unit": "word"}, "unit must be answer or sentence"),
        ({"unit": "sentence", "by": "vocabulary"}, "unit sentence needs the reading answer or gap"),
        ({"sentence_min": math.nan}, "sentence_min must be a finite number"),
        ({"sentence_min": 0.1}, "sentence_min 0.1 needs the unit sentence, not answer"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScoringConfig(**options)
