"""Randomly initialised LLaVA checkpoints of known shapes, and texts of known lengths for them."""

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import torch
from PIL import Image
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.loading import Precision
from lightning_c3l.scenes.checkpoint import CHAT_TEMPLATE, build_tokenizer, image_processor

# each is one token of the tokenizer below
_WORDS = tuple(f"{first}{second}{third}" for first in "bdfgkl" for second in "aeiou" for third in "mnrst")


@dataclass(frozen=True)
class Shape:
    """A LLaVA and what it is asked.

    Attributes:
        width: hidden size of the decoder.
        layers: its layers.
        heads: its attention heads.
        feed_forward: its feed-forward width.
        vision_width: hidden size of the CLIP tower.
        vision_layers: its layers.
        vision_heads: its attention heads.
        vocabulary: rows of the embedding and of the head.
        side: pixels of the square picture.
        patch: pixels of a patch.
        groups: pictures that are worked on at once.
        candidates: texts for each (N).
        question: tokens of a question.
        answer: tokens of an answer.
    """

    width: int = 512
    layers: int = 8
    heads: int = 8
    feed_forward: int = 1376
    vision_width: int = 256
    vision_layers: int = 4
    vision_heads: int = 4
    vocabulary: int = 32_000
    side: int = 336
    patch: int = 14
    groups: int = 2
    candidates: int = 5
    question: int = 20
    answer: int = 40


SHAPES = {
    # about 64 million parameters
    "small": Shape(),
    # the sizes of llava-hf/llava-1.5-7b-hf: 576 image tokens, 7 thousand million parameters
    "llava-7b": Shape(4096, 32, 32, 11008, 1024, 24, 16, 32_064, groups=8),
    # small, with the vocabularies of LLaMA and Qwen2
    "small-32000": Shape(vocabulary=32_000),
    "small-152000": Shape(vocabulary=152_000),
    # for tests of the bench itself
    "tiny": Shape(64, 2, 2, 128, 32, 1, 2, 400, 28, 14, 2, 3, 4, 6),
}


@dataclass(frozen=True)
class Work:
    """What is scored, written for and trained on.

    Attributes:
        images: one picture for each group.
        pairs: (question, answer) of each candidate of each group.
    """

    images: list[Image.Image]
    pairs: list[list[tuple[str, str]]]

    @property
    def count(self) -> int:
        """Pairs in all."""
        return sum(map(len, self.pairs))


def build(
    folder: Path, shape: Shape, dtype: Precision, device: torch.device, lora: LoRA | None = None
) -> HuggingFaceLVLM:
    """Write a checkpoint of this shape and open it as a user's would be; weights go straight to the device."""
    if not (folder / "config.json").is_file():
        _write(folder, shape, getattr(torch, dtype), device)
    lvlm = HuggingFaceLVLM(str(folder), lora=lora, dtype=dtype, keep_reference=False)
    lvlm.network.to(device)
    return lvlm


def _write(folder: Path, shape: Shape, dtype: torch.dtype, device: torch.device) -> None:
    tokenizer = build_tokenizer([f"USER: {word} ASSISTANT: {word}" for word in _WORDS for _ in range(50)], 800)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=shape.vision_width,
            intermediate_size=4 * shape.vision_width,
            num_hidden_layers=shape.vision_layers,
            num_attention_heads=shape.vision_heads,
            image_size=shape.side,
            patch_size=shape.patch,
            projection_dim=shape.vision_width,
        ),
        text_config=LlamaConfig(
            vocab_size=max(shape.vocabulary, len(tokenizer)),
            hidden_size=shape.width,
            intermediate_size=shape.feed_forward,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            max_position_embeddings=8192,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(shape.side // shape.patch) ** 2,
    )
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            model = LlavaForConditionalGeneration(config)
        finally:
            torch.set_default_dtype(before)
    model.save_pretrained(folder)
    LlavaProcessor(
        image_processor=image_processor(shape.side),
        tokenizer=tokenizer,
        patch_size=shape.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)


def work(shape: Shape) -> Work:
    """Random pictures, questions and answers of the shape's sizes."""
    random = Random("bench")
    size = (shape.side, shape.side)
    images = [Image.frombytes("RGB", size, random.randbytes(3 * shape.side**2)) for _ in range(shape.groups)]

    def text(tokens: int) -> str:
        return " ".join(random.choices(_WORDS, k=tokens))

    pairs = [[(text(shape.question), text(shape.answer)) for _ in range(shape.candidates)] for _ in range(shape.groups)]
    return Work(images, pairs)


def variants(shape: Shape) -> dict[str, dict[str, Shape]]:
    """The shape with one size changed: how each way of scoring grows."""
    return {
        "candidates": {str(n): replace(shape, candidates=n, groups=1) for n in (1, 2, 5, 8, 16)},
        "answer tokens": {str(n): replace(shape, answer=n, groups=1) for n in (10, 40, 160)},
        "image tokens": {
            str((side // shape.patch) ** 2): replace(shape, side=side, groups=1)
            for side in (12 * shape.patch, 24 * shape.patch, 36 * shape.patch)
        },
    }
