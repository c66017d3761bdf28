"""Randomly initialised LLaVA checkpoints of known shapes, what they are given, and the plain ways of using them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

from experiments.speed.shapes import Shape
from lightning_c3l.functional.i2c import token_kl
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.loading import Precision
from lightning_c3l.scenes.checkpoint import CHAT_TEMPLATE, build_tokenizer, image_processor

# each is one token of the tokenizer below
_WORDS = tuple(f"{first}{second}{third}" for first in "bdfgkl" for second in "aeiou" for third in "mnrst")


@dataclass(frozen=True)
class Work:
    """What is scored, generated for and trained on.

    Attributes:
        images: one for each group.
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
    """Random images, questions and answers of the shape's sizes."""
    random = stream("bench")
    size = (shape.side, shape.side)
    images = [Image.frombytes("RGB", size, random.randbytes(3 * shape.side**2)) for _ in range(shape.groups)]

    def text(tokens: int) -> str:
        return " ".join(random.choices(_WORDS, k=tokens))

    pairs = [[(text(shape.question), text(shape.answer)) for _ in range(shape.candidates)] for _ in range(shape.groups)]
    return Work(images, pairs)


class PlainLVLM:
    """A transformers model and its processor, used as their documentation does.

    Args:
        lvlm: where model and processor come from.
    """

    def __init__(self, lvlm: HuggingFaceLVLM) -> None:
        self.model: Any = lvlm.model
        self.processor = lvlm.processor
        self.processor.tokenizer.padding_side = "left"

    def inputs(self, images: list[Image.Image] | None, texts: list[str]) -> dict[str, Tensor]:
        """Left-padded model inputs of whole conversations."""
        if images is None:
            out = self.processor.tokenizer(texts, return_tensors="pt", padding=True)
        else:
            out = self.processor(text=texts, images=images, return_tensors="pt", padding=True)
        return {name: value.to(self.model.device) for name, value in out.items()}

    def rows(self, work: Work) -> list[tuple[Image.Image, str, str, int]]:
        """Image, conversation with and without its image, and tokens of the answer, for each pair."""
        out = list[tuple[Image.Image, str, str, int]]()
        for image, pairs in zip(work.images, work.pairs, strict=True):
            for question, answer in pairs:
                tokens = len(self.processor.tokenizer(f" {answer}", add_special_tokens=False)["input_ids"])
                texts = [self._render(question, answer, with_image) for with_image in (True, False)]
                out.append((image, *texts, tokens))  # type: ignore[arg-type]
        return out

    def _render(self, question: str, answer: str | None, image: bool) -> str:
        content = [{"type": "image"}] * image + [{"type": "text", "text": question}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if answer is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        text = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer is None)
        return str(text)

    @torch.no_grad()
    def score(self, work: Work, batch_size: int, keep: bool) -> list[Tensor]:
        """Log p, log q and divergence of each pair's answer by plain batched forwards.

        Args:
            work: what is scored.
            batch_size: pairs at once.
            keep: let the head see the answers' positions only, instead of all as it does unless told.
        """
        rows = self.rows(work)
        out = list[Tensor]()
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            # the answer's tokens, its end of turn, and the position before them
            last = max(n for *_, n in batch) + 2 if keep else 0
            seen = self.inputs([image for image, *_ in batch], [text for _, text, _, _ in batch])
            blind = self.inputs(None, [text for _, _, text, _ in batch])
            p, q = (self.model(**x, logits_to_keep=last, use_cache=False).logits for x in (seen, blind))
            for number, (*_, n) in enumerate(batch):
                out.append(_statistics(p[number], q[number], seen["input_ids"][number], n))
        return out

    @torch.no_grad()
    def score_by_generate(self, work: Work, new_tokens: int) -> None:
        """Two `generate` calls for each group, with the image and without, which keep their scores."""
        for image, pairs in zip(work.images, work.pairs, strict=True):
            for images in ([image] * len(pairs), None):
                texts = [self._render(question, None, images is not None) for question, _ in pairs]
                self.generate(images, texts, new_tokens, output_scores=True, return_dict_in_generate=True)

    @torch.no_grad()
    def generate(self, images: list[Image.Image] | None, texts: list[str], new_tokens: int, **options: Any) -> Any:
        """So many tokens for each text, no fewer."""
        return self.model.generate(
            **self.inputs(images, texts),
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
            do_sample=True,
            **options,
        )

    def prompts(self, work: Work) -> Iterator[str]:
        """The first question of each group, open for an answer."""
        for pairs in work.pairs:
            yield self._render(pairs[0][0], None, True)


def _statistics(p: Tensor, q: Tensor, ids: Tensor, n: int) -> Tensor:
    """Log p, log q and divergence of the n tokens before the end of turn, [3, n]."""
    answer = ids[-n - 1 : -1]
    p, q = p[-n - 2 : -2].float(), q[-n - 2 : -2].float()
    chosen = [table.log_softmax(-1).gather(-1, answer[:, None])[:, 0] for table in (p, q)]
    return torch.stack([*chosen, token_kl(p, q)])
