"""What a record asks for."""

from collections.abc import Mapping

from data_modules.formats.record import Record
from lightning_c3l.selection.texts import question_kind


def kind_of(record: Record) -> str:
    """What a run asked for, where it says so; else what the first question asks for."""
    own = record.extra.get("c3l")
    if isinstance(own, Mapping) and isinstance(own.get("kind"), str):
        return str(own["kind"])
    return question_kind(next((message.text for message in record.messages if message.role == "user"), ""))
