"""Chat templates as token rows: which tokens a turn becomes, and which of them are the assistant's.

A template is rendered once for each pattern of roles, with private-use characters in place of the texts, and the
texts are put in afterwards. That makes encoding fast, gives the exact span of every answer whatever the template
puts around it, and works for templates without `{% generation %}` marks.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from jinja2 import TemplateError

from lightning_c3l.conversations import Turn
from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.images import ImageEncoder, ImageTokens

_MARK = "\ue000{}\ue001"
_MARKS = re.compile("\ue000(\\d+)\ue001")
_T = TypeVar("_T")


@dataclass(frozen=True)
class EncodedChat:
    """Tokens of a conversation, those of its image included.

    Attributes:
        ids: token ids.
        answer: True at the tokens of the assistant's texts.
        target: True at the same tokens and at each end of turn, what a model learns to write.
    """

    ids: tuple[int, ...]
    answer: tuple[bool, ...]
    target: tuple[bool, ...]


class ChatEncoder:
    """Turns conversations into token ids with a processor's own chat template.

    Args:
        images: the same processor's image encoder.
        context: longest conversation that the model can read, in tokens; None where it does not say.

    Raises:
        LVLMError: if the processor has no chat template, no fast tokenizer or no end-of-turn token.
    """

    def __init__(self, images: ImageEncoder, context: int | None = None) -> None:
        self.images, self.context = images, context
        self.processor = processor = images.processor
        self.tokenizer = processor.tokenizer
        self.name = name = images.name
        if not getattr(processor, "chat_template", None):
            raise LVLMError(f"{name}: the processor has no chat template; add chat_template.jinja to the folder")
        if not getattr(self.tokenizer, "is_fast", False):
            raise LVLMError(f"{name}: the tokenizer is not a fast one (tokenizer.json is missing)")
        if self.tokenizer.eos_token is None:
            raise LVLMError(f"{name}: the tokenizer has no end-of-sequence token")
        self.specials = sorted(self._control_tokens(), key=len, reverse=True)
        self._special_pattern = re.compile("|".join(re.escape(token) for token in self.specials))
        # on the instance, so that two models never share a template
        self._skeleton = lru_cache(maxsize=512)(self._render)

    def _control_tokens(self) -> set[str]:
        """Special tokens: the named ones, those that only tokenizer.json marks as such, and the image's."""
        added = {token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        image = getattr(self.processor, "image_token", None)
        return {str(t) for t in {*self.tokenizer.all_special_tokens, *added, image, self.images.placeholder} if t}

    def end_of_turn_ids(self) -> list[int]:
        """Tokens that end an answer: the template's own and the tokenizer's."""
        encoded = self.encode((Turn("user", "a"), Turn("assistant", "b")))
        ends = {t for t, target, a in zip(encoded.ids, encoded.target, encoded.answer, strict=True) if target and not a}
        return sorted(ends | {self.tokenizer.eos_token_id})

    def encode(self, turns: Sequence[Turn], image: ImageTokens | None = None) -> EncodedChat:
        """Encode a conversation; one that ends with the user's turn is left open for the assistant.

        Args:
            turns: what was said; the image stands before the first user turn's text.
            image: what stands for it, if there is one.

        Raises:
            LVLMError: if the conversation is longer than the model's context, or if the template refuses it, as some do
                without an image.
        """
        roles = tuple(turn.role for turn in turns)
        pieces = self._skeleton(roles, image is not None)
        if image is not None:
            pieces = tuple(piece.replace(self.images.placeholder, image.text) for piece in pieces)
        text, spans = pieces[0], list[tuple[int, int, int]]()
        for turn, tail in zip(turns, pieces[1:], strict=True):
            start = len(text)
            text += self._clean(turn.text)
            stop = len(text)
            if turn.role == "assistant":
                close, tail = self._close(tail)
                text += close
                spans.append((start, stop, len(text)))
            text += tail
        chat = self._tokenize(text, spans)
        if image is not None:
            chat = self._expand(chat, image)
        if self.context is not None and len(chat.ids) > self.context:
            raise LVLMError(
                f"{self.name}: a conversation of {len(chat.ids)} tokens ({image.count if image else 0} of them the "
                f"image's) is longer than the model's context of {self.context}: {turns[0].text[:60]!r}"
            )
        return chat

    def _expand(self, chat: EncodedChat, image: ImageTokens) -> EncodedChat:
        """Each run of image tokens in its length."""
        if chat.ids.count(self.images.token) != len(image.runs):
            raise LVLMError(
                f"{self.name}: {chat.ids.count(self.images.token)} runs of image tokens in the prompt, "
                f"{len(image.runs)} by the processor"
            )
        runs = iter(image.runs)
        repeats = [next(runs) if token == self.images.token else 1 for token in chat.ids]

        def spread(values: Sequence[_T]) -> tuple[_T, ...]:
            return tuple(value for value, n in zip(values, repeats, strict=True) for _ in range(n))

        return EncodedChat(spread(chat.ids), spread(chat.answer), spread(chat.target))

    def _render(self, roles: tuple[str, ...], image: bool) -> tuple[str, ...]:
        """What the template writes before, between and after the texts of turns with these roles."""
        messages, waiting = list[dict[str, Any]](), image
        for number, role in enumerate(roles):
            content = [{"type": "text", "text": _MARK.format(number)}]
            if waiting and role == "user":
                content, waiting = [{"type": "image"}, *content], False
            messages.append({"role": role, "content": content})
        try:
            text = self.processor.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=roles[-1] != "assistant"
            )
        except (TemplateError, ValueError, TypeError, IndexError, KeyError) as error:
            missing = "" if image else " without an image, which S(I2C) compares with (no text-only mode)"
            raise LVLMError(f"{self.name}: the chat template refuses a conversation{missing}: {error}") from error
        found = text.count(self.images.placeholder)
        if found != image:
            raise LVLMError(f"{self.name}: the chat template writes {found} image placeholders for {int(image)} images")
        pieces = _MARKS.split(text)
        if pieces[1::2] != [str(number) for number in range(len(roles))]:
            raise LVLMError(f"{self.name}: the chat template does not write every turn once and in order")
        return tuple(pieces[0::2])

    def _clean(self, text: str) -> str:
        """A turn's text without control tokens: what somebody wrote must not end a turn or add an image."""
        before = None
        while before != text:  # what is left around a removed token may be one itself
            before, text = text, self._special_pattern.sub("", text)
        return text.strip()

    def _close(self, tail: str) -> tuple[str, str]:
        """Split what follows an answer into its end of turn and the rest; templates without one get EOS."""
        for token in self.specials:
            if tail.lstrip().startswith(token):
                end = tail.index(token) + len(token)
                return tail[:end], tail[end:]
        return str(self.tokenizer.eos_token), tail.lstrip()

    def _tokenize(self, text: str, spans: list[tuple[int, int, int]]) -> EncodedChat:
        bos = self.tokenizer.bos_token
        add_special = bos is None or not text.startswith(bos)
        encoding = self.tokenizer(text, add_special_tokens=add_special, return_offsets_mapping=True)
        ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
        answer, target = [False] * len(ids), [False] * len(ids)
        position = 0
        for start, stop, closed in spans:
            while position < len(ids) and offsets[position][1] <= start:
                position += 1
            while position < len(ids) and offsets[position][0] < closed:
                answer[position] = offsets[position][0] < stop
                target[position] = True
                position += 1
        return EncodedChat(tuple(ids), tuple(answer), tuple(target))
