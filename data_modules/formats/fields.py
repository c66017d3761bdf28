"""Reserved field names, for what has no field of its own in a format."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from data_modules.formats.record import Message

# further fields of the messages, one object a message, where the messages themselves have no room for them
MESSAGE_FIELDS = "c3l_messages"
# of a message: further fields of its parts, such as `detail`, each with the number of its part
PART_FIELDS = "c3l_part_fields"
# further fields of images that are objects, one object an image
IMAGE_FIELDS = "c3l_image_fields"
# fields that would be taken for something else where they stand
ESCAPED = "c3l_extra"
# of a sample of a shard: its key, as webdataset names the field; by extension its members that are neither the JSON
# nor images: their text, or null where they are binary or large and left out
KEY, MEMBERS = "__key__", "__members__"
# a system prompt beside the messages, as other projects name it
PROMPTS = ("system_prompt", "system")


def escape_fields(extra: dict[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """Move the fields whose names are taken into the field `c3l_extra`."""
    clash = {name: value for name, value in extra.items() if name in taken or name == ESCAPED}
    if not clash:
        return extra
    return {name: value for name, value in extra.items() if name not in clash} | {ESCAPED: clash}


def unescape_fields(extra: dict[str, Any]) -> dict[str, Any]:
    """Move the fields inside `c3l_extra` back to their own names, unless one of them is there already."""
    inner = extra.get(ESCAPED)
    if not isinstance(inner, dict) or not inner.keys().isdisjoint(extra.keys() - {ESCAPED}):
        return extra
    return {name: value for name, value in extra.items() if name != ESCAPED} | inner


def message_fields(messages: Sequence[Message]) -> dict[str, Any]:
    """The further fields of all messages as one field of the record; empty if there are none."""
    return {MESSAGE_FIELDS: [one.extra for one in messages]} if any(one.extra for one in messages) else {}


def assign_message_fields(messages: Sequence[Message], extra: dict[str, Any]) -> dict[str, Any]:
    """Give the messages the further fields that `message_fields` collected.

    Args:
        messages: they are changed.
        extra: fields of the record.

    Returns:
        The other fields of the record.
    """
    fields = extra.get(MESSAGE_FIELDS)
    if not isinstance(fields, list) or len(fields) != len(messages) or not all(isinstance(one, dict) for one in fields):
        return extra
    for message, one in zip(messages, fields, strict=True):
        message.extra = message.extra | one
    return {name: value for name, value in extra.items() if name != MESSAGE_FIELDS}


def prompt_field(value: Mapping[str, Any]) -> str | None:
    """Name of the field that holds a system prompt beside the messages."""
    return next((name for name in PROMPTS if isinstance(value.get(name), str) and value[name]), None)


def left_out_members(extra: Mapping[str, Any]) -> list[str]:
    """Extensions of the members of a shard's sample that the record does not hold."""
    members = extra.get(MEMBERS)
    return [f".{name}" for name, text in members.items() if text is None] if isinstance(members, dict) else []


def left_out_line(left_out: Mapping[str, int]) -> str:
    """Counts by extension as `.npy in 3 records, .log in 1 record`, the most frequent first."""
    ordered = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} in {count} record{'s' * (count > 1)}" for name, count in ordered)
