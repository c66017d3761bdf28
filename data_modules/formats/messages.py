"""Messages as the dialects have them: a text with `<image>` in it, or OpenAI's list of parts.

In what the user says, Qwen-VL's `<img>path</img>` is an image too.
"""

import re
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from data_modules.formats.fields import PART_FIELDS, escape_fields, unescape_fields
from data_modules.formats.images import image_reference, to_image
from data_modules.formats.record import ImageRef, Inexpressible, Message
from data_modules.images.folders import EXTENSIONS

PLACEHOLDER = "<image>"

_IMAGE_PARTS = ("image_url", "image", "path", "url", "value")
_ROLES = {
    **{"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"},
    **{"user": "user", "assistant": "assistant", "system": "system"},
}
_LLAVA_ROLES = {"user": "human", "assistant": "gpt"}
# an image of Qwen-VL: what stands between the tags must look like a file or URL, for XML has tags of this name as well
_FILE = "|".join(extension[1:] for extension in EXTENSIONS)
_TAG = re.compile(rf"<img>[ \t]*((?:https?://|file://|data:)[^<>\n]+?|[^<>\n]+?\.(?i:{_FILE}))[ \t]*</img>")
_PLACEHOLDER = re.compile(PLACEHOLDER)
_PLACEHOLDER_OR_TAG = re.compile(f"{PLACEHOLDER}|{_TAG.pattern}")


class FieldNames(NamedTuple):
    """Names of a message's fields: the dialect's own, then the ones that are read as well."""

    role: str
    text: str
    other_role: str
    other_text: str


CONVERSATIONS = FieldNames("from", "value", "role", "content")
MESSAGES = FieldNames("role", "content", "from", "value")

# An image of a message while it is read: itself, or None where a placeholder stands for the next of the record's list.
Slot = ImageRef | None


def read_turn(turn: Any, number: int, names: FieldNames, slots: list[Slot]) -> Message:
    """Read one message.

    Args:
        turn: its JSON value.
        number: from 1, for error messages.
        names: fields of the dialect.
        slots: the images of the message are appended.

    Raises:
        ValueError: it is no message; names the turn.
    """
    if type(turn) is not dict:
        raise ValueError(f"turn {number} must be an object, got {type(turn).__name__}")
    role_field = names.role if turn.get(names.role) is not None else names.other_role
    text_field = names.text if names.text in turn else names.other_text
    role, content = turn.get(role_field), turn.get(text_field)
    if type(role) is not str:
        raise ValueError(f"turn {number} is from {role!r}; a role must be a word")
    role = _ROLES.get(role, role)
    extra = {k: value for k, value in turn.items() if k not in (role_field, text_field)} if len(turn) > 2 else {}
    if extra:
        extra = unescape_fields(extra)
    if type(content) is str:
        text, positions = read_text(content, slots, role)
    elif type(content) is list:
        text, positions, fields = _read_parts(content, number, slots)
        if fields:
            extra = {**extra, PART_FIELDS: fields}
    elif content is None and turn.get("tool_calls"):
        text, positions = "", ()
    else:
        raise ValueError(f"turn {number} has no text under '{names.text}'")
    return Message(role, text, positions, extra)


def read_text(text: str, slots: list[Slot], role: str) -> tuple[str, tuple[int, ...]]:
    """Take the placeholders out of a text, and Qwen-VL's tags if it is the user's.

    Args:
        text: as the record has it.
        slots: the images are appended.
        role: who says it.

    Returns:
        The text without them, and the positions in it where they stood.
    """
    if role == "user" and "<img>" in text:
        pieces, end = list[str](), 0
        for found in _PLACEHOLDER_OR_TAG.finditer(text):
            pieces.append(text[end : found.start()])
            slots.append(to_image(found[1]) if found[1] else None)
            end = found.end()
        pieces.append(text[end:])
    elif PLACEHOLDER not in text:
        return text, ()
    else:
        pieces = text.split(PLACEHOLDER)
        slots.extend([None] * (len(pieces) - 1))
    return "".join(pieces), tuple(accumulate(map(len, pieces[:-1])))


def _read_parts(parts: list[Any], turn: int, slots: list[Slot]) -> tuple[str, tuple[int, ...], list[dict[str, Any]]]:
    """Text, positions of the images, and the further fields of the parts that have some."""
    text, positions, fields = "", list[int](), list[dict[str, Any]]()
    for number, part in enumerate(parts, start=1):
        found, more = (part, {}) if isinstance(part, str) else _read_part(part, turn)
        if more:
            fields.append({"part": number} | more)
        if isinstance(found, str):
            text += found
        else:
            positions.append(len(text))
            slots.append(found)
    return text, tuple(positions), fields


def _read_part(part: Any, turn: int) -> tuple[str | Slot, dict[str, Any]]:
    """The text or image of a part, and its further fields; nulls are no fields, Hugging Face's `datasets` adds them."""
    if not isinstance(part, dict):
        raise ValueError(f"turn {turn} has a part that is neither text nor image: {type(part).__name__}")
    # DashScope's parts have no type
    kind = part.get("type") or next((name for name in ("text", "image", "video", "audio") if part.get(name)), None)
    field, found, more = "", None, dict[str, Any]()
    if kind in ("text", "input_text", "output_text"):
        field = "text" if isinstance(part.get("text"), str) else "value"
        if not isinstance(found := part.get(field), str):
            raise ValueError(f"turn {turn} has a part that is neither text nor image: type {kind!r}")
    elif kind in ("image", "image_url", "input_image"):
        field = next((name for name in _IMAGE_PARTS if part.get(name)), "")
        url = part.get(field)
        if isinstance(url, dict):
            used = ("url",) if "url" in url else ("path", "bytes")
            more = {name: value for name, value in url.items() if name not in used}
            url = url.get("url", url)
        found = to_image(url) if field else None
    else:
        what = next((name for name in ("video", "audio", "document", "file") if name in str(kind)), None)
        if what is not None:
            raise ValueError(
                f"{what} is not supported yet, only text and images: turn {turn} has a part of type {kind!r}"
            )
        raise ValueError(f"turn {turn} has a part that is neither text nor image: type {kind!r}")
    more |= {name: value for name, value in part.items() if name not in ("type", field) and value is not None}
    return found, more


def write_turn(message: Message, lossy: bool) -> dict[str, Any]:
    """A message of LLaVA or ShareGPT; see `write_text`."""
    text = message.text
    if message.image_positions or PLACEHOLDER in text or "<img>" in text:  # saves a call for most messages
        text = write_text(message, lossy)
    turn = {"from": _LLAVA_ROLES.get(message.role, message.role), "value": text}
    return turn | escape_fields(message.extra, ("from", "value")) if message.extra else turn


def write_parts(message: Message, images: Iterator[ImageRef]) -> dict[str, Any]:
    """A message of OpenAI: plain text if that can hold it, else parts; takes its images from `images`."""
    content: Any = message.text
    if message.image_positions or PLACEHOLDER in content or (message.role == "user" and _TAG.search(content)):
        first, *rest = _pieces(message)
        content = [{"type": "text", "text": first}] if first else []
        for piece in rest:
            content.append({"type": "image_url", "image_url": {"url": image_reference(next(images))}})
            content += [{"type": "text", "text": piece}] if piece else []
    turn = {"role": message.role, "content": content}
    return turn | escape_fields(message.extra, ("role", "content")) if message.extra else turn


def write_text(message: Message, lossy: bool) -> str:
    """The text with placeholders.

    Raises:
        Inexpressible: the text itself says a placeholder or tag; with `lossy` it becomes `<image >` or `<img >`.
    """
    pieces = _pieces(message)
    read_as_image = _PLACEHOLDER_OR_TAG if message.role == "user" else _PLACEHOLDER
    for number, piece in enumerate(pieces):
        if found := read_as_image.search(piece):
            if not lossy:
                raise Inexpressible(f"a text says {found[0]} itself, which would be taken for an image")
            pieces[number] = piece.replace(PLACEHOLDER, "<image >")
            if message.role == "user":
                pieces[number] = pieces[number].replace("<img>", "<img >")
    return PLACEHOLDER.join(pieces)


def _pieces(message: Message) -> list[str]:
    """The text before, between and after its images."""
    if message.image_positions == (0,):
        return ["", message.text]  # nearly all
    ends = (0, *message.image_positions, len(message.text))
    return [message.text[start:stop] for start, stop in pairwise(ends)]
