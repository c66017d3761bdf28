"""Records as the conversations that an LVLM is trained on and scored with."""

import os
from dataclasses import replace
from pathlib import Path
from typing import get_args

from data_modules.formats.readers import read_records
from data_modules.formats.record import Message, Record
from lightning_c3l.conversations import Conversation, Role, Turn

_ROLES = get_args(Role)


def read_conversations(source: str | Path, image_root: Path | None) -> list[Conversation]:
    """Reads a whole set for training.

    Args:
        source: whatever `read_records` reads.
        image_root: where given, every image must exist below it.

    Returns:
        The conversations; image paths as they are in the file.

    Raises:
        ValueError: names the file, the record (from 1) and why it cannot be trained on.
        OSError: the file cannot be read.
    """
    conversations = []
    for entry in read_records(source):
        try:
            if entry.record is None:
                raise ValueError(entry.reason)
            conversation = to_conversation(entry.record, entry.number)
            if any(picture.data is not None for picture in entry.record.pictures):
                raise ValueError("the set carries its images; convert it first, with --extract FOLDER")
            if image_root is not None:
                _check_files(conversation, image_root)
        except ValueError as error:
            raise ValueError(f"{source}, record {entry.number}: {error}") from error
        conversations.append(conversation)
    return conversations


def to_conversation(record: Record, number: int) -> Conversation:
    """A record as a conversation.

    One image at the beginning of the first question is the conversation's; the line break after it goes. Other images
    keep their places, without the spaces next to one at an end of its text.

    Args:
        record: the record.
        number: its place in the set, its id where it has none.

    Raises:
        ValueError: it cannot be trained on: video, roles out of order, an image in what is not a question.
    """
    messages = list(record.messages)
    if any(record.extra.get(name) for name in ("video", "videos")) or any("<video>" in one.text for one in messages):
        raise ValueError("video is not supported yet")
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
        if not os.path.isfile(image_root / image):
            raise ValueError(f"image {image} is not below {image_root}")


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
