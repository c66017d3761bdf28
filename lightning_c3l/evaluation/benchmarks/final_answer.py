"""The final answer in a generated text: without the reasoning, and without the tags or the object around it."""

import ast
import json
import re
from contextlib import suppress

# Qwen, DeepSeek, InternVL and GLM write <think>, others <thinking>, <thought> or <reasoning>; Kimi has its own marks.
_NAME = r"(?:think|thinking|thought|reasoning)"
_REASONING = re.compile(rf"(?P<open><{_NAME}(?:\s[^<>]*)?>|\u25c1think\u25b7)|</{_NAME}\s*>|\u25c1/think\u25b7", re.I)
_ANSWER, _ANSWER_END = re.compile(r"<answer>", re.I), re.compile(r"</answer>", re.I)
# GLM-4.xV marks the result in its reply with these
_BOX = re.compile(r"<\|(?:begin|end)_of_box\|>")
# fields of an object that may hold the text of an answer; OpenAI's messages have `content`
TEXT_FIELDS = ("answer", "text", "content", "prediction", "response", "output")


def final_answer(text: str) -> str | None:
    """Return the answer without the model's reasoning.

    Reasoning is the text between `<think>` and `</think>`, or before a lone `</think>`, since chat templates may open
    the block themselves. If there is `<answer>...</answer>`, its content is the answer, the last one of several. GLM's
    `<|begin_of_box|>` and `<|end_of_box|>` are removed. The answer of an object is its one text (`object_text`).

    Args:
        text: a generated text.

    Returns:
        The answer; `text` unchanged if it has none of these; None if the reasoning never ends.
    """
    rest: str | None = text
    if "<" in text or "\u25c1" in text:
        rest = _without_reasoning(text)
        if rest is not None:
            if tags := list(_ANSWER.finditer(rest)):
                rest = _ANSWER_END.split(rest[tags[-1].end() :], maxsplit=1)[0].strip()
            rest = _BOX.sub("", rest)
    inside = None if rest is None else object_text(rest)
    return rest if inside is None else inside


def object_text(text: str) -> str | None:
    """Return the answer in an object that is written as JSON or as a Python literal; None for any other text.

    Tables store answers that were objects in this form, and LVLMs that are asked for JSON generate it.
    """
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            value = read(text)
            named = [value[name] for name in TEXT_FIELDS if name in value] if isinstance(value, dict) else []
            return named[0] if len(named) == 1 and isinstance(named[0], str) else None
    return None


def has_reasoning(text: str) -> bool:
    """Whether a text contains a reasoning tag."""
    return _REASONING.search(text) is not None


def _without_reasoning(text: str) -> str | None:
    kept, start, inside, found = list[str](), 0, False, False
    for tag in _REASONING.finditer(text):
        found = True
        if tag["open"] is None:
            if not inside:  # the chat template opened the block
                kept.clear()
            start, inside = tag.end(), False
        elif not inside:
            kept.append(text[start : tag.start()])
            inside = True
    if inside:
        return None
    return "".join([*kept, text[start:]]).strip() if found else text
