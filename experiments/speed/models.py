"""Randomly initialised LLaVA checkpoints of known shapes, and texts of known lengths for them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

from experiments.speed.shapes import Shape
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.loading import Precision
from lightning_c3l.scenes.checkpoint import CHAT_TEMPLATE, build_tokenizer, image_processor

# each is one token of the tokenizer below
_WORDS = tuple(f"{first}{second}{third}" for first in "bdfgkl" for second in "aeiou" for third in "mnrst")


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
    random = stream("bench")
    size = (shape.side, shape.side)
    images = [Image.frombytes("RGB", size, random.randbytes(3 * shape.side**2)) for _ in range(shape.groups)]

    def text(tokens: int) -> str:
        return " ".join(random.choices(_WORDS, k=tokens))

    pairs = [[(text(shape.question), text(shape.answer)) for _ in range(shape.candidates)] for _ in range(shape.groups)]
    return Work(images, pairs)
