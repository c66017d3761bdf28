"""Records as the conversations that an LVLM is trained on and scored with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from data_modules.formats.images import as_file, require_file
from data_modules.formats.readers import read_records
from data_modules.formats.record import Message, Record, trim_at_images
from lightning_c3l.records import Conversation, Role, Turn

_ROLES = get_args(Role)


@dataclass(frozen=True)
class Trainable:
    """A record of a set, and the conversation that is trained on.

    Attributes:
        number: its number in the set, from 1.
        record: as it was read; None if it is broken.
        conversation: None if it cannot be trained on.
        reason: why not.
    """

    number: int
    record: Record | None
    conversation: Conversation | None
    reason: str = ""


def trainable(source: str | Path, root: Path, carried: Path, read_as: str | None = None) -> Iterator[Trainable]:
    """The records of a set as conversations, in constant memory.

    Args:
        source: whatever `read_records` reads.
        root: folder that image paths are relative to; every image must exist.
        carried: folder that images are written to which the set carries.
        read_as: as of `read_records`.

    Yields:
        Each record, the paths of written images relative to the root too.

    Raises:
        ValueError: nothing of the set can be read.
        OSError: likewise, or an image cannot be written.
    """
    for entry in read_records(source, read_as=read_as):
        record = entry.record
        try:
            if record is None:
                raise ValueError(entry.reason)
            images = tuple(as_file(image, root, carried) for image in record.images)
            conversation = to_conversation(replace(record, images=images), entry.number)
            if not any(turn.text.strip() for turn in conversation.turns if turn.role == "assistant"):
                raise ValueError("the assistant says nothing")
            for name in conversation.images:
                require_file(name, root)
        except ValueError as error:
            yield Trainable(entry.number, record, None, str(error))
        else:
            yield Trainable(entry.number, record, conversation)


def to_conversation(record: Record, number: int) -> Conversation:
    """A record as a conversation.

    One image at the beginning of the first question is the conversation's; the line break after it goes. Other images
    keep their positions, without the spaces next to one at an end of its text.

    Args:
        record: the record.
        number: its number in the set, which is its id if it has none.

    Raises:
        ValueError: it cannot be trained on: roles out of order, an image in what is not a question.
    """
    _check_turns(record.messages)
    name = record.extra.get("id")
    images: str | tuple[str, ...] | None = tuple(image.name for image in record.images) or None
    turns = []
    for message in record.messages:
        trimmed = trim_at_images(message)
        turns.append(Turn(cast(Role, trimmed.role), trimmed.text, trimmed.image_positions))
    index = 1 if turns[0].role == "system" else 0
    first = record.messages[index]
    if len(record.images) == 1 and first.image_positions and not first.text[: first.image_positions[0]].strip():
        images = record.images[0].name
        # a line break right after the image goes and nothing else; without one all leading spaces go
        is_in_front = first.image_positions == (0,) and first.text.startswith("\n")
        turns[index] = Turn("user", first.text[1:] if is_in_front else first.text.lstrip())
    return Conversation(str(number if name is None else name), images, tuple(turns))


def _check_turns(messages: Sequence[Message]) -> None:
    roles = [message.role for message in messages]
    for number, role in enumerate(roles, start=1):
        if role not in _ROLES:
            raise ValueError(f"turn {number} is from {role!r}; known are {', '.join(_ROLES)}")
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken or spoken != ["user", "assistant"] * ((len(spoken) + 1) // 2):
        raise ValueError(
            f"turns must go user, assistant, ... and end with the assistant, got {', '.join(spoken) or 'none'}"
        )
    for number, message in enumerate(messages, start=1):
        if message.image_positions and message.role != "user":
            raise ValueError(f"turn {number} is from the {message.role} and holds an image; only questions may")
