"""Fields of ours in records and messages, for what has no place of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_modules.formats.record import Message

# the forms of other dialects
FORMS = "c3l_forms"
# further fields of the messages, where the messages themselves have no room for them
MESSAGE_EXTRA = "c3l_messages"
# fields that would be taken for something else where they stand
ESCAPED = "c3l_extra"
# of a sample of a shard: its key, as webdataset names the field; by extension its members that are neither the JSON
# nor images: their text, or null where they are binary or large and left out
KEY, MEMBERS = "__key__", "__members__"
# other people's, for a system prompt beside the messages
PROMPTS = ("system_prompt", "system")


def unescaped(extra: dict[str, Any], taken: Sequence[str] | frozenset[str]) -> dict[str, Any]:
    """Further fields, those whose name is taken put under a name of ours."""
    clash = {name: value for name, value in extra.items() if name in taken or name == ESCAPED}
    if not clash:
        return extra
    return {name: value for name, value in extra.items() if name not in clash} | {ESCAPED: clash}


def without_escape(extra: dict[str, Any]) -> dict[str, Any]:
    """The reverse of `unescaped`."""
    inner = extra.get(ESCAPED)
    if not isinstance(inner, dict):
        return extra
    return {name: value for name, value in extra.items() if name != ESCAPED} | inner


def message_extras(messages: Sequence[Message]) -> dict[str, Any]:
    """Further fields of all messages as a field of the record; nothing where there are none."""
    return {MESSAGE_EXTRA: [message.extra for message in messages]} if any(one.extra for one in messages) else {}


def with_message_extras(messages: list[Message], extra: dict[str, Any]) -> dict[str, Any]:
    """Gives the messages their further fields back, and what else the record has."""
    fields = extra.get(MESSAGE_EXTRA)
    if not isinstance(fields, list) or len(fields) != len(messages) or not all(isinstance(one, dict) for one in fields):
        return extra
    for message, one in zip(messages, fields, strict=True):
        message.extra = one
    return {name: one for name, one in extra.items() if name != MESSAGE_EXTRA}


def prompt_field(value: Mapping[str, Any]) -> str | None:
    """The field that holds a system prompt beside the messages."""
    return next((name for name in PROMPTS if isinstance(value.get(name), str) and value[name]), None)


def left_out_members(extra: Mapping[str, Any]) -> list[str]:
    """The extensions of members of a shard's sample that the record does not hold."""
    members = extra.get(MEMBERS)
    return [f".{name}" for name, text in members.items() if text is None] if isinstance(members, dict) else []


def members_line(left_out: Mapping[str, int]) -> str:
    """`.npy in 3 records` and so on, the most frequent first."""
    ordered = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} in {count} record{'s' * (count > 1)}" for name, count in ordered)
