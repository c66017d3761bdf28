"""Randomly initialised LLaVA checkpoints of known shapes, texts of known lengths, and plain scoring and generation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    BatchFeature,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaProcessor,
)

from experiments.speed.shapes import Shape
from lightning_c3l.functional.i2c import token_kl
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.hub_layout import save_model
from lightning_c3l.lvlm.huggingface.loading import Precision
from lightning_c3l.scenes.checkpoint import CHAT_TEMPLATE, build_tokenizer, image_processor

# each is one token of the tokenizer below
_WORDS = tuple(f"{first}{second}{third}" for first in "bdfgkl" for second in "aeiou" for third in "mnrst")


def build_llava(
    folder: Path, shape: Shape, dtype: Precision, device: torch.device, lora: LoRA | None = None
) -> HuggingFaceLVLM:
    """Write a checkpoint of this shape, unless there is one, and load it as a user would load theirs.

    Args:
        folder: of the checkpoint.
        shape: sizes of the model.
        dtype: of the weights.
        device: where the weights are initialised and used.
        lora: adapter to add.
    """
    if not (folder / "config.json").is_file():
        _save_random_llava(folder, shape, getattr(torch, dtype), device)
    lvlm = HuggingFaceLVLM(str(folder), lora=lora, dtype=dtype, keep_reference=False)
    lvlm.network.to(device)
    return lvlm


def _save_random_llava(folder: Path, shape: Shape, dtype: torch.dtype, device: torch.device) -> None:
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
        save_model(AutoModelForImageTextToText.from_config(config, dtype=dtype), folder)
    LlavaProcessor(
        image_processor=image_processor(shape.side),
        tokenizer=tokenizer,
        patch_size=shape.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)


@dataclass(frozen=True)
class Workload:
    """What is scored, generated for and trained on.

    Attributes:
        images: one for each group.
        pairs: (question, answer) of each candidate of each group.
    """

    images: list[Image.Image]
    pairs: list[list[tuple[str, str]]]

    @classmethod
    def random(cls, shape: Shape, *key: int) -> "Workload":
        """Random images, questions and answers of the shape's sizes; other ones for another key."""
        draw, size = stream("bench", *key), (shape.side, shape.side)

        def text(tokens: int) -> str:
            return " ".join(draw.choices(_WORDS, k=tokens))

        images = [Image.frombytes("RGB", size, draw.randbytes(3 * shape.side**2)) for _ in range(shape.groups)]
        groups = [[(text(shape.question), text(shape.answer)) for _ in range(shape.candidates)] for _ in images]
        return cls(images, groups)

    @property
    def count(self) -> int:
        """Pairs in all."""
        return sum(map(len, self.pairs))


class PlainLVLM:
    """A transformers model and its processor, used as their documentation does: the baseline of all comparisons.

    Args:
        lvlm: owns the model and the processor.
    """

    def __init__(self, lvlm: HuggingFaceLVLM) -> None:
        self.model: Any = lvlm.model
        self.processor = lvlm.processor
        self.processor.tokenizer.padding_side = "left"

    def render(self, question: str, answer: str | None = None, with_image: bool = True) -> str:
        """A conversation by the chat template; without an answer it is open for one."""
        content = [{"type": "image"}] * with_image + [{"type": "text", "text": question}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if answer is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        text = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer is None)
        return str(text)

    def inputs(self, images: list[Image.Image] | None, texts: list[str]) -> BatchFeature:
        """Left-padded model inputs of rendered conversations."""
        return self.processor(text=texts, images=images, return_tensors="pt", padding=True).to(self.model.device)

    @torch.no_grad()
    def score(self, load: Workload, batch_size: int, head_on_answers: bool) -> list[Tensor]:
        """Log-probabilities with and without image, and their divergence, by plain batched forwards.

        Args:
            load: what is scored.
            batch_size: pairs in a forward.
            head_on_answers: run the head on the answers' positions only; by default it runs on all of them.

        Returns:
            Of each pair, `[3, n]` for the n tokens of its answer.
        """
        rows = [(image, pair) for image, own in zip(load.images, load.pairs, strict=True) for pair in own]
        out = list[Tensor]()
        for start in range(0, len(rows), batch_size):
            images, pairs = map(list, zip(*rows[start : start + batch_size], strict=True))
            tokenize = self.processor.tokenizer
            lengths = [len(tokenize(f" {answer}", add_special_tokens=False)["input_ids"]) for _, answer in pairs]
            # the answer's tokens, its end of turn, and the position before them
            kept = max(lengths) + 2 if head_on_answers else 0
            with_image = self.inputs(images, [self.render(*pair) for pair in pairs])
            blind_texts = [self.render(question, answer, with_image=False) for question, answer in pairs]
            without_image = self.inputs(None, blind_texts)
            logits = [self.model(**x, logits_to_keep=kept, use_cache=False).logits for x in (with_image, without_image)]
            for row, n in enumerate(lengths):
                answer = with_image["input_ids"][row, -n - 1 : -1, None]
                p, q = (of_all[row, -n - 2 : -2].float() for of_all in logits)
                chosen = [of_answer.log_softmax(-1).gather(-1, answer)[:, 0] for of_answer in (p, q)]
                out.append(torch.stack([*chosen, token_kl(p, q)]))
        return out

    @torch.no_grad()
    def generate(self, images: list[Image.Image] | None, texts: list[str], new_tokens: int, **options: Any) -> Any:
        """Sample exactly `new_tokens` tokens for each text; `options` go to `generate` of transformers."""
        lengths = {"min_new_tokens": new_tokens, "max_new_tokens": new_tokens}
        return self.model.generate(**self.inputs(images, texts), **lengths, do_sample=True, **options)

    def score_by_generate(self, load: Workload, new_tokens: int) -> None:
        """Call `generate` twice for each group, with and without image, and let it return its scores."""
        for image, pairs in zip(load.images, load.pairs, strict=True):
            for images in ([image] * len(pairs), None):
                texts = [self.render(question, with_image=images is not None) for question, _ in pairs]
                self.generate(images, texts, new_tokens, output_scores=True, return_dict_in_generate=True)
