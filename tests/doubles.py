"""An LVLM of tables, for tests of what is built on one."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch

from lightning_c3l.lvlm.base import AnswerTokens, Sampling


class TableLVLM:
    """Writes "<prompt>/<image>/<k>" and scores from tables of token probabilities; pictures are their own keys.

    Args:
        seen: probabilities of an answer's tokens by (image, answer).
        blind: the same without image, by answer.
    """

    fingerprint = "table"
    network: Any = None
    hidden_size = 1

    def __init__(self, seen: dict[tuple[str, str], list[float]], blind: dict[str, list[float]]) -> None:
        self.seen, self.blind = seen, blind
        self.batches: list[list[str]] = []
        self.seeds: list[int] = []

    def generate(
        self, images: Sequence[Any], prompts: Sequence[str], sampling: Sampling, seed: int, begun: Any = None
    ) -> list[list[str]]:
        """`samples` texts each."""
        self.batches.append(list(images))
        self.seeds.append(seed)
        texts = [[f"Question: {p}/{i}/{k}?\nAnswer: {k}" for k in range(sampling.samples)]
                 for i, p in zip(images, prompts, strict=True)]  # fmt: skip
        if begun is None:
            return texts
        return [[text.removeprefix(start).strip() for text in own] for own, start in zip(texts, begun, strict=True)]

    def score(self, images: Sequence[Any], pairs: Any, shuffled: Sequence[Any] | None = None) -> AnswerTokens:
        """Rows right-padded with nonsense, which must not count."""
        self.batches.append(list(images))
        answers = [(n, answer) for n, own in enumerate(pairs) for _, answer in own]
        width = max(len(self.blind[answer]) for _, answer in answers)

        def rows(table: list[list[float]]) -> torch.Tensor:
            logs = [[math.log(p) if p > 0 else -math.inf for p in row] for row in table]
            return torch.tensor([row + [9.0] * (width - len(row)) for row in logs])

        mask = torch.tensor([[k < len(self.blind[a]) for k in range(width)] for _, a in answers])
        return AnswerTokens(
            rows([self.seen[images[n], a] for n, a in answers]),
            rows([self.blind[a] for _, a in answers]),
            torch.where(mask, 0.25, math.nan),
            mask,
            None if shuffled is None else rows([self.seen[shuffled[n], a] for n, a in answers]),
        )

    def reference(self) -> Any:
        """Itself."""
        return nullcontext()
