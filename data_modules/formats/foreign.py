"""Formats of other projects, rewritten as one of our dialects before they are read.

| format | fields | read as |
| --- | --- | --- |
| alpaca | instruction, input, output, history | messages, a line break between instruction and input |
| ms-swift | query, response, history | messages |
| the_cauldron | images; texts of user, assistant, source | messages, the images in front of the first question |
| ms-swift, XTuner, Mantis | conversation of turns, or of pairs such as human and assistant | messages |
| MiniCPM-V | image as an object of `<image_00>` and so on | conversations, `<image>` where such a name stands |
| others | img, image_path, image_file and so on | image |

A system prompt beside the messages is read in all of them. Qwen-VL's `<img>path</img>` is read in `messages.py`.
"""

import re
from typing import Any

from data_modules.images.folders import EXTENSIONS

# other names of `image`, in order of preference
OTHER_IMAGE_FIELDS = (
    *("img", "image_path", "image_paths", "img_path", "img_paths", "image_file", "image_files"),
    *("image_url", "image_urls", "file_name"),
)
_QUESTION = ("user", "human", "input", "query", "instruction")
_ANSWER = ("assistant", "gpt", "bot", "output", "response")
_NAMED_IMAGE = re.compile(r"<image_\d+>")


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
    field = next((name for name in ("conversations", "messages") if isinstance(value.get(name), list)), None)
    if field is not None:
        files = value.get("image")
        if isinstance(files, dict) and files and all(map(_NAMED_IMAGE.fullmatch, files)):
            return _with_placeholders(value, field, files)
        if not _is_pairs(value[field]):
            return value
        fields, messages = [field], _from_pairs(value[field], field)
    elif "question" in value and "answer" in value:
        return value
    elif isinstance(turns := value.get("conversation"), list):
        fields = ["conversation"]
        messages = _from_pairs(turns, "conversation") if _is_pairs(turns) else turns
    elif isinstance(turns := value.get("texts"), list) and _is_pairs(turns):
        fields, messages = ["texts"], _from_pairs(turns, "texts")
    elif "query" in value and "response" in value:
        fields = ["query", "response", "history"]
        messages = _from_history(value, value["query"], value["response"])
    elif "instruction" in value and "output" in value:
        fields = ["instruction", "input", "output", "history"]
        question, more = value["instruction"], value.get("input")
        question = f"{question}\n{more}" if question and more else more or question
        messages = _from_history(value, question, value["output"])
    else:
        return value
    return {name: one for name, one in value.items() if name not in fields} | {"messages": messages}


def _with_image_field(value: dict[str, Any]) -> dict[str, Any]:
    """The record with its first field of another name as `image`."""
    for name in OTHER_IMAGE_FIELDS:
        given = value.get(name)
        if not given or not isinstance(given, (str, bytes, list, dict)):
            continue
        # the image in Hugging Face's `imagefolder`, any file elsewhere
        if name == "file_name" and not (isinstance(given, str) and given.lower().endswith(EXTENSIONS)):
            continue
        turns = value.get("messages") or value.get("conversations")
        for turn in turns if isinstance(turns, list) else ():
            parts = turn.get("content") if isinstance(turn, dict) else None
            for part in parts if isinstance(parts, list) else ():
                # the messages themselves name images, so that other fields are only notes about them
                if isinstance(part, dict) and (part.get("type") in ("image_url", "input_image") or part.get("image")):
                    return value
        return {field: one for field, one in value.items() if field not in (name, "image", "images")} | {"image": given}
    return value


def _with_placeholders(value: dict[str, Any], field: str, files: dict[str, Any]) -> dict[str, Any]:
    """The images in the order in which the texts name them, and `<image>` where they do."""
    order = list[str]()

    def placeholder(found: re.Match[str]) -> str:
        if found[0] not in files:
            raise ValueError(f"a text says {found[0]}, which 'image' does not have")
        order.append(found[0])
        return "<image>"

    turns = [
        {name: _NAMED_IMAGE.sub(placeholder, one) if isinstance(one, str) else one for name, one in turn.items()}
        if isinstance(turn, dict)
        else turn
        for turn in value[field]
    ]
    if unsaid := [name for name in files if name not in order]:
        raise ValueError(f"no text says {unsaid[0]}, an image of 'image'")
    return value | {field: turns, "image": [files[name] for name in order]}


def _is_pairs(turns: list[Any]) -> bool:
    """Whether each item holds a question and its answer, by the first one."""
    first = turns[0] if turns else None
    return isinstance(first, dict) and not first.keys() & {"from", "role"} and not first.keys().isdisjoint(_ANSWER)


def _from_pairs(pairs: list[Any], field: str) -> list[dict[str, Any]]:
    messages = list[dict[str, Any]]()
    for number, pair in enumerate(pairs, start=1):
        fields = pair if isinstance(pair, dict) else {}
        question, answer = (next((name for name in names if name in fields), None) for names in (_QUESTION, _ANSWER))
        if question is None or answer is None:
            raise ValueError(f"item {number} of {field!r} needs a question and an answer, as user and assistant")
        if pair.get("system"):
            messages.append({"role": "system", "content": pair["system"]})
        more = {name: one for name, one in pair.items() if name not in (question, answer, "system")}
        messages.append({"role": "user", "content": pair[question]} | more)
        messages.append({"role": "assistant", "content": pair[answer]})
    return messages


def _from_history(value: dict[str, Any], question: Any, answer: Any) -> list[dict[str, Any]]:
    """The earlier pairs of `history`, and the last one."""
    history = value.get("history") or []
    if not isinstance(history, list) or any(not isinstance(one, list) or len(one) != 2 for one in history):
        raise ValueError("'history' must be a list of pairs of a question and its answer")
    for name, text in (("question", question), ("answer", answer)):
        if not isinstance(text, str):  # a list would be several answers to choose from
            raise ValueError(f"the {name} must be a text, got {type(text).__name__}")
    roles = ("user", "assistant")
    pairs = (*history, (question, answer))
    return [{"role": role, "content": text} for pair in pairs for role, text in zip(roles, pair, strict=True)]
