"""Messages as the dialects have them: a text with `<image>` in it, or OpenAI's list of parts.

In what the user says, Qwen-VL's `<img>path</img>` is an image too.
"""

import re
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from data_modules.formats.fields import unescaped, without_escape
from data_modules.formats.images import reference, to_picture
from data_modules.formats.record import Inexpressible, Message, Picture
from data_modules.images.folders import EXTENSIONS

PLACEHOLDER = "<image>"

_IMAGE_PARTS = ("image_url", "image", "path", "url", "value")
_ROLES = {
    **{"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"},
    **{"user": "user", "assistant": "assistant", "system": "system"},
}
_WORDS = {"user": "human", "assistant": "gpt"}
# what a picture that was broken out of a text leaves behind where an `<image>` was said, not shown
_NEAREST = "<image >"
# an image of Qwen-VL: what stands between the tags must look like a file or URL, for XML has tags of this name as well
_FILE = "|".join(extension[1:] for extension in EXTENSIONS)
_TAG = re.compile(rf"<img>[ \t]*((?:https?://|file://|data:)[^<>\n]+?|[^<>\n]+?\.(?i:{_FILE}))[ \t]*</img>")
_PLACEHOLDER = re.compile(PLACEHOLDER)
_PLACED = re.compile(f"{PLACEHOLDER}|{_TAG.pattern}")


class Names(NamedTuple):
    """Names of a message's fields: the dialect's own, then the ones that are read as well."""

    speaker: str
    text: str
    other_speaker: str
    other_text: str


CONVERSATIONS = Names("from", "value", "role", "content")
MESSAGES = Names("role", "content", "from", "value")

# An image of a message while it is read: itself, or None where a placeholder stands for the next of the record's list.
Slot = Picture | None


def read_turns(turns: Any, names: Names, slots: list[Slot]) -> list[Message]:
    """The messages; what stands for their images is appended to `slots`.

    Raises:
        ValueError: says which turn is broken, and why.
    """
    if not isinstance(turns, list) or not turns:
        field = "conversations" if names is CONVERSATIONS else "messages"
        raise ValueError(f"'{field}' is missing, empty or no list")
    return [_read(turn, place, names, slots) for place, turn in enumerate(turns, start=1)]


def read_text(text: str, slots: list[Slot], role: str = "user") -> tuple[str, tuple[int, ...]]:
    """A text without its placeholders, and their places; only the user's may be of Qwen-VL."""
    if role == "user" and "<img>" in text:
        pieces, end = list[str](), 0
        for found in _PLACED.finditer(text):
            pieces.append(text[end : found.start()])
            slots.append(to_picture(found[1]) if found[1] else None)
            end = found.end()
        pieces.append(text[end:])
    elif PLACEHOLDER not in text:
        return text, ()
    else:
        pieces = text.split(PLACEHOLDER)
        slots.extend([None] * (len(pieces) - 1))
    return "".join(pieces), tuple(accumulate(map(len, pieces[:-1])))


def written_turn(message: Message, lossy: bool) -> dict[str, Any]:
    """A message of LLaVA or ShareGPT."""
    role = message.role
    text = message.text
    if message.pictures or PLACEHOLDER in text or "<img>" in text:  # few are; a call less for the others
        text = written_text(message, lossy)
    turn = {"from": _WORDS.get(role, role), "value": text}
    return turn | unescaped(message.extra, ("from", "value")) if message.extra else turn


def written_parts(message: Message, pictures: Iterator[Picture]) -> dict[str, Any]:
    """A message of OpenAI: a plain text where that holds it, else parts; takes its images from `pictures`."""
    content: Any = message.text
    if message.pictures or PLACEHOLDER in content or (message.role == "user" and _TAG.search(content)):
        *pieces, last = cut(message)
        content = []
        for piece in pieces:
            content += _text_part(piece)
            content.append({"type": "image_url", "image_url": {"url": reference(next(pictures))}})
        content += _text_part(last)
    turn = {"role": message.role, "content": content}
    return turn | unescaped(message.extra, ("role", "content")) if message.extra else turn


def written_text(message: Message, lossy: bool) -> str:
    """The text with placeholders.

    Raises:
        Inexpressible: it says one itself; under `lossy` that becomes `<image >` or `<img >`.
    """
    pieces = cut(message)
    said = _PLACED if message.role == "user" else _PLACEHOLDER
    for number, piece in enumerate(pieces):
        if found := said.search(piece):
            if not lossy:
                raise Inexpressible(f"a text says {found[0]} itself, which would be taken for an image")
            pieces[number] = piece.replace(PLACEHOLDER, _NEAREST)
            if message.role == "user":
                pieces[number] = pieces[number].replace("<img>", "<img >")
    return PLACEHOLDER.join(pieces)


def cut(message: Message) -> list[str]:
    """The text in front of, between and after its images."""
    if message.pictures == (0,):
        return ["", message.text]  # nearly all
    places = (0, *message.pictures, len(message.text))
    return [message.text[start:stop] for start, stop in pairwise(places)]


def _read(turn: Any, place: int, names: Names, slots: list[Slot]) -> Message:
    if type(turn) is not dict:
        raise ValueError(f"turn {place} must be an object, got {type(turn).__name__}")
    speaker = names.speaker if turn.get(names.speaker) is not None else names.other_speaker
    said = names.text if names.text in turn else names.other_text
    role, content = turn.get(speaker), turn.get(said)
    if type(role) is not str:
        raise ValueError(f"turn {place} is from {role!r}; a role must be a word")
    if type(content) is str:
        text, places = read_text(content, slots, _ROLES.get(role, role))
    elif type(content) is list:
        text, places = _read_parts(content, place, slots)
    elif content is None and turn.get("tool_calls"):
        text, places = "", ()  # a call of a tool says nothing
    else:
        raise ValueError(f"turn {place} has no text under '{names.text}'")
    extra = {k: value for k, value in turn.items() if k != speaker and k != said} if len(turn) > 2 else {}
    return Message(_ROLES.get(role, role), text, places, without_escape(extra) if extra else extra)


def _read_parts(parts: list[Any], place: int, slots: list[Slot]) -> tuple[str, tuple[int, ...]]:
    text, places = "", []
    for part in parts:
        found = part if isinstance(part, str) else _read_part(part, place)
        if isinstance(found, str):
            text += found
        else:
            places.append(len(text))
            slots.append(found)
    return text, tuple(places)


def _read_part(part: Any, place: int) -> str | Slot:
    if not isinstance(part, dict):
        raise ValueError(f"turn {place} has a part that is neither text nor image: {type(part).__name__}")
    # DashScope's parts have no type
    kind = part.get("type") or next((name for name in ("text", "image", "video", "audio") if part.get(name)), None)
    if kind in ("text", "input_text", "output_text"):
        said = part["text"] if isinstance(part.get("text"), str) else part.get("value")
        if isinstance(said, str):
            return said
    if kind in ("image", "image_url", "input_image"):
        url = next((part[name] for name in _IMAGE_PARTS if part.get(name)), None)
        if isinstance(url, dict) and "url" in url:
            url = url["url"]
        return None if url is None else to_picture(url)
    what = next((name for name in ("video", "audio", "document", "file") if name in str(kind)), None)
    if what is not None:
        raise ValueError(f"{what} is not supported yet, only text and images: turn {place} has a part of type {kind!r}")
    raise ValueError(f"turn {place} has a part that is neither text nor image: type {kind!r}")


def _text_part(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text else []
