"""Conversations as token rows under a chat template, with a mask of the assistant's tokens."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TypeVar

from lightning_c3l.lvlm.base import ConversationError, LVLMError
from lightning_c3l.lvlm.huggingface.images import ImageEncoder, ImageTokens
from lightning_c3l.lvlm.huggingface.templates import ChatTemplate, Pattern
from lightning_c3l.records import Turn

_SURROGATE = re.compile("[\ud800-\udfff]")
_T = TypeVar("_T")


@dataclass(frozen=True)
class RenderedChat:
    """Text of a conversation, with one placeholder for each image.

    Attributes:
        text: what the chat template writes, and an end-of-turn token after each answer.
        spans: start, stop and end (end-of-turn token included) of each answer, in characters of the text.
    """

    text: str
    spans: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class EncodedChat:
    """Tokens of a conversation, image tokens included.

    Attributes:
        ids: token ids.
        answer: True at the tokens of the assistant's texts.
        target: True at these and at the assistant's end-of-turn tokens: what a model is trained on.
    """

    ids: tuple[int, ...]
    answer: tuple[bool, ...]
    target: tuple[bool, ...]

    @property
    def answer_lengths(self) -> list[int]:
        """Number of answer tokens in each of the assistant's turns."""
        # every turn has an end, even without text, and the user's tokens lie between them
        runs = groupby(zip(self.target, self.answer, strict=True), key=lambda marks: marks[0])
        return [sum(answer for _, answer in run) for target, run in runs if target]


class ChatEncoder:
    """Encodes conversations with a processor's own chat template.

    Args:
        images: image encoder of the same processor.
        template: chat template of the same processor.
        context: maximum length of a conversation, in tokens; None if the model does not say.
        ends: tokens that end a text by the model's generation configuration.

    Raises:
        LVLMError: if the processor has no fast tokenizer or no end-of-sequence token.
    """

    def __init__(
        self,
        images: ImageEncoder,
        template: ChatTemplate,
        context: int | None = None,
        ends: int | Sequence[int] | None = None,
    ) -> None:
        self.images, self.template, self.context = images, template, context
        self.processor = processor = images.processor
        self.tokenizer = processor.tokenizer
        self.name = name = images.name
        if not getattr(self.tokenizer, "is_fast", False):
            raise LVLMError(f"{name}: the tokenizer is not a fast one (tokenizer.json is missing)")
        if self.tokenizer.eos_token is None:
            raise LVLMError(f"{name}: the tokenizer has no end-of-sequence token")
        ends = [ends] if isinstance(ends, int) else list(ends or ())
        tokens = self.tokenizer.added_tokens_decoder.values()
        # an end of turn need not be marked as special
        controls = {*self.tokenizer.all_special_tokens, *(token.content for token in tokens)}
        self.controls = sorted((str(token) for token in controls if str(token).strip()), key=len, reverse=True)
        self._end_of_turn = self._find_end_of_turn(ends)
        self._ends = {*self.tokenizer.convert_tokens_to_ids([self._end_of_turn]), self.tokenizer.eos_token_id, *ends}
        # named special tokens, those that only tokenizer.json marks as special, and the image token
        named = *self.tokenizer.all_special_tokens, *(token.content for token in tokens if token.special)
        image = getattr(processor, "image_token", None)
        specials = {str(t) for t in (*named, image, images.placeholder, self._end_of_turn) if t}
        self.specials = sorted(specials, key=len, reverse=True)
        # the tokens of a placeholder, and whether answers are told from prompts by their kind: see `plain_rows`
        self.placeholder_ids = tuple(self.tokenizer(images.placeholder, add_special_tokens=False)["input_ids"])
        self.answers_are_typed = False
        self._special_pattern = re.compile("|".join(re.escape(token) for token in self.specials))

    def end_of_turn_ids(self) -> list[int]:
        """Tokens that end an answer: by the template, by the tokenizer, or by the model's generation configuration."""
        return sorted(self._ends)

    def _find_end_of_turn(self, ends: Sequence[int]) -> str:
        """The token that the template writes after the last answer.

        If it writes none, this is the token that begins the next turn if that is an end (GLM's `<|user|>`), or EOS.
        """
        for user in ("t", "it"):  # with an image if there is no text-only mode
            answered = ("user", user), ("assistant", "t")
            if token := self._token_after_answer(answered):
                return token
            token = self._token_after_answer((*answered, ("user", "t")))
            if token and self.tokenizer.convert_tokens_to_ids([token])[0] in ends:
                return token
        return str(self.tokenizer.eos_token)

    def _token_after_answer(self, pattern: Pattern) -> str | None:
        """The control token that the template writes after the answer, in the second of the turns; None if none."""
        try:
            return self._control_token(self.template.tails(pattern)[2])
        except LVLMError:  # says so when a conversation is encoded
            return None

    def encode(self, turns: Sequence[Turn], images: ImageTokens | Sequence[ImageTokens] | None = None) -> EncodedChat:
        """Encode a conversation; after one that ends with the user's turn, the assistant's turn is opened.

        Args:
            turns: texts, with the positions of their images.
            images: tokens of the image, or of each of several. Without positions in the turns, they precede the text
                of the first user turn; without images, positions are ignored.

        Raises:
            ConversationError: if the conversation is longer than the model's context, or the template does not accept
                it.
            LVLMError: if the template accepts no conversation without image.
        """
        images = (images,) if isinstance(images, ImageTokens) else images or ()
        rendered = self._insert(self.render(turns, len(images)), images)
        chat = self._expand(self.tokenize(rendered), images)
        if self.context is not None and len(chat.ids) > self.context:
            raise ConversationError(
                f"a conversation of {len(chat.ids)} tokens ({sum(image.count for image in images)} of "
                f"them the image's) is longer than the model's context of {self.context}: {turns[0].text[:60]!r}"
            )
        return chat

    def render(self, turns: Sequence[Turn], images: int) -> RenderedChat:
        """Text of a conversation as the processor takes it; control tokens within the turns' texts are removed.

        Args:
            turns: texts, with the positions of their images.
            images: number of images; see `encode` for where they go.

        Raises:
            ConversationError: if the template does not accept the conversation.
            LVLMError: if the template accepts no conversation without image.
        """
        laid_out = self._lay_out(turns, images)
        pattern = tuple((role, "".join("i" if piece is None else "t" for piece in pieces)) for role, pieces in laid_out)
        tails = self.template.tails(pattern)
        texts = [(role, piece) for role, pieces in laid_out for piece in pieces if piece is not None]
        text, spans = tails[0], list[tuple[int, int, int]]()
        for (role, piece), tail in zip(texts, tails[1:], strict=True):
            start = len(text)
            text += piece
            stop = len(text)
            if role == "assistant":
                close, tail = self._close(tail)
                text += close
                spans.append((start, stop, len(text)))
            text += tail
        return RenderedChat(text, tuple(spans))

    def adds_special_tokens(self, text: str) -> bool:
        """Whether the tokenizer must add its special tokens to a rendered text: not if the template has written BOS."""
        bos = self.tokenizer.bos_token
        return bos is None or not text.startswith(bos)

    def _insert(self, chat: RenderedChat, images: Sequence[ImageTokens]) -> RenderedChat:
        """Text with each placeholder replaced by the text of its image, and the spans of the answers in it."""
        if not images:
            return chat
        placeholder, waiting = self.images.placeholder, iter(images)
        if placeholder:
            text = re.sub(re.escape(placeholder), lambda _: next(waiting).text, chat.text)
        else:  # the processor puts images before the text
            text = "".join(image.text for image in images) + chat.text
        spans = list[tuple[int, int, int]]()
        for span in chat.spans:  # an answer holds no image
            before = images[: chat.text.count(placeholder, 0, span[0])] if placeholder else images
            shift = sum(len(image.text) - len(placeholder) for image in before)
            spans.append((span[0] + shift, span[1] + shift, span[2] + shift))
        return RenderedChat(text, tuple(spans))

    def _lay_out(self, turns: Sequence[Turn], images: int) -> list[tuple[str, list[str | None]]]:
        """Role and pieces of each turn: texts without control tokens, and None for each image.

        Raises:
            ConversationError: if the turns have positions for another number of images, or an answer has one.
        """
        positions = [turn.images if images else () for turn in turns]
        if images and not any(positions):
            first = next((index for index, turn in enumerate(turns) if turn.role == "user"), 0)
            positions[first] = (0,) * images
        if sum(map(len, positions)) != images:
            raise ConversationError(f"the turns have {sum(map(len, positions))} image positions for {images} images")
        laid_out = [(str(turn.role), self._pieces(turn.text, own)) for turn, own in zip(turns, positions, strict=True)]
        if any(role == "assistant" and len(pieces) > 1 for role, pieces in laid_out):
            raise ConversationError("an answer must not contain an image")
        return laid_out

    def _pieces(self, text: str, positions: Sequence[int]) -> list[str | None]:
        """A turn's text, cut at its images and stripped at its ends, also next to images there."""
        if not positions:
            return [self.clean(text).strip()]
        parts = [self.clean(text[start:stop]) for start, stop in pairwise([0, *positions, len(text)])]
        filled = [index for index, part in enumerate(parts) if part.strip()] or [0]
        parts[filled[0]] = parts[filled[0]].lstrip()
        parts[filled[-1]] = parts[filled[-1]].rstrip()
        pieces = list[str | None]()
        for index, part in enumerate(parts):
            pieces += [None] if index else []
            pieces += [part] if part and filled[0] <= index <= filled[-1] else []
        return pieces

    def _expand(self, chat: EncodedChat, images: Sequence[ImageTokens]) -> EncodedChat:
        """Repeat the image token of each run to the length of the run."""
        if not images:
            return chat
        runs = [length for image in images for length in image.runs]
        if chat.ids.count(self.images.token) != len(runs):
            raise LVLMError(
                f"{self.name}: {chat.ids.count(self.images.token)} runs of image tokens in the prompt, but the "
                f"processor has {len(runs)}"
            )
        waiting = iter(runs)
        repeats = [next(waiting) if token == self.images.token else 1 for token in chat.ids]

        def spread(values: Sequence[_T]) -> tuple[_T, ...]:
            return tuple(value for value, n in zip(values, repeats, strict=True) for _ in range(n))

        return EncodedChat(spread(chat.ids), spread(chat.answer), spread(chat.target))

    def clean(self, text: str) -> str:
        """A turn's text without control tokens: data must not end a turn or add an image."""
        before, text = None, _SURROGATE.sub("\ufffd", text)  # unpaired surrogates, which tokenizers do not accept
        while before != text:  # removing a token may join the text around it to another one
            before, text = text, self._special_pattern.sub("", text)
        return text

    def _close(self, tail: str) -> tuple[str, str]:
        """Split what follows an answer into its end-of-turn token and the rest."""
        if token := self._control_token(tail):
            end = tail.index(token) + len(token)
            return tail[:end], tail[end:]
        return self._end_of_turn, tail.lstrip()

    def _control_token(self, tail: str) -> str | None:
        """The control token that a text begins with, after blanks."""
        return next((token for token in self.controls if tail.lstrip().startswith(token)), None)

    def tokenize(self, rendered: RenderedChat) -> EncodedChat:
        """Tokens of a rendered text, with those of its answers marked; a placeholder stays as it is."""
        return self._tokenize(rendered)[0]

    def answer_texts(self, turns: Sequence[Turn]) -> list[list[str]]:
        """Text of each token of every answer, '' for one that continues a character of the token before.

        Joined, they are the answer as it is rendered: without control tokens and without blanks at its ends.

        Raises:
            ConversationError: if the template does not accept the conversation.
        """
        rendered = self.render(turns, 0)
        chat, offsets = self._tokenize(rendered)
        waiting = iter([own for own, is_answer in zip(offsets, chat.answer, strict=True) if is_answer])
        return [
            _cut(rendered.text, start, stop, [next(waiting) for _ in range(length)])
            for (start, stop, _), length in zip(rendered.spans, chat.answer_lengths, strict=True)
        ]

    def _tokenize(self, rendered: RenderedChat) -> tuple[EncodedChat, list[tuple[int, int]]]:
        """Tokens of a rendered text, and the characters of each: the first and the one behind the last."""
        text = rendered.text
        encoding = self.tokenizer(text, add_special_tokens=self.adds_special_tokens(text), return_offsets_mapping=True)
        ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
        answer, target = [False] * len(ids), [False] * len(ids)
        position = 0
        for start, stop, closed in rendered.spans:
            while position < len(ids) and offsets[position][1] <= start:
                position += 1
            while position < len(ids) and offsets[position][0] < closed:
                answer[position] = offsets[position][0] < stop
                target[position] = True
                position += 1
        return EncodedChat(tuple(ids), tuple(answer), tuple(target)), offsets


def _cut(text: str, start: int, stop: int, offsets: Sequence[tuple[int, int]]) -> list[str]:
    """The text from `start` to `stop`, cut at the ends of its tokens; blanks between two tokens go to the second."""
    texts, owner, done = list[str](), 0, start
    for index, (begin, end) in enumerate(offsets):
        end = stop if index == len(offsets) - 1 else max(done, min(end, stop))
        # bytes of one character may be several tokens, each with the whole character as its own
        continues = bool(texts) and begin < done
        texts.append("")
        owner = owner if continues else index
        texts[owner] += text[done:end]
        done = end
    return texts
