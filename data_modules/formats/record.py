"""One record of an instruction-tuning set, independent of the format it came in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lightning_c3l.selection.texts import question_type


@dataclass(slots=True)
class ImageRef:
    """An image of a record.

    Attributes:
        name: path or URL as the record has it; of a `data:` URL the part up to its comma.
        data: bytes of the image file where the set carries it (shards, Parquet, `data:` URL), else None.
    """

    name: str
    data: bytes | None = None


@dataclass(slots=True)
class Message:
    """One message of a record.

    Attributes:
        role: `system`, `user`, `assistant`, or any other role of the source.
        text: what is said, without image placeholders.
        image_positions: character offsets in `text` at which an image stands, ascending.
        extra: further fields of the message.
    """

    role: str
    text: str
    image_positions: tuple[int, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Record:
    """A record.

    Attributes:
        images: in the order of their positions in the messages.
        messages: the conversation.
        extra: all other fields, `id` among them where there is one.
        dialect: the dialect it was read in, empty if it was not read.
    """

    images: tuple[ImageRef, ...]
    messages: tuple[Message, ...]
    extra: dict[str, Any] = field(default_factory=dict)
    dialect: str = field(default="", compare=False)


@dataclass(slots=True)
class Entry:
    """A record as it was read, or the reason why it could not be.

    Attributes:
        number: its number in the set, from 1.
        record: None if it is broken.
        reason: one line that says what is wrong with it, empty if nothing is.
    """

    number: int
    record: Record | None
    reason: str = ""


@dataclass(frozen=True)
class WriteOptions:
    """How records are written.

    Attributes:
        dialect: of a JSON record, maybe one of the user's own; Parquet and CSV have their own columns.
        lossy: write what the format cannot hold as near as possible instead of refusing the record.
        image_root: folder that image paths are relative to, for a format that carries the images.
        extract_to: folder to write the images to that the records carry; the records then name the files.
        embed: carry the images in Parquet.
    """

    dialect: str = "llava"
    lossy: bool = False
    image_root: Path | None = None
    extract_to: Path | None = None
    embed: bool = False


# whether the record of a number (from 1) is wanted
Take = Callable[[int], bool]


class Inexpressible(ValueError):
    """A record holds something that the target format cannot."""


def trim_at_images(message: Message) -> Message:
    """A message without the white space that sets an image apart at an end of its text, such as LLaVA's line break."""
    text, positions = message.text, message.image_positions
    if not positions:
        return message
    if not text[: positions[0]].strip():
        gone = len(text) - len(text.lstrip())
        text, positions = text[gone:], tuple(max(0, position - gone) for position in positions)
    if not text[positions[-1] :].strip():
        text = text.rstrip()
        positions = tuple(min(position, len(text)) for position in positions)
    return replace(message, text=text, image_positions=positions)


def record_kind(record: Record) -> str:
    """The kind of instruction that a round noted under `c3l`; for other records the type of the first question."""
    noted = record.extra.get("c3l")
    if isinstance(noted, Mapping) and isinstance(noted.get("kind"), str):
        return str(noted["kind"])
    return question_type(next((message.text for message in record.messages if message.role == "user"), ""))
