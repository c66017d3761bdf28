"""Small sets as columns."""

import math
from collections.abc import Sequence

from lightning_c3l.selection.columns import Columns, ColumnsBuilder, ScoredRecord
from lightning_c3l.selection.scores import NOT_SCORED, RecordScore


def columns_of(
    scores: Sequence[float | None],
    kinds: Sequence[str] | None = None,
    tokens: Sequence[int] | None = None,
    images: Sequence[int] | None = None,
    texts: Sequence[Sequence[str]] | None = None,
    numbers: Sequence[int] | None = None,
    answers: Sequence[str] | None = None,
    why: str = NOT_SCORED,
) -> Columns:
    """A set by its columns; None is a record without a score."""
    builder = ColumnsBuilder(texts is not None, "pairs" if texts is not None else None)
    for i, score in enumerate(scores):
        length = tokens[i] if tokens else 1
        worth = RecordScore(math.nan, 0, why) if score is None else RecordScore(score, length)
        builder.add(
            ScoredRecord(
                number=numbers[i] if numbers else i + 1,
                score=worth,
                kind=kinds[i] if kinds else "what",
                images=images[i] if images else 1,
                messages=_messages(texts[i]) if texts else [("assistant", answers[i] if answers else "")],
            )
        )
    return builder.finish()


def _messages(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Texts as messages, the last one the assistant's."""
    return [("user" if i < len(texts) - 1 else "assistant", text) for i, text in enumerate(texts)]
