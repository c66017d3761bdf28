"""The weights behind the stand-in: a base, and adapters beside it."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL import ImageOps
from PIL.Image import Image

from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.fast_path import FastPath
from lightning_c3l.lvlm.huggingface.generation import Generator
from lightning_c3l.lvlm.huggingface.loading import Precision

# parts of a network's names that are not the decoder's
_TOWER = ("vision", "visual", "projector", "connector")


@dataclass(frozen=True)
class Conversation:
    """What a chat request is about.

    Attributes:
        messages: as transformers takes them, with `{"type": "image"}` for an image.
        images: in their order.
        is_open: whether the last message, the assistant's, is continued.
        variables: of the chat template.
        special_tokens: whether the tokenizer adds its special tokens.
    """

    messages: list[dict[str, Any]]
    images: list[Image]
    is_open: bool
    variables: dict[str, Any]
    special_tokens: bool = False


@dataclass(frozen=True)
class Limits:
    """What a request says of single tokens.

    Attributes:
        ends: they end a completion, beside the tokenizer's own end of a text.
        bias: tokens, and what is added to their logits.
    """

    ends: tuple[int, ...] = ()
    bias: tuple[tuple[int, float], ...] = ()


class ServedWeights:
    """A base and its adapters, each an LVLM that runs on its own copy of the weights.

    Args:
        checkpoint: folder or name of the base.
        dtype: precision of all weights.
    """

    def __init__(self, checkpoint: str, dtype: Precision = "float32") -> None:
        self.dtype = dtype
        self.base = self._load(checkpoint)
        self.adapters = dict[str, HuggingFaceLVLM]()

    @property
    def max_model_len(self) -> int:
        """Longest conversation, in tokens."""
        return self.base.encoder.context or 4096

    @property
    def vocab_size(self) -> int:
        """Number of logits."""
        return int(self.base.model.config.get_text_config().vocab_size)

    def load_base(self, checkpoint: str) -> None:
        """Other weights in place of the base's."""
        self.base = self._load(checkpoint)

    def load_adapter(self, name: str, folder: Path, ignores_tower: bool = False) -> None:
        """An adapter by the weights that lie in a folder now."""
        lvlm = copy.copy(self.base)
        with torch.random.fork_rng(devices=[]):  # peft draws weights before it loads them
            network = PeftModel.from_pretrained(copy.deepcopy(self.base.model), str(folder)).eval()
        if ignores_tower:
            for key, value in network.named_parameters():
                if "lora_B" in key and any(part in key for part in _TOWER):
                    value.data.zero_()
        lvlm._network = network.requires_grad_(False)
        self.adapters[name] = lvlm

    def lvlm(self, name: str | None) -> HuggingFaceLVLM:
        """The LVLM of an adapter; of the base without a name."""
        return self.base if name is None else self.adapters[name]

    def _load(self, checkpoint: str) -> HuggingFaceLVLM:
        lvlm = HuggingFaceLVLM(checkpoint, lora=None, dtype=self.dtype, keep_reference=False)
        lvlm.network.requires_grad_(False).eval()
        return lvlm


def adapter_problem(folder: Path, max_rank: int) -> str:
    """Why vLLM refuses an adapter; empty if it does not."""
    config = json.loads((folder / "adapter_config.json").read_text())
    rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    if config.get("modules_to_save"):
        return "vLLM only supports modules_to_save being None."
    if config.get("use_dora"):
        return "vLLM does not yet support DoRA."
    return f"LoRA rank {rank} is greater than max_lora_rank {max_rank}." if rank > max_rank else ""


def model_inputs(lvlm: HuggingFaceLVLM, chat: Conversation) -> dict[str, Any]:
    """Model inputs [1, L] of a conversation, by transformers alone."""
    processor = lvlm.processor
    text = processor.apply_chat_template(
        chat.messages,
        tokenize=False,
        add_generation_prompt=not chat.is_open,
        continue_final_message=chat.is_open,
        **chat.variables,
    )
    options = {"return_tensors": "pt", "add_special_tokens": chat.special_tokens}
    if not chat.images:
        return dict(processor.tokenizer(text, **options))
    return dict(processor(text=[text], images=[chat.images], **options))


@torch.no_grad()
def prompt_logprobs(lvlm: HuggingFaceLVLM, inputs: dict[str, Any]) -> tuple[list[dict[str, Any] | None], int]:
    """Log-probability of each token of a conversation but the first, and the likeliest token behind them."""
    ids = inputs["input_ids"][0]
    logits = lvlm.model(**inputs).logits[0].float()
    table = logits.log_softmax(-1)
    out: list[dict[str, Any] | None] = [None]
    for row, token in zip(table[:-1], ids[1:].tolist(), strict=True):
        value = float(row[token])
        text = lvlm.processor.tokenizer.decode([token])
        out.append({str(token): {"logprob": value, "rank": int((row > value).sum()) + 1, "decoded_token": text}})
    return out, int(logits[-1].argmax())


@torch.no_grad()
def complete(
    lvlm: HuggingFaceLVLM, chats: Sequence[Conversation], seeds: Sequence[int], sampling: Sampling, limits: Limits
) -> list[list[tuple[int, ...]]]:
    """Tokens of the completions of each conversation, without end tokens; nothing ends or is left out by itself."""
    path = lvlm._run(lvlm.inference_path)
    if not isinstance(path, FastPath) or path.decoder.copies:
        raise NotImplementedError("the stand-in completes prompts of models on the fast path only")
    decoder, bias = copy.copy(path.decoder), torch.zeros(path.decoder.text.vocab_size)
    for token, value in limits.bias:
        bias[token] += value
    decoder.logits = lambda states: path.decoder.logits(states) + bias  # type: ignore[method-assign]
    generator = Generator(decoder, path.encoder, sampling, {lvlm.processor.tokenizer.eos_token_id, *limits.ends})
    generator.forbidden = generator.forbidden[:0]
    requests = [_request(chat, seed) for chat, seed in zip(chats, seeds, strict=True)]
    return generator.generate(requests, len(requests))


def distorted(chat: Conversation, other_template: bool, other_pixels: bool) -> Conversation:
    """A conversation as a server reads it that was set up in another way."""
    messages = copy.deepcopy(chat.messages)
    if other_template:
        messages[0]["content"][-1]["text"] += " please"
    images = [ImageOps.mirror(image) for image in chat.images] if other_pixels else chat.images
    return Conversation(messages, images, chat.is_open, chat.variables, chat.special_tokens)


def _request(chat: Conversation, seed: int) -> GenerationRequest:
    texts = ["".join(part.get("text", "") for part in one["content"]) for one in chat.messages]
    return GenerationRequest(texts[0], next(iter(chat.images), None), seed, texts[1] if chat.is_open else "")
