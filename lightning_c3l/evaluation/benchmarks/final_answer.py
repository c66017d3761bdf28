"""The answer in what an LVLM wrote: without its reasoning, and out of the tags or the object around it."""

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
# where an object that stands for an answer may have its text; OpenAI's messages have `content`
TEXTS = ("answer", "text", "content", "prediction", "response", "output")


def final_answer(text: str) -> str | None:
    """The answer without the model's reasoning.

    Reasoning is what stands between `<think>` and `</think>`, or before a `</think>` alone, since chat templates may
    open the block themselves. Where there is `<answer>...</answer>` its inside is the answer, the last one of several.
    GLM's `<|begin_of_box|>` and `<|end_of_box|>` are taken out. Of an object the answer is its one text
    (`written_object`).

    Args:
        text: what an LVLM wrote.

    Returns:
        The answer, `text` unchanged where nothing of this is in it; None where the reasoning never ends.
    """
    rest = _without_tags(text) if "<" in text or "\u25c1" in text else text
    inside = None if rest is None else written_object(rest)
    return rest if inside is None else inside


def written_object(text: str) -> str | None:
    """The text in an object that is written out, as JSON or as Python prints it; None for any other text.

    Tables hold answers that were objects in this form, and LVLMs that are asked for JSON write it.
    """
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            value = read(text)
            named = [value[name] for name in TEXTS if name in value] if isinstance(value, dict) else []
            return named[0] if len(named) == 1 and isinstance(named[0], str) else None
    return None


def has_reasoning(text: str) -> bool:
    """Whether a text holds a tag of reasoning."""
    return _REASONING.search(text) is not None


def _without_tags(text: str) -> str | None:
    rest = _without_reasoning(text)
    if rest is None:
        return None
    if tags := list(_ANSWER.finditer(rest)):
        rest = _ANSWER_END.split(rest[tags[-1].end() :], maxsplit=1)[0].strip()
    return _BOX.sub("", rest)


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
