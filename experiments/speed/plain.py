"""The plain ways of scoring and writing, straight through transformers: what the shared forms are measured against."""

from collections.abc import Iterator
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from experiments.speed.models import Work
from lightning_c3l.functional.i2c import token_kl
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM


class PlainLVLM:
    """A transformers model and its processor, used as their documentation does.

    Args:
        lvlm: where model and processor come from.
    """

    def __init__(self, lvlm: HuggingFaceLVLM) -> None:
        self.model: Any = lvlm.model
        self.processor = lvlm.processor
        self.processor.tokenizer.padding_side = "left"

    def inputs(self, images: list[Image] | None, texts: list[str]) -> dict[str, Tensor]:
        """Left-padded model inputs of whole conversations."""
        if images is None:
            out = self.processor.tokenizer(texts, return_tensors="pt", padding=True)
        else:
            out = self.processor(text=texts, images=images, return_tensors="pt", padding=True)
        return {name: value.to(self.model.device) for name, value in out.items()}

    def rows(self, work: Work) -> list[tuple[Image, str, str, int]]:
        """Image, conversation with and without its image, and tokens of the answer, for each pair."""
        out = list[tuple[Image, str, str, int]]()
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
    def generate(self, images: list[Image] | None, texts: list[str], new_tokens: int, **options: Any) -> Any:
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
