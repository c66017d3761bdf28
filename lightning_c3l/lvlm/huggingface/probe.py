"""Conversations about test images, and what plain forwards of the model say of them: the measure of every path."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from lightning_c3l.lvlm.base import GenerationRequest, Images, LVLMError, Sampling
from lightning_c3l.lvlm.huggingface.batching import TokenIds
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.output_head import OutputHead, output_embedding
from lightning_c3l.lvlm.huggingface.plain_generation import PlainGenerator
from lightning_c3l.lvlm.huggingface.plain_rows import encode_rows, to_model
from lightning_c3l.lvlm.samples import GroupSample, TuningSample
from lightning_c3l.lvlm.training_mode import train_mode
from lightning_c3l.records import Conversation, Turn

_QUESTION = "What is in this image, and where?"
_SHORT, _LONG = "A gray square.", "It gets lighter from the top to the bottom, line by line."
# two completions of a prompt, which cannot differ but lie in rows of their own
GREEDY = Sampling(samples=2, max_new_tokens=5, temperature=1e-4)


def probe_images() -> list[Image.Image]:
    """Images without two equal patches: two of one size, and one that is cut into another number of tiles."""
    vertical = Image.linear_gradient("L").convert("RGB")
    return [vertical, Image.radial_gradient("L").resize((480, 160)).convert("RGB"), vertical.rotate(90)]


def _chat(question: str, answer: str) -> tuple[Turn, ...]:
    return Turn("user", question), Turn("assistant", answer)


# two branches of unequal length behind one image, and prompts of unequal length
CHATS = [
    [_chat(_QUESTION, _SHORT), _chat(_QUESTION, _LONG)],
    [_chat("Where?", _LONG)],
    [_chat(_QUESTION, "No."), _chat("Where?", _SHORT)],
]


@dataclass(frozen=True)
class PlainForwards:
    """Plain forwards, one unpadded row each.

    Attributes:
        model: the transformers model.
        encoder: its chat encoder.
    """

    model: Any
    encoder: ChatEncoder

    def answer_logits(self, images: Sequence[Images] | None) -> Tensor:
        """Logits [M, V] that predict the answer tokens of `CHATS`, with images by context or without."""
        contexts = [()] * len(CHATS) if images is None else images
        several = zip(contexts, CHATS, strict=True)
        return torch.cat([self.logits(chat, own)[0] for own, chats in several for chat in chats])

    @torch.no_grad()
    def logits(self, chat: Sequence[Turn], images: Images) -> tuple[Tensor, Tensor]:
        """Logits [T, V] that predict the answer tokens of a conversation, and what its output embedding returned."""
        rows, raw = encode_rows(self.encoder, [(chat, images)], 1), list[Tensor]()
        hook = output_embedding(self.model).register_forward_hook(lambda *call: raw.append(call[2]))
        try:
            out = self.model(**to_model(self.model, rows.parts[0].inputs), use_cache=False).logits.float()
        finally:
            hook.remove()
        before = nn.functional.pad(rows.answer[0, 1:], (0, 1)).to(out.device)
        # a model may put more positions before a row for an image than the row has tokens for it
        return out[0, -len(before) :][before], raw[-1][0, -len(before) :][before]

    def require_causal(self) -> None:
        """Check that a token does not change the logits before it; PaliGemma's answers need a kind of their own.

        Raises:
            LVLMError: if it does.
        """
        for typed in (False, True):
            self.encoder.answers_are_typed = typed
            if all(self._is_causal(images) for images in ((), tuple(probe_images()[:1]))):
                return
        self.encoder.answers_are_typed = False
        raise LVLMError(f"{self.encoder.name}: {type(self.model).__name__} lets the tokens of an answer see later ones")

    def _is_causal(self, images: Images) -> bool:
        short, long = (self.logits(_chat(_QUESTION, text), images)[0] for text in (_SHORT, f"{_SHORT} {_LONG}"))
        few = min(3, len(short))
        spread = long[:few] - long[:few].mean(-1, keepdim=True)
        return bool((short[:few] - long[:few]).norm() <= 0.02 * spread.norm())

    @cached_property
    def head(self) -> OutputHead:
        """What the model does to the logits of its output embedding."""
        logits, raw = self.logits(CHATS[0][1], ())
        return OutputHead.fit(self.model.config.get_text_config(), raw, logits)

    def completion(self, request: GenerationRequest) -> tuple[TokenIds, list[float]]:
        """Greedy tokens of `generate`, and by how much of a standard deviation of the logits each of them is ahead."""
        sampling = Sampling(samples=1, max_new_tokens=GREEDY.max_new_tokens, temperature=0)
        generator = PlainGenerator(self.model, self.encoder, sampling, self.encoder.end_of_turn_ids(), copies=False)
        logits = list[Tensor]()
        hook = output_embedding(self.model).register_forward_hook(lambda *call: logits.append(call[2][0, -1]))
        try:
            ((tokens,),) = generator.generate([request], 1)
        finally:
            hook.remove()
        leads = [float((a - b) / one.float().std()) for one in logits for a, b in [one.float().topk(2).values]]
        return tokens, leads


@contextmanager
def mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Within this context, a model is in training mode, without dropout, or in eval mode."""
    before = {part: part.training for part in model.modules()}
    rates = [(part, name, rate) for part in before for name, rate in vars(part).items() if _is_dropout(name, rate)]
    if training:
        train_mode(model)
    else:
        model.eval()
    for part, name, _ in rates:
        setattr(part, name, 0.0)
    try:
        yield
    finally:
        for part, was_training in before.items():
            part.training = was_training
        for part, name, rate in rates:
            setattr(part, name, rate)


def _is_dropout(name: str, value: object) -> bool:
    """Whether an attribute of a module is a rate of dropout, such as `p` of `nn.Dropout` or `attention_dropout`."""
    return isinstance(value, float) and (name == "p" or "dropout" in name)


def probe_groups(first: Image.Image, second: Image.Image) -> list[GroupSample]:
    """Two groups of unequal size."""
    texts = (f"Question: {_QUESTION} Answer: {_SHORT}", _LONG)
    return [
        GroupSample(first, "Write a question about the image, with its answer.", texts, _QUESTION, _SHORT),
        GroupSample(second, "Describe the image.", (_LONG,), "Where?", _SHORT),
    ]


def probe_records() -> list[TuningSample]:
    """A record with an image and one without."""
    first, second = Conversation("1", None, CHATS[0][1]), Conversation("2", None, CHATS[2][0] + CHATS[2][1])
    return [(first, probe_images()[1]), (second, None)]
