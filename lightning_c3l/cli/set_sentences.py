"""Records of a scored set without the sentences that the image does not support."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from data_modules.formats import Record
from lightning_c3l.selection.scores import SCORES
from lightning_c3l.selection.sentences import without_spans

# why a record is left out: an answer without a sentence is none
NONE_LEFT = "an answer has no sentence that the image supports"


@dataclass
class DroppedCount:
    """What written records have lost.

    Attributes:
        sentences: how many.
        answers: answers that lost some.
    """

    sentences: int = 0
    answers: int = 0

    def add(self, record: Record) -> None:
        """Count those of a record that `supported_part` returned."""
        for row in record.extra.get(SCORES, ()):
            if lost := row.get("dropped", 0):
                self.sentences += lost
                self.answers += 1

    def __str__(self) -> str:
        return (
            f"{self.answers:,} of the answers have lost {self.sentences:,} sentences that the image does not support."
        )


def require_sentences(source: str, meta: Mapping[str, Any]) -> None:
    """Refuse a set whose scores do not tell sentences apart.

    Args:
        source: its name.
        meta: what is known about it.

    Raises:
        ValueError: it was scored without.
    """
    if (meta.get("scored_with") or {}).get("unit") != "sentence":
        raise ValueError(
            f"{source}: is not scored by sentences: run `score --unit sentence` first, or leave out --unit"
        )


def supported_part(record: Record) -> Record:
    """A record whose answers consist of their supported sentences, with the scores of these.

    `c3l_scores` of an answer that lost some says how many (`dropped`) and which (`dropped_sentences`); one that lost
    all keeps its text and is rejected, with the reason.
    """
    rows, messages = list[Any](), list(record.messages)
    for row in record.extra.get(SCORES) or ():
        kept = row.get("supported") if isinstance(row, Mapping) else None
        if not isinstance(kept, Mapping):
            rows.append(row)
            continue
        message, spans = messages[row["turn"]], [(start, end) for start, end in kept["dropped"]]
        lost = {"dropped": len(spans), "dropped_sentences": [message.text[start:end] for start, end in spans]}
        whole = {name: value for name, value in row.items() if name != "supported"}
        if kept["scores"] is None:
            rows.append({"turn": row["turn"], "status": "rejected", "reason": NONE_LEFT, **lost})
        elif spans:
            messages[row["turn"]] = replace(message, text=without_spans(message.text, spans))
            rows.append({**whole, **kept["scores"], "shuffled": kept["shuffled"], **lost})
        else:
            rows.append(whole)
    return replace(record, messages=tuple(messages), extra={**record.extra, SCORES: rows})


def lost_an_answer(record: Record) -> bool:
    """Whether an answer of a record that `supported_part` returned has lost all of its sentences."""
    return any(isinstance(row, Mapping) and row.get("reason") == NONE_LEFT for row in record.extra.get(SCORES) or ())
