"""Records from the JSON of each dialect."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_modules.formats.fields import ESCAPED, prompt_field, with_message_extras, without_escape
from data_modules.formats.forms import same
from data_modules.formats.images import to_picture
from data_modules.formats.messages import CONVERSATIONS, MESSAGES, PLACEHOLDER, Slot, read_text, read_turns
from data_modules.formats.record import Message, Picture, Record


def in_order(
    pictures: Sequence[Picture], slots: Sequence[Slot], messages: list[Message], carried: Sequence[Picture] = ()
) -> tuple[Picture, ...]:
    """The record's images in the order of their places.

    Images for which no text has a placeholder are put before the first message of the user.

    Args:
        pictures: the record's list of images.
        slots: what its messages have at their places.
        messages: the messages, which get the places that they do not have.
        carried: its images where neither list nor messages name any.

    Raises:
        ValueError: more or fewer placeholders than images.
    """
    if carried and not pictures and all(slot is None for slot in slots):
        pictures = carried
    elif pictures and [None if slot is None else slot.name for slot in slots] == [one.name for one in pictures]:
        return tuple(pictures)  # listed beside the messages that name them
    waiting = slots.count(None)
    if waiting == len(pictures):
        rest = iter(pictures)
        return tuple(next(rest) if slot is None else slot for slot in slots)
    if not pictures:
        raise ValueError(f"has {PLACEHOLDER} but no 'image'")
    if waiting:
        raise ValueError(f"has {PLACEHOLDER} {waiting} times, but {len(pictures)} images")
    place = next((number for number, message in enumerate(messages) if message.role == "user"), 0)
    before = sum(len(message.pictures) for message in messages[:place])
    messages[place].pictures = (0,) * len(pictures) + messages[place].pictures
    inline = [slot for slot in slots if slot is not None]
    return (*inline[:before], *pictures, *inline[before:])


def listed_pictures(value: Mapping[str, Any]) -> list[Picture]:
    """The images that a record names beside its messages.

    Raises:
        ValueError: one is no image, or `image` and `images` differ.
    """
    one, many = _listed(value.get("image")), _listed(value.get("images"))
    if one and many and not same(one, many):
        raise ValueError("'image' and 'images' say different things")
    return [to_picture(image) for image in one or many]


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None or value == "" else [value]


def read_messages(
    value: dict[str, Any], dialect: str, pictures: Sequence[Picture], carried: Sequence[Picture]
) -> Record:
    """A record of LLaVA, ShareGPT or OpenAI; a system prompt beside the messages becomes the first one.

    Raises:
        ValueError: says what is wrong with it.
    """
    field, names = ("messages", MESSAGES) if dialect == "messages" else ("conversations", CONVERSATIONS)
    slots: list[Slot] = []
    messages = read_turns(value[field], names, slots)
    prompt = None if messages[0].role == "system" else prompt_field(value)
    used = (field, "image", "images", prompt)
    extra = {name: one for name, one in value.items() if name not in used}
    if prompt is not None:
        own: list[Slot] = []
        messages.insert(0, Message("system", *read_text(value[prompt], own, "system")))
        slots[:0] = own
    if ESCAPED in extra:
        extra = without_escape(extra)
    if not slots and not pictures and not carried:
        return Record((), tuple(messages), extra)
    return Record(in_order(pictures, slots, messages, carried), tuple(messages), extra)


def read_pair(value: dict[str, Any], dialect: str, pictures: Sequence[Picture], carried: Sequence[Picture]) -> Record:
    """A record of one question and its answer.

    Raises:
        ValueError: says what is wrong with it.
    """
    prompt = prompt_field(value)
    slots: list[Slot] = []
    messages = []
    for role, field in (("system", prompt), ("user", "question"), ("assistant", "answer")):
        if field is None:
            continue
        if not isinstance(value[field], str):
            raise ValueError(f"'{field}' must be a text, got {type(value[field]).__name__}")
        messages.append(Message(role, *read_text(value[field], slots, role)))
    used = (prompt, "question", "answer", "image", "images")
    extra = {name: one for name, one in value.items() if name not in used}
    extra = without_escape(with_message_extras(messages, extra))
    return Record(in_order(pictures, slots, messages, carried), tuple(messages), extra)
