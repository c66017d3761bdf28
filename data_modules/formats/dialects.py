"""A record as JSON in the dialects: LLaVA, ShareGPT, OpenAI's messages, and plain pairs of question and answer.

Conversion keeps every value and unknown field, not how they were spelled: an image that was a list of one becomes a
path, a system prompt beside the messages becomes the first message.
"""

from collections.abc import Sequence
from typing import Any

from data_modules.formats.fields import (
    IMAGE_FIELDS,
    MESSAGE_FIELDS,
    PROMPTS,
    assign_message_fields,
    escape_fields,
    message_fields,
    prompt_field,
    unescape_fields,
)
from data_modules.formats.foreign import in_dialect
from data_modules.formats.images import image_reference, to_image
from data_modules.formats.messages import (
    CONVERSATIONS,
    MESSAGES,
    PLACEHOLDER,
    Slot,
    read_text,
    read_turn,
    write_parts,
    write_text,
    write_turn,
)
from data_modules.formats.own_dialect import Rewrite, own_dialect
from data_modules.formats.record import Entry, ImageRef, Inexpressible, Message, Record
from data_modules.formats.unsupported import refuse_other_media, refuse_unread
from lightning_c3l.extensions import is_path

_IMAGES = frozenset(("image", "images"))
# by dialect, the fields that mean something in it, so that unknown fields of these names are escaped
_TAKEN = {
    "llava": _IMAGES | {"conversations", MESSAGE_FIELDS},
    "sharegpt": _IMAGES | {"conversations", MESSAGE_FIELDS},
    "messages": _IMAGES | {"conversations", "messages", MESSAGE_FIELDS},
    "pairs": _IMAGES | {"conversations", "messages", "question", "answer", *PROMPTS, MESSAGE_FIELDS},
}
DIALECTS = tuple(_TAKEN)

# images that came with a record, each with the number in its file's name
Beside = Sequence[tuple[int, ImageRef]]


def parse_entry(
    number: int, value: Any, beside: Beside = (), dialect: str | None = None, rewrite: Rewrite | None = None
) -> Entry:
    """`from_json` as an entry of a set, after `rewrite`: a broken record is an entry with the reason."""
    try:
        if rewrite is not None and type(value) is dict:
            value = rewrite(value)
        return Entry(number, from_json(value, beside, dialect))
    except RecursionError:
        return Entry(number, None, "nested too deeply")
    except ValueError as error:
        return Entry(number, None, str(error))


def from_json(value: Any, beside: Beside = (), dialect: str | None = None) -> Record:
    """Read a record.

    Args:
        value: its JSON value.
        beside: images that came with it: its images if it names none, else the files of those that it names.
        dialect: read it as this one; unless given, it is recognised by its fields, other projects' formats included.

    Raises:
        ValueError: it is no record; says why.
    """
    if type(value) is not dict:
        raise ValueError(f"must be an object, got {type(value).__name__}")
    refuse_other_media(value)
    if dialect is None:
        value = in_dialect(value)
        dialect = _recognise(value)
    extra = {name: one for name, one in value.items() if name not in _IMAGES}
    images = _listed_images(value, extra)
    slots: list[Slot] = []
    messages = _read_messages(extra, dialect, slots)
    extra = unescape_fields(assign_message_fields(messages, extra))
    if slots or images or beside:
        images = _in_order(images, slots, messages, [image for _, image in beside])
    record = Record(tuple(images), tuple(messages), extra, dialect)
    refuse_unread(record)
    # images that the record names and that came with it; those that it does not name have their data already
    if beside and any(image.data is None for image in images):
        _attach(images, beside)
    return record


def to_json(record: Record, dialect: str, lossy: bool = False) -> dict[str, Any]:
    """Write a record.

    `messages` are written as parts with `image_url`: the form of chat APIs, in which each image stands at its own
    position and no text has to be searched for a placeholder.

    Args:
        record: the record.
        dialect: a name in `DIALECTS`, or the dotted path of one of the user's own.
        lossy: write what cannot be expressed as near as possible.

    Raises:
        Inexpressible: the dialect cannot hold the record.
    """
    if is_path(dialect):
        own = own_dialect("dialect", dialect)
        return own.write(to_json(record, own.base, lossy))
    written: dict[str, Any] = {"id": record.extra["id"]} if "id" in record.extra else {}
    if record.images and dialect != "messages":
        names = [image_reference(image) for image in record.images]
        if dialect == "sharegpt":
            written["images"] = names
        else:
            written["image"] = names[0] if len(names) == 1 else names
    if dialect == "messages":
        images = iter(record.images)
        written["messages"] = [write_parts(message, images) for message in record.messages]
    elif dialect == "pairs":
        roles = [message.role for message in record.messages]
        first = record.messages[0]
        if roles not in (["system", "user", "assistant"], ["user", "assistant"]) or (
            # a system message that says nothing would not be read back
            roles[0] == "system" and not (first.text or first.image_positions)
        ):
            raise Inexpressible(f"a pair is one question with its answer, not turns of {', '.join(roles)}")
        texts = [write_text(message, lossy) for message in record.messages]
        written |= dict(zip(("system", "question", "answer")[-len(roles) :], texts, strict=True))
        written |= message_fields(record.messages)
    else:
        written["conversations"] = [write_turn(message, lossy) for message in record.messages]
    return written | escape_record_fields(record, _TAKEN[dialect])


def escape_record_fields(record: Record, taken: frozenset[str] = _TAKEN["messages"]) -> dict[str, Any]:
    """The further fields of a record, those escaped that would be read as something else."""
    if record.messages[0].role != "system" and prompt_field(record.extra):
        taken = taken.union(PROMPTS)
    return escape_fields(record.extra, taken)


def _recognise(value: dict[str, Any]) -> str:
    """The dialect, by the fields."""
    if isinstance(value.get("conversations"), list):
        return "sharegpt" if value.get("images") or ("images" in value and not value.get("image")) else "llava"
    if isinstance(value.get("messages"), list):
        return "messages"
    if "question" in value and "answer" in value:
        return "pairs"
    if "chosen" in value and "rejected" in value:
        raise ValueError("is a preference pair ('chosen', 'rejected'), not an instruction with its answer")
    fields = ", ".join(repr(name[:40]) for name in list(value)[:8]) or "none"
    raise ValueError(
        "'conversations' is missing, empty or no list, and there is no 'messages', 'question' with 'answer' or any "
        f"other known format; its fields are {fields}"
    )


def _listed_images(value: dict[str, Any], extra: dict[str, Any]) -> list[ImageRef]:
    """The images that a record lists beside its messages; further fields of those that are objects go to `extra`."""
    lists = [
        given if isinstance(given, list) else [] if given is None or given == "" else [given]
        for given in (value.get("image"), value.get("images"))
    ]
    if all(lists) and lists[0] != lists[1]:
        raise ValueError("'image' and 'images' name different images")
    images = lists[0] or lists[1]
    fields = [
        {name: one for name, one in image.items() if name not in ("path", "bytes")} if isinstance(image, dict) else {}
        for image in images
    ]
    if any(fields):
        extra[IMAGE_FIELDS] = fields
    return [to_image(image) for image in images]


def _read_messages(extra: dict[str, Any], dialect: str, slots: list[Slot]) -> list[Message]:
    """The messages, which are taken out of `extra`; their images are appended to `slots`."""
    prompt = prompt_field(extra)
    if dialect == "pairs":
        messages = []
        for role, field in (("system", prompt), ("user", "question"), ("assistant", "answer")):
            if field is not None:
                if not isinstance(text := extra.pop(field), str):
                    raise ValueError(f"'{field}' must be a text, got {type(text).__name__}")
                messages.append(Message(role, *read_text(text, slots, role)))
        return messages
    field, names = ("messages", MESSAGES) if dialect == "messages" else ("conversations", CONVERSATIONS)
    turns = extra.pop(field)
    if not isinstance(turns, list) or not turns:
        raise ValueError(f"'{field}' is missing, empty or no list")
    messages = [read_turn(turn, number, names, slots) for number, turn in enumerate(turns, start=1)]
    if prompt is not None and messages[0].role != "system":
        own: list[Slot] = []
        messages.insert(0, Message("system", *read_text(extra.pop(prompt), own, "system")))
        slots[:0] = own
    return messages


def _in_order(
    listed: Sequence[ImageRef], slots: Sequence[Slot], messages: list[Message], carried: Sequence[ImageRef]
) -> list[ImageRef]:
    """The record's images in the order of their positions.

    Images for which no text has a placeholder are put before the first message of the user.

    Args:
        listed: images that the record lists beside its messages.
        slots: images and placeholders of its messages.
        messages: they get the positions that they lack.
        carried: its images if neither list nor messages name any.

    Raises:
        ValueError: more or fewer placeholders than images.
    """
    waiting = slots.count(None)
    if carried and not listed and waiting == len(slots):
        listed = carried
    elif listed and [None if slot is None else slot.name for slot in slots] == [one.name for one in listed]:
        return list(listed)  # the messages name them as well
    if waiting == len(listed):
        rest = iter(listed)
        return [next(rest) if slot is None else slot for slot in slots]
    if not listed:
        raise ValueError(f"has {PLACEHOLDER} but no 'image'")
    if waiting:
        raise ValueError(f"has {PLACEHOLDER} {waiting} times, but {len(listed)} images")
    first = next((index for index, message in enumerate(messages) if message.role == "user"), 0)
    before = sum(len(message.image_positions) for message in messages[:first])
    messages[first].image_positions = (0,) * len(listed) + messages[first].image_positions
    inline = [slot for slot in slots if slot is not None]
    return [*inline[:before], *listed, *inline[before:]]


def _attach(images: Sequence[ImageRef], beside: Beside) -> None:
    """Give the record's images the files that came with it, by the numbers in their names or else in their order.

    Raises:
        ValueError: it is not clear which file belongs to which image.
    """
    indices = [number for number, _ in beside]
    if len(set(indices)) < len(indices) or max(indices) >= len(images):
        if len(beside) != len(images):
            raise ValueError(f"names {len(images)} images, and {len(beside)} files are beside it")
        indices = list(range(len(beside)))
    for index, (_, carried) in zip(indices, beside, strict=True):
        images[index].data = carried.data
