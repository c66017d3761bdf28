"""Formats of other projects, rewritten as one of our dialects before they are read.

| format | fields | read as |
| --- | --- | --- |
| alpaca | instruction, input, output, history | messages, a line break between instruction and input |
| ms-swift | query, response, history | messages |
| the_cauldron | images; texts of user, assistant, source | messages, the images in front of the first question |
| ms-swift, XTuner, Mantis | conversation of turns, or of pairs such as human and assistant | messages |
| MiniCPM-V | image as an object of `<image_00>` and so on | conversations, `<image>` where such a name stands |
| others | img, image_path, image_file and so on | image |

A system prompt beside the messages is read in all of them. Qwen-VL's `<img>path</img>` is read in `turns.py`.
"""

import re
from collections.abc import Iterable
from typing import Any

from data_modules.images.folders import EXTENSIONS

# other names of `image`, in order of preference
OTHER_IMAGE_FIELDS = (
    *("img", "image_path", "image_paths", "img_path", "img_paths", "image_file", "image_files"),
    *("image_url", "image_urls", "file_name"),
)
_QUESTION = ("user", "human", "input", "query", "instruction")
_ANSWER = ("assistant", "gpt", "bot", "output", "response")
_NAMED = re.compile(r"<image_\d+>")


def in_dialect(value: dict[str, Any]) -> dict[str, Any]:
    """A record of another project's format in one of our dialects.

    Args:
        value: as it was read; it is not changed.

    Returns:
        `value` itself if there is nothing to rewrite.

    Raises:
        ValueError: a field of that format has an unexpected value.
    """
    if not (value.get("image") or value.get("images")):
        value = _with_image_field(value)
    for field in ("conversations", "messages"):
        if isinstance(value.get(field), list):
            if isinstance(value.get("image"), dict) and value["image"] and all(map(_NAMED.fullmatch, value["image"])):
                return _with_placeholders(value, field)
            return _replaced(value, (field,), _pairs(value[field], field)) if _is_pairs(value[field]) else value
    if "question" in value and "answer" in value:
        return value
    if isinstance(turns := value.get("conversation"), list):
        return _replaced(value, ("conversation",), _pairs(turns, "conversation") if _is_pairs(turns) else turns)
    if isinstance(value.get("texts"), list) and _is_pairs(value["texts"]):
        return _replaced(value, ("texts",), _pairs(value["texts"], "texts"))
    if "query" in value and "response" in value:
        return _replaced(value, ("query", "response", "history"), _exchanges(value, value["query"], value["response"]))
    if "instruction" in value and "output" in value:
        question = _joined(value["instruction"], value.get("input"))
        return _replaced(
            value, ("instruction", "input", "output", "history"), _exchanges(value, question, value["output"])
        )
    return value


def _with_image_field(value: dict[str, Any]) -> dict[str, Any]:
    for name in OTHER_IMAGE_FIELDS:
        given = value.get(name)
        if not given or not isinstance(given, (str, bytes, list, dict)):
            continue
        # the image in Hugging Face's `imagefolder`, any file elsewhere
        if name == "file_name" and not (isinstance(given, str) and given.lower().endswith(EXTENSIONS)):
            continue
        if _shows_images(value):
            return value
        rest = {field: one for field, one in value.items() if field not in (name, "image", "images")}
        return rest | {"image": given}
    return value


def _shows_images(value: dict[str, Any]) -> bool:
    """Whether the messages themselves name images, so that other fields are only notes about them."""
    messages = value.get("messages") or value.get("conversations")
    contents = (
        [turn.get("content") for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else []
    )
    parts = [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]
    return any(part.get("type") in ("image_url", "input_image") or part.get("image") for part in parts)


def _with_placeholders(value: dict[str, Any], field: str) -> dict[str, Any]:
    """Images in the order in which the texts name them."""
    files, order = value["image"], list[Any]()

    def place(found: re.Match[str]) -> str:
        if found[0] not in files:
            raise ValueError(f"a text says {found[0]}, which 'image' does not have")
        order.append(found[0])
        return "<image>"

    turns = [
        {name: _NAMED.sub(place, one) if isinstance(one, str) else one for name, one in turn.items()}
        if isinstance(turn, dict)
        else turn
        for turn in value[field]
    ]
    if unsaid := [name for name in files if name not in order]:
        raise ValueError(f"no text says {unsaid[0]}, an image of 'image'")
    return value | {field: turns, "image": [files[name] for name in order]}


def _is_pairs(turns: list[Any]) -> bool:
    first = turns[0] if turns else None
    return isinstance(first, dict) and not ("from" in first or "role" in first) and bool(_key(first, _ANSWER))


def _pairs(pairs: list[Any], field: str) -> list[dict[str, Any]]:
    turns = list[dict[str, Any]]()
    for place, pair in enumerate(pairs, start=1):
        question, answer = (_key(pair, names) if isinstance(pair, dict) else None for names in (_QUESTION, _ANSWER))
        if question is None or answer is None:
            raise ValueError(f"item {place} of {field!r} needs a question and an answer, as user and assistant")
        if pair.get("system"):
            turns.append({"role": "system", "content": pair["system"]})
        more = {name: one for name, one in pair.items() if name not in (question, answer, "system")}
        turns.append({"role": "user", "content": pair[question]} | more)
        turns.append({"role": "assistant", "content": pair[answer]})
    return turns


def _key(pair: dict[str, Any], names: Iterable[str]) -> str | None:
    return next((name for name in names if name in pair), None)


def _exchanges(value: dict[str, Any], question: Any, answer: Any) -> list[dict[str, Any]]:
    history = value.get("history") or []
    if not isinstance(history, list) or any(not isinstance(one, list) or len(one) != 2 for one in history):
        raise ValueError("'history' must be a list of pairs of a question and its answer")
    for name, text in (("question", question), ("answer", answer)):
        if not isinstance(text, str):  # a list would be several answers to choose from
            raise ValueError(f"the {name} must be a text, got {type(text).__name__}")
    roles = ("user", "assistant")
    return [
        {"role": role, "content": text}
        for pair in (*history, (question, answer))
        for role, text in zip(roles, pair, strict=True)
    ]


def _joined(instruction: Any, more: Any) -> Any:
    return f"{instruction}\n{more}" if more and instruction else more or instruction


def _replaced(value: dict[str, Any], fields: tuple[str, ...], messages: list[Any]) -> dict[str, Any]:
    return {name: one for name, one in value.items() if name not in fields} | {"messages": messages}
