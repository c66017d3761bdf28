"""Token values of answers, for the pages: what each token owes to the image, by the LVLM as it is now."""

import math
from collections.abc import Sequence
from functools import partial

from lightning_c3l.lvlm.base import AnswerScorer, AnswerTokens, ConversationError, ImageError
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.report.token_values import TokenValues
from lightning_c3l.rounds.generation import Read
from lightning_c3l.rounds.scoring import Context

# decimals of stored log-probabilities
_DIGITS = 4
Values = list[TokenValues | None]


def token_values(lvlm: AnswerScorer, contexts: Sequence[Context], read: Read, batch_size: BatchSize) -> list[Values]:
    """Token values of every turn of the assistant.

    Args:
        lvlm: scores them (inside `lvlm.reference()` for the starting model).
        contexts: any; all have images.
        read: returns the image of a key.
        batch_size: contexts per batch; halved if memory runs out.

    Returns:
        For each context its answers, conversation after conversation; None for one that cannot be scored.
    """
    out = list[Values]()
    while len(out) < len(contexts):
        out += batch_size.run(partial(_of_first, lvlm, contexts[len(out) :], read))
    return out


def _of_first(lvlm: AnswerScorer, waiting: Sequence[Context], read: Read, size: int) -> list[Values]:
    """The answers of the first `size` contexts that wait."""
    batch = waiting[:size]
    chats = [one.chats for one in batch]
    try:
        tokens = lvlm.score([[read(key) for key in one.images] for one in batch], chats)
        texts = lvlm.answer_texts(chats)
    except (ConversationError, ImageError):
        if len(batch) > 1:  # the others need not go with it
            return [found for one in batch for found in _of_first(lvlm, [one], read, 1)]
        return [[None] * _answers(batch[0])]
    rows = iter([_values(tokens, row, own) for row, own in enumerate(texts)])
    return [[next(rows) for _ in range(_answers(one))] for one in batch]


def _answers(context: Context) -> int:
    return sum(turn.role == "assistant" for chat in context.chats for turn in chat)


def _values(tokens: AnswerTokens, row: int, texts: Sequence[str]) -> TokenValues | None:
    """The values of one answer; None where a token has none that is a number."""
    mask = tokens.mask[row]
    seen, blind = (
        [round(value, _DIGITS) for value in column[row][mask].tolist()]
        for column in (tokens.logp_image, tokens.logp_blind)
    )
    if not texts or not all(map(math.isfinite, (*seen, *blind))):
        return None
    return TokenValues.merged(texts, seen, blind)
