"""Token values of answers, for the pages: what each token owes to the image, by the LVLM as it is now."""

from collections.abc import Sequence

from lightning_c3l.lvlm.base import AnswerScorer
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.report.token_values import TokenValues
from lightning_c3l.rounds.generation import Read
from lightning_c3l.rounds.scoring import Context, score_contexts
from lightning_c3l.selection.scoring_config import ScoringConfig


def token_values(
    lvlm: AnswerScorer, contexts: Sequence[Context], read: Read, batch_size: BatchSize
) -> list[list[TokenValues | None]]:
    """Token values of every turn of the assistant.

    Args:
        lvlm: scores them (inside `lvlm.reference()` for the starting model).
        contexts: any; all have images.
        read: returns the image of a key.
        batch_size: contexts per batch; halved if memory runs out.

    Returns:
        For each context its answers, conversation after conversation; None for one that cannot be scored.
    """
    found = score_contexts(lvlm, contexts, read, batch_size, ScoringConfig(token_values=True))
    return [[one.tokens for one in own] for own in found]
