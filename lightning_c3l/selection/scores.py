"""The score of a record, from what `score` or a run wrote into it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Turns = Literal["mean", "min"]

# where a scored record keeps them: a list with an item for each of the assistant's messages
SCORES = "c3l_scores"
TEXT_ONLY = "text-only"
NOT_SCORED = "not scored"

# reasons are shown in tables; a path or a stack of words in one would fill them
_LONGEST_REASON = 80
# JSON has numbers of any size; none near this one is nats a token, and sums of such stay exact enough
_LARGEST = 1e12


@dataclass(frozen=True, slots=True)
class RecordScore:
    """What a record is worth.

    Attributes:
        value: the score in nats a token, nan where there is none.
        tokens: length of its scored answers in tokens.
        why: why there is no score, empty where there is one.
    """

    value: float
    tokens: int
    why: str = ""


def record_score(extra: Mapping[str, Any], by: str = "answer", turns: Turns = "mean") -> RecordScore:
    """The score of a record over its scored turns.

    Two forms are understood: `c3l_scores`, an item for each assistant turn as `score` writes them, and `c3l`, the
    one pair of a set that a run wrote. A turn whose score is no finite number, or that has no tokens, does not count.

    Args:
        extra: the record's further fields.
        by: the reading to go by, one of `records.READINGS_AND_RIVAL`.
        turns: `mean` weighs the turns by their tokens, `min` takes the worst.
    """
    items = list(_items(extra))
    scored = [
        (value, int(tokens))
        for item in items
        if item.get("status") == "scored"
        and (value := _number(item.get(by))) is not None
        and (tokens := _number(item.get("tokens"))) is not None
        and tokens >= 1
    ]
    if not scored:
        return RecordScore(math.nan, 0, _why(items, by))
    length = sum(tokens for _, tokens in scored)
    if turns == "min":
        return RecordScore(min(value for value, _ in scored), length)
    return RecordScore(math.fsum(value * tokens for value, tokens in scored) / length, length)


def _number(value: Any) -> float | None:
    """The value where it is a number that a score or a length can be; nan fails every comparison."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) <= _LARGEST else None


def _items(extra: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    listed, own = extra.get(SCORES), extra.get("c3l")
    if isinstance(listed, Sequence):
        yield from (item for item in listed if isinstance(item, Mapping))
    elif isinstance(own, Mapping) and isinstance(own.get("scores"), Mapping):
        yield {**own["scores"], "status": "scored"}


def _why(items: Sequence[Mapping[str, Any]], by: str) -> str:
    statuses = [item.get("status") for item in items]
    if items and all(status == "text_only" for status in statuses):
        return TEXT_ONLY
    if "scored" in statuses:
        return f"no finite {by} score"
    for item in items:
        if item.get("status") == "rejected":
            return " ".join(f"rejected: {item.get('reason')}".split())[:_LONGEST_REASON]
    return NOT_SCORED
