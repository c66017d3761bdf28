"""A family's checkpoint as transformers alone loads and runs it: its processor, plain forwards, its own `generate`."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from tests.helpers.families.family import Family

Message = dict[str, Any]
# inputs with a number for each token
_ROWS = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "mm_token_type_ids",
    "image_embeds_position_mask",
    "moe_mm_token_type_ids",
    "cross_attention_mask",
)


@dataclass(frozen=True)
class Span:
    """An answer's tokens in [start, end), and with its end of turn in [start, stop)."""

    start: int
    end: int
    stop: int


@dataclass(frozen=True)
class Alone:
    """One conversation, run alone: tokens [L], logits [L, V], what the output embedding reads [L, H]."""

    ids: Tensor
    logits: Tensor
    hidden: Tensor
    answers: tuple[Span, ...]

    def logits_of(self, turn: int = -1) -> Tensor:
        """Logits of an answer's tokens, [T, V]."""
        span = self.answers[turn]
        return self.logits[span.start - 1 : span.end - 1]

    def hidden_of(self, turn: int = -1) -> Tensor:
        """Hidden states of an answer's tokens, [T, H]."""
        span = self.answers[turn]
        return self.hidden[span.start : span.end]

    def logp(self, turn: int = -1, closed: bool = False) -> Tensor:
        """Log-probabilities of an answer's tokens, with its end of turn if `closed`."""
        span = self.answers[turn]
        stop = span.stop if closed else span.end
        table = self.logits[span.start - 1 : stop - 1].float().log_softmax(-1)
        return table[torch.arange(len(table)), self.ids[span.start : stop]]


@dataclass(frozen=True)
class Native:
    """A family's model and processor, used as its documentation says.

    Attributes:
        family: which one.
        processor: the checkpoint's processor.
        model: the transformers model.
    """

    family: Family
    processor: Any
    model: Any

    @classmethod
    def load(cls, family: Family, folder: Path) -> "Native":
        """The checkpoint in that folder, by transformers' automatic classes."""
        assert AutoConfig.from_pretrained(folder).model_type == family.model_type
        model = AutoModelForImageTextToText.from_pretrained(folder).eval()
        return cls(family, AutoProcessor.from_pretrained(folder), model)

    @property
    def ends(self) -> list[int]:
        """Tokens that end a turn: the template's, the tokenizer's and those of the generation configuration."""
        tokenizer, named = self.processor.tokenizer, self.model.generation_config.eos_token_id
        own = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(self.family.end)}
        return sorted(own | set(named if isinstance(named, list) else [named]))

    def render(self, said: Sequence[Message]) -> str:
        """Text of a conversation; the assistant's turn is opened if the user speaks last."""
        options: dict[str, Any] = {"enable_thinking": False, "thinking": False}
        if self.family.chat_template:
            options["chat_template"] = self.family.chat_template
        opened = said[-1]["role"] != "assistant"
        text = str(self.processor.apply_chat_template(said, tokenize=False, add_generation_prompt=opened, **options))
        if opened:  # inside its thoughts, if the template cannot turn them off
            begun = max(n for n in range(len(self.family.thoughts) + 1) if text.endswith(self.family.thoughts[:n]))
            text += self.family.thoughts[begun:]
        position = 0
        for message in said:
            words = words_of(message)
            position = text.index(words, position)
            if message["role"] == "assistant":
                before, after = text[:position], text[position + len(words) :]
                if not before.endswith(self.family.thoughts):
                    # an answer is read with what stood before it when it was written
                    before += self.family.thoughts
                if not self.family.closes and not after.startswith(self.family.end):
                    # the template writes blanks or nothing behind an answer
                    after = self.family.end + after.lstrip()
                text, position = before + words + after, len(before)
            position += len(words)
        return text

    def inputs(self, said: Sequence[Message], text: str | None = None) -> dict[str, Tensor]:
        """Model inputs [1, L] of a conversation, or of a text that renders a part of it."""
        text = self.render(said) if text is None else text
        images = [part["image"] for message in said for part in message["content"] if part["type"] == "image"]
        bos = self.processor.tokenizer.bos_token
        options: dict[str, Any] = {"add_special_tokens": not (bos and text.startswith(bos)), "return_tensors": "pt"}
        if not images:
            try:
                alone = dict(self.processor(text=[text], **options))
            except (ValueError, TypeError, AttributeError, KeyError, IndexError):
                # it takes no text without an image
                alone = dict(self.processor.tokenizer(text, **options))
            # the processor of such a model, which takes no text without an image, would give these
            prompt = {"token_type_ids": torch.zeros_like(alone["input_ids"])} if self.family.sees_prompt else {}
            return alone | prompt
        if "mm_token_type_ids" in signature(self.model.forward).parameters:
            # Cosmos 3 Edge's model wants them, and its processor gives them only when asked
            options["return_mm_token_type_ids"] = True
        # a list for each text says which images come together
        listed = images if self.family.flat_images else [images]
        inputs = self.processor(text=[text], images=listed, **options)
        # Llama 4's processor makes bfloat16 of pixels, whatever the model is
        return {
            # Unlimited-OCR's gives numbers of tiles in lists
            key: value.to(self.model.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
            for key, value in inputs.items()
        }

    def forward(self, said: Sequence[Message]) -> Alone:
        """One plain forward of a conversation that ends with an answer."""
        inputs, read = self.inputs(said), list[Tensor]()
        ids = inputs["input_ids"][0]
        answers = tuple(self._spans(ids, said))
        if self.family.sees_prompt:
            inputs["token_type_ids"][:, answers[0].start :] = 1
        # Nemotron's model does not name its own
        head = self.model.get_output_embeddings() or self.model.get_submodule("language_model.lm_head")
        hook = head.register_forward_pre_hook(lambda _, given: read.append(given[0]))
        try:
            logits = self.model(**inputs, use_cache=False).logits[0]
        finally:
            hook.remove()
        return Alone(ids, logits, read[0].reshape(len(ids), -1), answers)

    def answer(self, question: str, answer: str, image: Image | None = None) -> Alone:
        """A plain forward of a question and its answer."""
        return self.forward(messages([("user", question), ("assistant", answer)], image))

    def _spans(self, ids: Tensor, said: Sequence[Message]) -> Iterator[Span]:
        tokenizer, tokens, end = self.processor.tokenizer, ids.tolist(), 0
        closing = tokenizer.convert_tokens_to_ids(self.family.end)

        def holds(words: str, first: int, last: int) -> bool:
            return words in tokenizer.decode(tokens[first:last], clean_up_tokenization_spaces=False)

        for message in said:
            words, before = words_of(message), end
            end = bisect_left(range(len(tokens) + 1), True, lo=before, key=lambda n: holds(words, before, n))
            assert end <= len(tokens), f"{words!r} is not in the row"
            # the last token from which on the text is the answer: a blank that is written before it stays outside
            start = bisect_right(range(end), False, lo=before, key=lambda n: not holds(words, n, end)) - 1
            if self.family.blank_begins and not tokenizer.decode(tokens[start - 1 : start]).strip():
                start -= 1
            if message["role"] == "assistant":
                yield Span(start, end, tokens.index(closing, end) + 1)

    def write(self, said: Sequence[Message], tokens: int) -> str:
        """What `generate` writes, likeliest token after likeliest token."""
        return self.decode(self.write_ids(self.inputs(said), self.ends, tokens))

    def goes_on(self, prompt: str, begun: str, image: Image, tokens: int) -> str:
        """What it writes after the beginning of an answer."""
        said = messages([("user", prompt), ("assistant", begun)], image)
        if self.family.appends:
            text = self.render(said)
            text = text[: text.rindex(begun) + len(begun)]
            return self.decode(self.write_ids(self.inputs(said, text), self.ends, tokens))
        inputs = self.inputs(said)
        (span,) = self._spans(inputs["input_ids"][0], said)
        whole = {key: value[:, : span.end] if key in _ROWS else value for key, value in inputs.items()}
        return self.decode(self.write_ids(whole, self.ends, tokens))

    @torch.no_grad()
    def write_ids(self, inputs: dict[str, Tensor], ends: Sequence[int], tokens: int) -> list[int]:
        """Tokens that `generate` writes after these inputs, the end included."""
        # a token for an image in the middle of a text stands for no image
        image = getattr(self.model.config, "image_token_id", None)
        never = None if image is None else [image]
        out = self.model.generate(
            **inputs, do_sample=False, max_new_tokens=tokens, suppress_tokens=never, eos_token_id=list(ends)
        )
        return out[0, inputs["input_ids"].shape[1] :].tolist()  # type: ignore[no-any-return]

    def decode(self, ids: Sequence[int]) -> str:
        """Tokens as text, without special tokens and surrounding white space."""
        return str(self.processor.tokenizer.decode(ids, skip_special_tokens=True)).strip()


def words_of(message: Message) -> str:
    """Text of a message."""
    return "".join(part["text"] for part in message["content"] if part["type"] == "text")


def messages(turns: Sequence[tuple[str, str]], *images: Image | None) -> list[Message]:
    """Turns (role, text) as transformers takes them, the images before the first user text."""
    out = list[Message]()
    waiting = [{"type": "image", "image": image} for image in images if image is not None]
    for role, text in turns:
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if role == "user":
            content, waiting = [*waiting, *content], []
        out.append({"role": role, "content": content})
    return out
