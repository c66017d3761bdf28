"""An LVLM of tables, for tests of what is built on one."""

import math
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from lightning_c3l.lvlm.base import AnswerTokens, Sampling


class TableLVLM:
    """Writes "<prompt>/<image>/<k>" and scores from tables of token probabilities; pictures are their own keys.

    Args:
        seen: probabilities of an answer's tokens by (image, answer).
        blind: the same without image, by answer.
        fits: most prompts or images that its memory takes at once.
        refused: pictures that it cannot look at.
    """

    fingerprint = "table"
    network: Any = None
    hidden_size = 1

    def __init__(
        self,
        seen: dict[tuple[str, str], list[float]],
        blind: dict[str, list[float]],
        fits: int | None = None,
        refused: Container[str] = (),
    ) -> None:
        self.seen, self.blind, self.fits, self.refused = seen, blind, fits, refused
        self.batches: list[list[str]] = []
        self.sizes: list[int] = []
        self.seeds: list[int] = []
        self.remembered: list[bool] = []
        self._blocks = 0

    def generate(
        self,
        images: Sequence[Any],
        prompts: Sequence[str],
        sampling: Sampling,
        seed: int | Sequence[int],
        begun: Any = None,
        batch_size: int | None = None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> list[list[str]]:
        """`samples` texts each."""
        size = len(prompts) if batch_size is None else batch_size
        if self.fits is not None and min(size, len(prompts)) > self.fits:
            progress(1)  # what was finished before memory ran out does not count
            raise torch.OutOfMemoryError
        self._note(images, size)
        self.seeds += [seed + n for n in range(len(prompts))] if isinstance(seed, int) else seed
        texts = [[f"Question: {p}/{i}/{k}?\nAnswer: {k}" for k in range(sampling.samples)]
                 for i, p in zip(images, prompts, strict=True)]  # fmt: skip
        for own in texts:
            progress(len(own))
        if begun is None:
            return texts
        return [[text.removeprefix(start).strip() for text in own] for own, start in zip(texts, begun, strict=True)]

    def score(self, images: Sequence[Any], pairs: Any, shuffled: Sequence[Any] | None = None) -> AnswerTokens:
        """Rows right-padded with nonsense, which must not count."""
        if self.fits is not None and len(images) > self.fits:
            raise torch.OutOfMemoryError
        self._note(images, len(images))
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

    def refusals(self, images: Sequence[Any]) -> list[str]:
        """Of those that are refused."""
        return ["too narrow" if image in self.refused else "" for image in images]

    def _note(self, images: Sequence[Any], size: int) -> None:
        self.batches.append(list(images))
        self.sizes.append(size)
        self.remembered.append(self._blocks > 0)

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Notes that it was asked to."""
        self._blocks += 1
        try:
            yield
        finally:
            self._blocks -= 1

    def reference(self) -> Any:
        """Itself."""
        return nullcontext()
