"""What a processor's chat template writes around the turns of a conversation."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

from jinja2 import TemplateError

from lightning_c3l.lvlm.base import ConversationError, LVLMError
from lightning_c3l.lvlm.huggingface.placeholders import Placeholder

# role and kinds of pieces of each turn: "i" for an image, "t" for a text
Pattern = tuple[tuple[str, str], ...]

_MARK = "\ue000{}\ue001"
_MARKS = re.compile("\ue000(\\d+)\ue001")
# which turns have a list of parts as content, the others a string: templates differ in what they take
_CONTENTS: tuple[Callable[[str, str], bool], ...] = (
    lambda role, pieces: True,
    lambda role, pieces: role == "user",
    lambda role, pieces: "i" in pieces,
    lambda role, pieces: False,
)
_REFUSALS = (TemplateError, ValueError, TypeError, IndexError, KeyError, AttributeError)


class ChatTemplate:
    """Renders a processor's chat template for patterns of turns.

    A template is rendered once per pattern, with private-use characters in place of the texts. This is fast, gives the
    exact span of every answer whatever the template puts around it, and works for templates without
    `{% generation %}` marks.

    Args:
        processor: with the template.
        name: of the model, for messages.
        options: values of the template's variables.
        placeholder: what stands for an image in a text.
        thinks: whether a template that begins answers inside a block of thoughts may do so.
    """

    def __init__(
        self,
        processor: Any,
        name: str,
        options: Mapping[str, Any],
        placeholder: Placeholder,
        thinks: bool = False,
    ) -> None:
        self.processor, self.name, self.options, self.thinks = processor, name, options, thinks
        self.placeholder, self.suffix = placeholder.text, placeholder.suffix
        # on the instance, so that two models never share a template
        self.tails = lru_cache(maxsize=512)(self._tails)
        self._render = lru_cache(maxsize=512)(self._render_pattern)

    def _tails(self, pattern: Pattern) -> tuple[str, ...]:
        """What the template puts before, between and after the texts of turns with this pattern.

        After a pattern that ends with the user's turn, the assistant's turn is opened. What opens it, such as an empty
        block of thoughts, stands before every answer, also where the template writes it only before the last.

        Raises:
            ConversationError: if the template does not accept the pattern.
            LVLMError: if it accepts no conversation at all, or begins it in another way when the answer is given.
        """
        is_open = pattern[-1][0] != "assistant"
        tails, texts = list(self._render(pattern, is_open)), 0
        for index, (role, pieces) in enumerate(pattern):
            if role == "assistant" and index and pattern[index - 1][0] == "user":
                tails[texts] = self._openings(pattern[:index])[1]
            texts += pieces.count("t")
        if pattern[-1][0] == "user":
            tails[-1] = self._openings(pattern)[0]
        return tuple(tails)

    def _openings(self, pattern: Pattern) -> tuple[str, str]:
        """What stands between the user's last text and an answer: one to be generated, and one that is given."""
        *before, opened = self._render(pattern, True)
        *_, closed = self._render(pattern, False)
        *given, written, _ = self._render((*pattern, ("assistant", "t")), False)
        if before != given and all(role != "assistant" for role, _ in pattern):
            raise LVLMError(
                f"{self.name}: the chat template begins a conversation in another way when its answer is to be "
                "generated than when it is given, so that generating and scoring would differ; set lvlm.chat_template "
                "to a file with a mended template"
            )
        if written.split() == opened.split():
            # some templates put a blank before a given answer only
            return opened, written
        if written.startswith(opened) and (opened == closed or not self.thinks):
            if written[len(opened) :].strip() == self.suffix.strip():
                # written by the processor
                return opened, written
            # the header of a template that opens no turn, or the end of thoughts that it begins
            return written.rstrip(" "), written
        return opened, opened

    def _render_pattern(self, pattern: Pattern, add_generation_prompt: bool) -> tuple[str, ...]:
        reasons = list[str]()
        tried = list[list[bool]]()
        for is_list in _CONTENTS:
            if (lists := [is_list(role, pieces) for role, pieces in pattern]) in tried:
                continue
            tried.append(lists)
            try:
                return self._split(self._write(pattern, lists, add_generation_prompt), pattern)
            except _REFUSALS as error:
                reasons.append(str(error))
        first, last = reasons[0], reasons[-1]
        reason = first if first == last else f"{first} (with a string for each turn: {last})"
        raise self._error(pattern, reason)

    def _write(self, pattern: Pattern, lists: Sequence[bool], add_generation_prompt: bool) -> str:
        """The template's text for turns whose contents are lists of parts, or strings."""
        marks = (_MARK.format(number) for number in count())
        messages = list[dict[str, Any]]()
        for (role, pieces), is_list in zip(pattern, lists, strict=True):
            parts = [{"type": "image"} if piece == "i" else {"type": "text", "text": next(marks)} for piece in pieces]
            content = parts if is_list else "\n".join(part.get("text", self.placeholder) for part in parts)
            messages.append({"role": role, "content": content})
        try:
            return str(
                self.processor.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=add_generation_prompt, **self.options
                )
            )
        except _REFUSALS as error:
            has_image = any("i" in pieces for _, pieces in pattern)
            missing = "" if has_image else " without an image, which S(I2C) compares with (no text-only mode)"
            raise ValueError(f"the chat template refuses a conversation{missing}: {error}") from error

    def _split(self, text: str, pattern: Pattern) -> tuple[str, ...]:
        """A rendered text without the marks of its turns' texts."""
        images = sum(pieces.count("i") for _, pieces in pattern)
        # without a placeholder, the processor puts the image before the text
        found = text.count(self.placeholder) if self.placeholder else images
        if found != images:
            raise ValueError(f"the chat template renders {found} image placeholders for {images} images")
        parts = _MARKS.split(text)
        if parts[1::2] != [str(number) for number in range(sum(own.count("t") for _, own in pattern))]:
            raise ValueError("the chat template does not render every turn once and in order")
        return tuple(parts[0::2])

    def _error(self, pattern: Pattern, reason: str) -> LVLMError:
        """An LVLMError if the template fails for the simplest conversations, else one about this conversation."""
        is_simplest = [pieces.strip("i") for _, pieces in pattern] in (["t"], ["t", "t"])
        kind = LVLMError if is_simplest and sum(own.count("i") for _, own in pattern) <= 1 else ConversationError
        return kind(f"{self.name}: {reason}" if kind is LVLMError else reason)
