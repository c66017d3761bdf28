"""Records as the JSON of each dialect, in its default form."""

from collections.abc import Callable
from typing import Any

from data_modules.formats.fields import ESCAPED, FORMS, MESSAGE_EXTRA, PROMPTS, message_extras, prompt_field, unescaped
from data_modules.formats.images import reference
from data_modules.formats.messages import written_parts, written_text, written_turn
from data_modules.formats.record import Inexpressible, Message, Record

_IMAGES = frozenset(("image", "images", FORMS))
_TAKEN = {
    "llava": _IMAGES | {"conversations"},
    "sharegpt": _IMAGES | {"conversations"},
    "messages": _IMAGES | {"conversations", "messages"},
    "pairs": _IMAGES | {"conversations", "messages", "question", "answer", "system", "system_prompt", MESSAGE_EXTRA},
}


def _write_conversation(record: Record, dialect: str, lossy: bool) -> dict[str, Any]:
    images: Any = [reference(picture) for picture in record.pictures]
    written = _head(record)
    if images:
        written |= {"images": images} if dialect == "sharegpt" else {"image": images[0] if len(images) == 1 else images}
    written["conversations"] = [written_turn(message, lossy) for message in record.messages]
    return _with_rest(written, record, dialect)


def _write_messages(record: Record, lossy: bool) -> dict[str, Any]:
    pictures = iter(record.pictures)
    written = _head(record) | {"messages": [written_parts(message, pictures) for message in record.messages]}
    return _with_rest(written, record, "messages")


def _write_pair(record: Record, lossy: bool) -> dict[str, Any]:
    roles = [message.role for message in record.messages]
    fields = ["system", "question", "answer"] if len(roles) == 3 else ["question", "answer"]
    if roles not in (["system", "user", "assistant"], ["user", "assistant"]) or _is_silent(record.messages[0]):
        raise Inexpressible(f"a pair is one question with its answer, not turns of {', '.join(roles)}")
    images: Any = [reference(picture) for picture in record.pictures]
    written = _head(record)
    if images:
        written["image"] = images[0] if len(images) == 1 else images
    texts = (written_text(message, lossy) for message in record.messages)
    written |= dict(zip(fields, texts, strict=True)) | message_extras(record.messages)
    return _with_rest(written, record, "pairs")


def _is_silent(message: Message) -> bool:
    """Whether it is a system message that says nothing, which would not be read back."""
    return message.role == "system" and not (message.text or message.pictures)


def _head(record: Record) -> dict[str, Any]:
    return {"id": record.extra["id"]} if "id" in record.extra else {}


def _with_rest(written: dict[str, Any], record: Record, dialect: str) -> dict[str, Any]:
    extra, taken = record.extra, _TAKEN[dialect]
    if record.messages[0].role != "system" and prompt_field(extra):
        taken = taken.union(PROMPTS)  # a field that is no system prompt, and would be read as one
    if ESCAPED in extra or not taken.isdisjoint(extra):
        extra = unescaped(extra, taken)
    return written | extra


_Writer = Callable[[Record, bool], dict[str, Any]]
WRITERS: dict[str, _Writer] = {
    "llava": lambda record, lossy: _write_conversation(record, "llava", lossy),
    "sharegpt": lambda record, lossy: _write_conversation(record, "sharegpt", lossy),
    "messages": _write_messages,
    "pairs": _write_pair,
}
