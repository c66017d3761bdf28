"""The answer in what an LVLM wrote: without its reasoning, and out of the tags that some models put around it."""

import re

# Qwen, DeepSeek, InternVL and GLM write <think>, others <thinking>, <thought> or <reasoning>; Kimi has its own marks.
_NAME = r"(?:think|thinking|thought|reasoning)"
_REASONING = re.compile(rf"(?P<open><{_NAME}(?:\s[^<>]*)?>|\u25c1think\u25b7)|</{_NAME}\s*>|\u25c1/think\u25b7", re.I)
_ANSWER, _ANSWER_END = re.compile(r"<answer>", re.I), re.compile(r"</answer>", re.I)
# GLM-4.xV marks the result in its reply with these
_BOX = re.compile(r"<\|(?:begin|end)_of_box\|>")


def final_answer(text: str) -> str | None:
    """The answer without the model's reasoning.

    Reasoning is what stands between `<think>` and `</think>`, or before a `</think>` alone, since chat templates may
    open the block themselves. Where there is `<answer>...</answer>` its inside is the answer, the last one of several.
    GLM's `<|begin_of_box|>` and `<|end_of_box|>` are taken out.

    Args:
        text: what an LVLM wrote.

    Returns:
        The answer, `text` unchanged where it has none of these tags; None where the reasoning never ends.
    """
    if "<" not in text and "\u25c1" not in text:
        return text
    rest = _without_reasoning(text)
    if rest is None:
        return None
    if tags := list(_ANSWER.finditer(rest)):
        rest = _ANSWER_END.split(rest[tags[-1].end() :], maxsplit=1)[0].strip()
    return _BOX.sub("", rest)


def has_reasoning(text: str) -> bool:
    """Whether a text holds a tag of reasoning."""
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
