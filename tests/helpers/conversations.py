"""A set's conversations, for tests."""

from pathlib import Path

from data_modules.formats import read_records, to_conversation, trainable
from lightning_c3l.records import Conversation


def read_conversations(source: str | Path, root: Path | None) -> list[Conversation]:
    """All of them; an error where one is broken or, with a root, where an image is missing."""
    if root is not None:
        found = list(trainable(source, root, root))
        problems = [f"{source}, record {one.number}: {one.reason}" for one in found if one.conversation is None]
        if problems:
            raise ValueError(problems[0])
        return [one.conversation for one in found if one.conversation is not None]
    out = []
    for entry in read_records(source):
        try:
            if entry.record is None:
                raise ValueError(entry.reason)
            out.append(to_conversation(entry.record, entry.number))
        except ValueError as error:
            raise ValueError(f"{source}, record {entry.number}: {error}") from error
    return out
