"""Records as the conversations that an LVLM is trained on and scored with."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from data_modules.formats.images import as_file, require_file
from data_modules.formats.readers import read_records
from data_modules.formats.record import Message, Record
from lightning_c3l.records import Conversation, Role, Turn

_ROLES = get_args(Role)


@dataclass(frozen=True)
class Trainable:
    """A record of a set, and what is trained on.

    Attributes:
        number: its place in the set, from 1.
        record: as it was read; None where it is broken.
        conversation: None where it cannot be trained on.
        reason: why not.
    """

    number: int
    record: Record | None
    conversation: Conversation | None
    reason: str = ""


def trainable(source: str | Path, root: Path, carried: Path) -> Iterator[Trainable]:
    """The records of a set as conversations, in constant memory.

    Args:
        source: whatever `read_records` reads.
        root: folder that image paths are relative to; every image must exist.
        carried: folder that the images are written to which the set carries.

    Yields:
        Each record, the paths of written images relative to the root too.

    Raises:
        ValueError: nothing of the set can be read.
        OSError: likewise, or an image cannot be written.
    """
    for entry in read_records(source):
        record = entry.record
        try:
            if record is None:
                raise ValueError(entry.reason)
            pictures = tuple(as_file(picture, root, carried) for picture in record.pictures)
            conversation = to_conversation(replace(record, pictures=pictures), entry.number)
            if not any(turn.text.strip() for turn in conversation.turns if turn.role == "assistant"):
                raise ValueError("the assistant says nothing")
            _check_files(conversation, root)
        except ValueError as error:
            yield Trainable(entry.number, record, None, str(error))
        else:
            yield Trainable(entry.number, record, conversation)


def to_conversation(record: Record, number: int) -> Conversation:
    """A record as a conversation.

    One image at the beginning of the first question is the conversation's; the line break after it goes. Other images
    keep their places, without the spaces next to one at an end of its text.

    Args:
        record: the record.
        number: its place in the set, its id where it has none.

    Raises:
        ValueError: it cannot be trained on: roles out of order, an image in what is not a question.
    """
    messages = list(record.messages)
    _check_turns(messages)
    name = record.extra.get("id")
    first = 1 if messages[0].role == "system" else 0
    images: str | tuple[str, ...] | None = tuple(picture.name for picture in record.pictures) or None
    turns = [_turn(message) for message in messages]
    if len(record.pictures) == 1 and _is_before(messages[first]):
        images = record.pictures[0].name
        turns[first] = Turn("user", _without_break(messages[first]))
    return Conversation(str(number if name is None else name), images, tuple(turns))


def _check_files(conversation: Conversation, image_root: Path) -> None:
    for image in conversation.images:
        require_file(image, image_root)


def _check_turns(messages: list[Message]) -> None:
    roles = [message.role for message in messages]
    for place, role in enumerate(roles, start=1):
        if role not in _ROLES:
            raise ValueError(f"turn {place} is from {role!r}; known are {', '.join(_ROLES)}")
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken or spoken != ["user", "assistant"] * ((len(spoken) + 1) // 2):
        raise ValueError(
            f"turns must go user, assistant, ... and end with the assistant, got {', '.join(spoken) or 'none'}"
        )
    for place, message in enumerate(messages, start=1):
        if message.pictures and message.role != "user":
            raise ValueError(f"turn {place} is from the {message.role} and holds an image; only questions may")


def _is_before(message: Message) -> bool:
    return bool(message.pictures) and not message.text[: message.pictures[0]].strip()


def _without_break(message: Message) -> str:
    """The question. A line break after the image goes with it and nothing else changes; without one, all spaces go."""
    text = message.text
    return text[1:] if message.pictures == (0,) and text.startswith("\n") else text.lstrip()


def _turn(message: Message) -> Turn:
    if message.pictures:
        message = _trimmed(message)
    return Turn(message.role, message.text, message.pictures)  # type: ignore[arg-type]  # checked before


def _trimmed(message: Message) -> Message:
    """Without the spaces beside an image at an end."""
    text, places = message.text, message.pictures
    if not text[: places[0]].strip():
        gone = len(text) - len(text.lstrip())
        text, places = text[gone:], tuple(max(0, place - gone) for place in places)
    if not text[places[-1] :].strip():
        text = text.rstrip()
        places = tuple(min(place, len(text)) for place in places)
    return replace(message, text=text, pictures=places)
