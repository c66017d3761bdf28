"""Token statistics of answers -> their scores, whole and without the sentences that the image does not support."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lightning_c3l.functional.i2c import all_readings, answer_reading, own_reading, reading_function
from lightning_c3l.functional.pooling import pool_of
from lightning_c3l.lvlm.base import AnswerTokens
from lightning_c3l.records import Scores
from lightning_c3l.report.token_values import TokenValues
from lightning_c3l.selection.scoring_config import ScoringConfig
from lightning_c3l.selection.sentences import sentence_numbers, sentence_spans

NOT_FINITE = "score is not a finite number"
NO_SENTENCE = "the image supports none of its sentences"
# decimals of the log-probabilities of tokens, which are shown and stored
_DIGITS = 4


@dataclass(frozen=True)
class Supported:
    """An answer without the sentences that the image does not support.

    Attributes:
        scores: of the tokens that are left, read behind the whole answer before them; None where none is left.
        shuffled: as in `TurnScore`.
        dropped: first character of each sentence left out, and the one behind its last.
    """

    scores: Scores | None
    shuffled: float | None = None
    dropped: tuple[tuple[int, int], ...] = ()

    def to_row(self) -> dict[str, Any]:
        """The answer as row files hold it."""
        return {**vars(self), "scores": self.scores and self.scores.to_row()}


@dataclass(frozen=True)
class TurnScore:
    """What is known of one answer.

    Attributes:
        scores: None where there are none.
        shuffled: the `answer` reading against another context's images, the control of the score.
        reason: why there are no scores.
        supported: its supported sentences, where the unit is a sentence and the answer has scores.
        tokens: values of its tokens, where they are asked for and are numbers; row files leave them out.
    """

    scores: Scores | None
    shuffled: float | None = None
    reason: str = ""
    supported: Supported | None = None
    tokens: TokenValues | None = None

    def to_row(self) -> dict[str, Any]:
        """The score as row files hold it."""
        row = {"scores": self.scores and self.scores.to_row(), "shuffled": self.shuffled, "reason": self.reason}
        return row | ({"supported": self.supported.to_row()} if self.supported else {})

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "TurnScore":
        """The score of a row that `to_row` made."""
        supported = None
        if kept := row.get("supported"):
            spans = tuple((start, end) for start, end in kept["dropped"])
            supported = Supported(kept["scores"] and Scores.from_row(kept["scores"]), kept["shuffled"], spans)
        return cls(row["scores"] and Scores.from_row(row["scores"]), row["shuffled"], row["reason"], supported)


def turn_scores(
    tokens: AnswerTokens, config: ScoringConfig, answers: Sequence[str] = (), texts: Sequence[Sequence[str]] = ()
) -> list[TurnScore]:
    """Scores of R answers.

    Args:
        tokens: their statistics, [R, T].
        config: how they are scored.
        answers: the answers; needed where the unit is a sentence.
        texts: text of each token of each answer, where `config.needs_texts`.
    """
    sentences = _sentences(tokens.mask, texts) if config.needs_sentences else None
    whole = list(_scored(tokens, tokens.mask, config, sentences))
    if config.token_values:
        whole = [replace(one, tokens=_token_values(tokens, row, texts[row])) for row, one in enumerate(whole)]
    if config.unit == "answer" or sentences is None:
        return whole
    kept = _supported(tokens, config, sentences)
    for row, (answer, own) in enumerate(zip(answers, texts, strict=True)):
        if "".join(own) != answer.strip():  # control tokens are no part of what is read: its sentences are not known
            kept[row] = tokens.mask[row]
    shorter = _scored(tokens, kept, config, sentences)
    out = list[TurnScore]()
    for row, (one, rest) in enumerate(zip(whole, shorter, strict=True)):
        if one.scores is None:
            out.append(one)
            continue
        lost = set(sentences[row][tokens.mask[row] & ~kept[row]].tolist())
        dropped = tuple(span for number, span in enumerate(sentence_spans(answers[row])) if number in lost)
        out.append(replace(one, supported=Supported(rest.scores, rest.shuffled, dropped)))
    return out


def _sentences(mask: Tensor, texts: Sequence[Sequence[str]]) -> Tensor:
    """Number of the sentence of each token, `[R, T]`."""
    out = torch.zeros(mask.shape, dtype=torch.int64)
    for row, own in enumerate(texts):
        out[row, mask[row].cpu()] = torch.tensor(sentence_numbers(own), dtype=torch.int64)
    return out.to(mask.device)


def _supported(tokens: AnswerTokens, config: ScoringConfig, sentences: Tensor) -> Tensor:
    """The tokens of the sentences whose value is high enough, `[R, T]`."""
    reading, kept = reading_function("sentences by", config.by), torch.zeros_like(tokens.mask)
    # within a sentence, the lowest mean of a sentence is its mean
    pool = pool_of("mean" if config.pooling == "min_sentence" else config.pooling)
    for number in range(int(sentences.max()) + 1 if sentences.numel() else 0):
        own = tokens.mask & (sentences == number)
        some = own.any(dim=1)
        values = reading(tokens.logp_image[some], tokens.logp_blind[some], tokens.kl[some], own[some], pool)
        kept[some] |= own[some] & (values >= config.sentence_min)[:, None]
    return kept


def _scored(tokens: AnswerTokens, mask: Tensor, config: ScoringConfig, sentences: Tensor | None) -> Iterator[TurnScore]:
    """Scores of the masked tokens of each answer."""
    # an answer of control tokens alone has no token left, and no reading
    some = mask.any(dim=1)
    logp, logq, kl, own = (one[some] for one in (tokens.logp_image, tokens.logp_blind, tokens.kl, mask))
    pool = pool_of(config.pooling, None if sentences is None else sentences[some])
    table = all_readings(logp, logq, kl, own, pool)
    more = [own_reading(name, logp, logq, kl, own, pool).tolist() for name in config.readings]
    control: list[float | None] = [None] * len(own)
    if tokens.logp_shuffled is not None:
        control = answer_reading(tokens.logp_shuffled[some], logq, kl, own, pool).tolist()
    rows = zip(*(column.tolist() for column in table), control, *more, strict=True)
    for scored in some.tolist():
        if not scored:
            yield TurnScore(None, reason="answer has no token")
            continue
        answer, positions, vocabulary, gap, mean_logp, mean_logq, count, other, *own_values = next(rows)
        if all(math.isfinite(value) for value in (answer, positions, vocabulary, gap, *own_values)):
            further = tuple(zip(config.readings, own_values, strict=True))
            scores = Scores(answer, positions, vocabulary, gap, mean_logp, mean_logq, int(count), further)
            yield TurnScore(scores, other)
        else:
            yield TurnScore(None, reason=NOT_FINITE)


def _token_values(tokens: AnswerTokens, row: int, texts: Sequence[str]) -> TokenValues | None:
    """The values of one answer's tokens; None where it has none, or one that is no number."""
    mask = tokens.mask[row]
    with_image, without = (
        [round(value, _DIGITS) for value in column[row][mask].tolist()]
        for column in (tokens.logp_image, tokens.logp_blind)
    )
    if not texts or not all(map(math.isfinite, (*with_image, *without))):
        return None
    return TokenValues.merged(texts, with_image, without)
