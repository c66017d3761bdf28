"""One record of an instruction-tuning set, whatever format it came in: nothing that the source said is lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Picture:
    """An image of a record.

    Attributes:
        name: its path or name as the record has it.
        data: the image file itself where the set carries it (shards, Parquet with bytes), else None.
    """

    name: str
    data: bytes | None = None


@dataclass(slots=True)
class Message:
    """One message.

    Attributes:
        role: `system`, `user`, `assistant`, or any other word that the source has.
        text: what is said, without placeholders.
        pictures: places in the text, counted in characters and ascending, at which an image stands.
        extra: further fields of the message.
    """

    role: str
    text: str
    pictures: tuple[int, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Record:
    """A record.

    Attributes:
        pictures: its images, in the order of their places in the messages.
        messages: what is said.
        extra: all other fields, `id` among them where there is one.
        forms: by dialect, how a record differed there from the way we write it (see `forms.py`), so that it can be
            written back as it was.
    """

    pictures: tuple[Picture, ...]
    messages: tuple[Message, ...]
    extra: dict[str, Any] = field(default_factory=dict)
    forms: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Entry:
    """A record as it was read, or why it could not be.

    Attributes:
        number: its place in the set, from 1.
        record: None where it is broken.
        reason: one line that says what is wrong with it.
    """

    number: int
    record: Record | None
    reason: str = ""


class Inexpressible(ValueError):
    """What a record holds and the format that it is to be written in cannot."""
