"""A tiny LLaVA for tests, and plain forwards of it that share no code with what they check."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from PIL.Image import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from lightning_c3l.lvlm.base import GenerationRequest, Sampling, TextGenerator
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.fast_path import FastPath
from lightning_c3l.lvlm.huggingface.forward import Decoder
from lightning_c3l.lvlm.huggingface.images import ImageEncoder, ImageTokens
from lightning_c3l.lvlm.huggingface.placeholders import find_placeholder
from lightning_c3l.lvlm.huggingface.template_options import template_options
from lightning_c3l.lvlm.huggingface.templates import ChatTemplate
from lightning_c3l.scenes.checkpoint import Sizes, build_checkpoint
from lightning_c3l.scenes.curriculum import corpus
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.world import sample_scene

SIZES = Sizes(
    image=48, patch=16, vision_width=32, vision_layers=1, width=48, layers=2, heads=2, vocabulary=400, context=256
)
SMALL_LORA = LoRA(rank=2, alpha=4)
# what its processor writes for an image: (48 / 16) squared tokens
IMAGE = ImageTokens("<image>", (9,))


def build_tiny(folder: Path) -> Path:
    """A random LLaVA whose logits depend on what it reads: fresh weights scaled up tenfold."""
    build_checkpoint(folder, corpus(), SIZES, seed=0)
    model = LlavaForConditionalGeneration.from_pretrained(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10.0)
    model.save_pretrained(folder)
    return folder


def build_lookalike(checkpoint: Path, folder: Path) -> Path:
    """Another base of the same name, shapes and file sizes: one matrix of the decoder was trained further."""
    shutil.copytree(checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in sorted(weights) if name.endswith("q_proj.weight") and "language_model" in name)
    weights[name] = weights[name] * 1.5
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def load_tiny(folder: Path, lora: LoRA | None = SMALL_LORA, awake: bool = True, **options: Any) -> HuggingFaceLVLM:
    """The tiny LLaVA, in which adapters change the output where it is `awake`."""
    lvlm = HuggingFaceLVLM(str(folder), lora=lora, **options)
    _ = lvlm.inference_path  # its first use runs the model for a check, which tests that count passes would see
    if lora is not None and awake:
        awaken_adapter(lvlm)
    return lvlm


def decoder_of(lvlm: HuggingFaceLVLM) -> Decoder:
    """The decoder of an LVLM that runs on the fast path."""
    path = lvlm.inference_path.build(lvlm.model, lvlm.encoder)
    assert isinstance(path, FastPath)
    return path.decoder


def awaken_adapter(lvlm: HuggingFaceLVLM) -> None:
    """Fresh adapters end in zeros and begin as the process' seed says; these do neither."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in lvlm.network.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))


def encoder_of(
    processor: Any,
    name: str = "tiny",
    context: int | None = None,
    options: dict[str, Any] | None = None,
    ends: int | list[int] | None = None,
) -> ChatEncoder:
    """Chat encoder of a processor alone, without a model."""
    config = SimpleNamespace(image_token_id=getattr(processor, "image_token_id", None))
    values = template_options(processor, name, options)
    placeholder = find_placeholder(processor, name, config.image_token_id, values)
    images = ImageEncoder(config, processor, name, placeholder.text)
    template = ChatTemplate(processor, name, values, placeholder, thinks=options is not None)
    return ChatEncoder(images, template, context, ends)


def generate_texts(
    lvlm: TextGenerator,
    images: Sequence[Image | None],
    prompts: Sequence[str],
    sampling: Sampling,
    seed: int | Sequence[int] = 0,
    prefixes: Sequence[str] | None = None,
    **options: Any,
) -> list[list[str]]:
    """Completions of each (image, prompt); one seed is counted up over the prompts."""
    seeds = [seed + index for index in range(len(prompts))] if isinstance(seed, int) else seed
    columns = prompts, images, seeds, prefixes or [""] * len(prompts)
    return lvlm.generate([GenerationRequest(*one) for one in zip(*columns, strict=True)], sampling, **options)


def pictures(count: int, first: int = 0) -> list[Image]:
    """Scenes that differ."""
    return [draw(sample_scene(seed, 0.3)) for seed in range(first, first + count)]


def messages(turns: Sequence[tuple[str, str]], image: Image | None = None) -> list[dict[str, Any]]:
    """Turns (role, text) as transformers takes them, the image before the first user text."""
    out = list[dict[str, Any]]()
    waiting = image is not None
    for role, text in turns:
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if waiting and role == "user":
            content, waiting = [{"type": "image", "image": image}, *content], False
        out.append({"role": role, "content": content})
    return out


def model_inputs(processor: Any, turns: Sequence[tuple[str, str]], image: Image | None) -> dict[str, Tensor]:
    """Unpadded model inputs [1, L] of one conversation, made by the processor alone."""
    text = processor.apply_chat_template(
        messages(turns, image), tokenize=False, add_generation_prompt=turns[-1][0] == "user"
    )
    if image is None:
        return dict(processor.tokenizer(text, return_tensors="pt"))
    return dict(processor(text=[text], images=[image], return_tensors="pt"))


@dataclass(frozen=True)
class Plain:
    """One question and its answer, run alone: tokens [L], logits [L, V], last hidden layer [L, H].

    The answer's tokens lie in [start, end); its end of turn follows at `end`, and nothing after that.
    """

    ids: Tensor
    logits: Tensor
    hidden: Tensor
    start: int
    end: int
    loss: Tensor

    def logp(self, closed: bool = False) -> Tensor:
        """Log-probabilities of the answer's tokens, with the end of turn if `closed`."""
        stop = self.end + closed
        table = self.logits[self.start - 1 : stop - 1].log_softmax(-1)
        return table[torch.arange(len(table)), self.ids[self.start : stop]]


def plain(lvlm: HuggingFaceLVLM, question: str, answer: str, image: Image | None) -> Plain:
    """`model(**inputs)` on one unpadded sequence, the loss of its answer and end of turn by transformers itself."""
    inputs = model_inputs(lvlm.processor, [("user", question), ("assistant", answer)], image)
    ids = inputs["input_ids"][0]
    tokenizer, end = lvlm.processor.tokenizer, len(ids) - 1
    assert int(ids[end]) == tokenizer.eos_token_id
    # the last token from which on the text is the answer: a blank that the template wrote before it stays outside
    start = max(n for n in range(end) if tokenizer.decode(ids[n:end]).strip() == answer)
    labels = ids.clone()
    labels[:start] = -100
    out = lvlm.model(**inputs, labels=labels[None], output_hidden_states=True)
    return Plain(ids, out.logits[0], out.hidden_states[-1][0], start, end, out.loss)
