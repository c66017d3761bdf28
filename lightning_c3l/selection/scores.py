"""The score of a record, from the fields that `score` or a run wrote into it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lightning_c3l.extensions import is_path
from lightning_c3l.records import READINGS_AND_RIVAL

Turns = Literal["mean", "min"]

# field of a scored record: a list with an item for each assistant message
SCORES = "c3l_scores"
TEXT_ONLY = "text-only"
NOT_SCORED = "not scored"

# reasons are shown in tables, which a path or an error of many lines would fill
_LONGEST_REASON = 80
# JSON has numbers of any size; none this large is nats a token, and sums up to it stay exact enough
_LARGEST = 1e12


@dataclass(frozen=True, slots=True)
class RecordScore:
    """Score and length of the answers of a record.

    Attributes:
        value: the score in nats a token, nan where there is none.
        tokens: length of its scored answers in tokens.
        why: why there is no score, empty where there is one.
    """

    value: float
    tokens: int
    why: str = ""


def require_reading(option: str, name: str) -> None:
    """Refuse what is neither a reading of ours nor a dotted path; nothing is imported, since scores have the name.

    Raises:
        ValueError: names the option.
    """
    if name not in READINGS_AND_RIVAL and not is_path(name):
        raise ValueError(
            f"{option} must be one of {', '.join(READINGS_AND_RIVAL)}, or module.function of your own reading, "
            f"not {name!r}"
        )


def record_score(extra: Mapping[str, Any], by: str = "answer", turns: Turns = "mean") -> RecordScore:
    """Combine the scores of a record's turns.

    Two forms are read: `c3l_scores`, an item for each assistant turn as `score` writes them, and `c3l`, the single pair
    of a record that a run wrote. A turn whose score is not finite, or that has no tokens, does not count.

    Args:
        extra: fields of the record beside images and messages.
        by: the reading that is the score, one of `records.READINGS_AND_RIVAL` or one of the user's own.
        turns: `mean` weights the turns by their tokens, `min` takes the lowest.

    Returns:
        The score, nan with the reason where the record has none.
    """
    listed, own = extra.get(SCORES), extra.get("c3l")
    items: list[Mapping[str, Any]] = []
    if isinstance(listed, Sequence):
        items = [item for item in listed if isinstance(item, Mapping)]
    elif isinstance(own, Mapping) and isinstance(own.get("scores"), Mapping):
        items = [{**own["scores"], "status": "scored"}]
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
    """The value if it can be a score or a length, else None; nan fails the comparison."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) <= _LARGEST else None


def _why(items: Sequence[Mapping[str, Any]], by: str) -> str:
    statuses = [item.get("status") for item in items]
    if items and all(status == "text_only" for status in statuses):
        return TEXT_ONLY
    if "scored" in statuses:
        return f"no finite {by} score"
    for item in items:
        if item.get("status") == "rejected":
            reason = " ".join(f"rejected: {item.get('reason')}".split())
            return reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 1] + "…"
    return NOT_SCORED
