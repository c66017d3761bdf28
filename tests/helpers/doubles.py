"""An LVLM of tables, for tests of what is built on one."""

import math
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from lightning_c3l.lvlm.base import AnswerTokens, ConversationError, GenerationRequest, Sampling


class TableLVLM:
    """Writes "<prompt>/<image>/<k>" and scores from tables of token probabilities; pictures are their own keys.

    Args:
        seen: probabilities of an answer's tokens by (image, answer).
        blind: the same without image, by answer.
        fits: most prompts or images that its memory takes at once.
        refused: pictures that it cannot look at.
        too_long: what a user says where its context ends.
    """

    name = fingerprint = "table"
    dtype, chat_template = None, ""
    network: Any = None

    def __init__(
        self,
        seen: dict[tuple[str, str], list[float]],
        blind: dict[str, list[float]],
        fits: int | None = None,
        refused: Container[str] = (),
        too_long: Collection[str] = (),
    ) -> None:
        self.seen, self.blind, self.fits, self.refused = seen, blind, fits, refused
        self.too_long = set(too_long)
        self.batches: list[list[str]] = []
        self.sizes: list[int] = []
        self.seeds: list[int] = []
        self.remembered: list[bool] = []
        self._blocks = 0

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int | None = None,
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[str]], object] = lambda _, __: None,
    ) -> list[list[str]]:
        """`samples` texts each."""
        size = len(requests) if batch_size is None else batch_size
        if self.fits is not None and min(size, len(requests)) > self.fits:
            progress(1)  # what was finished before memory ran out does not count
            raise torch.OutOfMemoryError
        images: list[Any] = [one.image for one in requests]
        self._note(images, size)
        self.seeds += [one.seed for one in requests]
        texts = [
            [f"Question: {one.prompt}/{one.image}/{k}?\nAnswer: {k}" for k in range(sampling.samples)]
            for one in requests
        ]
        for own in texts:
            progress(len(own))
        texts = [
            [text.removeprefix(one.answer_prefix).strip() for text in own]
            for own, one in zip(texts, requests, strict=True)
        ]
        for number, own in enumerate(texts):
            finished(number, own)
        return texts

    def score(self, images: Sequence[Any], chats: Any, shuffled: Sequence[Any] | None = None) -> AnswerTokens:
        """Rows right-padded with nonsense, which must not count; several pictures are one key, put together."""
        if self.fits is not None and len(images) > self.fits:
            raise torch.OutOfMemoryError
        keys = ["+".join(own) for own in images]
        self._note(keys, len(images))
        said = [turn.text for own in chats for chat in own for turn in chat if turn.role == "user"]
        if set(said) & self.too_long:
            raise ConversationError(f"too long: {said}")
        answers = [(n, t.text) for n, own in enumerate(chats) for chat in own for t in chat if t.role == "assistant"]
        width = max(len(self.blind[answer]) for _, answer in answers)

        def rows(table: list[list[float]]) -> torch.Tensor:
            logs = [[math.log(p) if p > 0 else -math.inf for p in row] for row in table]
            return torch.tensor([row + [9.0] * (width - len(row)) for row in logs])

        mask = torch.tensor([[k < len(self.blind[a]) for k in range(width)] for _, a in answers])
        return AnswerTokens(
            rows([self.seen[keys[n], a] for n, a in answers]),
            rows([self.blind[a] for _, a in answers]),
            torch.where(mask, 0.25, math.nan),
            mask,
            None if shuffled is None else rows([self.seen["+".join(shuffled[n]), a] for n, a in answers]),
        )

    def answer_texts(self, chats: Any) -> list[list[str]]:
        """A character a token, the last token the rest."""
        answers = [turn.text for own in chats for chat in own for turn in chat if turn.role == "assistant"]
        counts = [len(self.blind[answer]) - 1 for answer in answers]
        return [[*answer[:count], answer[count:]] for answer, count in zip(answers, counts, strict=True)]

    def unsupported_images(self, images: Sequence[Any]) -> list[str]:
        """Of those that are refused."""
        return ["too narrow" if image in self.refused else "" for image in images]

    def _note(self, images: Sequence[Any], size: int) -> None:
        self.batches.append(list(images))
        self.sizes.append(size)
        self.remembered.append(self._blocks > 0)

    @contextmanager
    def cache_image_features(self) -> Iterator[None]:
        """Notes that it was asked to."""
        self._blocks += 1
        try:
            yield
        finally:
            self._blocks -= 1
