"""Messages as the dialects have them: a text with `<image>` in it, or OpenAI's list of parts."""

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from data_modules.formats.fields import unescaped, without_escape
from data_modules.formats.pictures import reference, to_picture
from data_modules.formats.record import Inexpressible, Message, Picture

PLACEHOLDER = "<image>"

_ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system"}
_WORDS = {"user": "human", "assistant": "gpt"}
# what a picture that was broken out of a text leaves behind where an `<image>` was said, not shown
_NEAREST = "<image >"


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


def read_text(text: str, slots: list[Slot]) -> tuple[str, tuple[int, ...]]:
    """A text without its placeholders, and their places."""
    if PLACEHOLDER not in text:
        return text, ()
    pieces = text.split(PLACEHOLDER)
    slots.extend([None] * (len(pieces) - 1))
    return "".join(pieces), tuple(accumulate(map(len, pieces[:-1])))


def written_turn(message: Message, lossy: bool) -> dict[str, Any]:
    """A message of LLaVA or ShareGPT."""
    role = message.role
    is_plain = not message.pictures and PLACEHOLDER not in message.text  # most are; a call less for each
    text = message.text if is_plain else written_text(message, lossy)
    turn = {"from": _WORDS.get(role, role), "value": text}
    return turn | unescaped(message.extra, ("from", "value")) if message.extra else turn


def written_parts(message: Message, pictures: Iterator[Picture]) -> dict[str, Any]:
    """A message of OpenAI: a plain text where that holds it, else parts; takes its images from `pictures`."""
    content: Any = message.text
    if message.pictures or PLACEHOLDER in content:
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
        Inexpressible: it says `<image>` itself; under `lossy` that becomes `<image >`.
    """
    if not message.pictures and PLACEHOLDER not in message.text:
        return message.text
    pieces = cut(message)
    if any(PLACEHOLDER in piece for piece in pieces):
        if not lossy:
            raise Inexpressible(f"a text says {PLACEHOLDER} itself, which would be taken for an image")
        pieces = [piece.replace(PLACEHOLDER, _NEAREST) for piece in pieces]
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
        text, places = read_text(content, slots)
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
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    if kind in ("image", "image_url"):
        url = next((part[name] for name in ("image_url", "image", "path", "url") if part.get(name)), None)
        if isinstance(url, dict) and "url" in url:
            url = url["url"]
        return None if url is None else to_picture(url)
    if kind in ("video", "video_url"):
        return "<video>"
    raise ValueError(f"turn {place} has a part that is neither text nor image: type {kind!r}")


def _text_part(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text else []
