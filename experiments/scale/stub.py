"""An LVLM and images that cost nothing, so that time and memory are those of the rounds themselves.

Texts look like those of an LVLM: questions and answers of five to forty words, some said twice, some that cannot be
parsed. Scores depend on the pair alone.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import torch
from PIL import Image
from torch import nn

from lightning_c3l.lvlm.base import AnswerTokens, Chats, GenerationRequest, Images, Sampling
from lightning_c3l.records import Group, RejectedImage
from lightning_c3l.rounds.generation import GenerationConfig

# candidates of an image: the five kinds of the shipped instructions, four texts each
PER_IMAGE = 20
# sizes at which the stub itself takes little of the time
_BATCH, _SCORE_BATCH, _TOKENS = 256, 64, 48
# shares of the texts that cannot be parsed, and that repeat a question of the same prompt
_REJECTED, _REPEATED = 0.03, 0.15
_OPENINGS = ("What is", "Where is", "Which color has", "Why is", "Is there", "How many people see")
_VOCABULARY = (
    "a the left right small large red blue wooden tall old street table window man woman dog horse bicycle umbrella "
    "standing holding looking behind under beside between near with and of two three light shadow corner sky water"
)
_WORDS = _VOCABULARY.split()


class StubLVLM:
    """Generates texts from the seeds of the requests, and scores them from a checksum.

    Args:
        stop_after: contexts after which scoring raises `Stopped`, as if the process were killed there; None for never.
    """

    name = fingerprint = "stub"
    chat_template = ""
    dtype = torch.float32

    def __init__(self, stop_after: int | None = None) -> None:
        self.network: nn.Module = nn.Linear(1, 1)
        self._left = stop_after

    def reference(self) -> AbstractContextManager[None]:
        """The starting model, which is the same."""
        return nullcontext()

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int | None = None,
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[str]], object] = lambda *_: None,
    ) -> list[list[str]]:
        """Texts by the seed of each request."""
        out = list[list[str]]()
        for index, request in enumerate(requests):
            out.append(_texts(Random(request.seed), sampling.samples))
            finished(index, out[-1])
            progress(sampling.samples)
        return out

    def score(
        self, images: Sequence[Images], chats: Sequence[Chats], shuffled: Sequence[Images] | None = None
    ) -> AnswerTokens:
        """Log-probabilities by the checksum of each pair; a token for each word."""
        if self._left is not None:
            if self._left <= 0:
                raise Stopped
            self._left -= len(images)
        pairs = [[turn.text for turn in chat] for own in chats for chat in own]
        noise = torch.tensor([crc32("\n".join(one).encode()) / 2**32 for one in pairs])[:, None]
        lengths = torch.tensor([min(len(one[-1].split()), _TOKENS) for one in pairs])[:, None]
        steps = torch.arange(int(lengths.max()))[None]
        blind = -1 - noise.expand(-1, steps.shape[1])
        seen = blind + 2 * noise - 0.5 + 0.1 * torch.sin(steps + noise)
        return AnswerTokens(seen, blind, (seen - blind).abs(), steps < lengths, blind + 0.1 * noise)

    def unsupported_images(self, images: Sequence[Any]) -> list[str]:
        """All images are supported."""
        return [""] * len(images)

    def cache_image_features(self) -> AbstractContextManager[None]:
        """There is nothing to cache."""
        return nullcontext()


class Stopped(Exception):
    """The stub was told to stop here."""


def _texts(draw: Random, samples: int) -> list[str]:
    texts = list[str]()
    for _ in range(samples):
        if texts and draw.random() < _REPEATED:
            texts.append(draw.choice(texts))
        elif draw.random() < _REJECTED:
            texts.append("The image shows " + " ".join(draw.choices(_WORDS, k=12)))
        else:
            question = f"{draw.choice(_OPENINGS)} {' '.join(draw.choices(_WORDS, k=draw.randint(4, 10)))}?"
            answer = " ".join(draw.choices(_WORDS, k=draw.randint(1, 40)))
            texts.append(f"Question: {question}\nAnswer: {draw.choice(('', 'Yes, ', 'No, '))}{answer}.")
    return texts


class StubImages:
    """A source of images that are all the same pixel, kept in files that nobody opens.

    Args:
        count: number of images.
    """

    root = Path("images")

    def __init__(self, count: int) -> None:
        self._keys = [f"train/{number:012d}.jpg" for number in range(count)]
        self._pixel = Image.new("RGB", (1, 1))

    def keys(self) -> Sequence[str]:
        """Names as those of COCO."""
        return self._keys

    def read(self, key: str) -> Image.Image:
        """The pixel."""
        return self._pixel


class StubData:
    """A datamodule that gives images and takes the groups of a round as a training would, and does nothing else.

    Args:
        images: number of images.
    """

    truth = None
    longest_side = None

    def __init__(self, images: int) -> None:
        self._source = StubImages(images)
        self._digests = {key: f"{number:016x}" for number, key in enumerate(self._source.keys())}
        self.rejected = list[RejectedImage]()
        self.round, self.groups = -1, 0

    def source(self, name: str) -> tuple[StubImages, list[str]]:
        """All images, whatever they are for."""
        return self._source, list(self._source.keys())

    def digests(self, name: str) -> dict[str, str]:
        """A digest for each image."""
        return self._digests

    def set_round(self, number: int, groups: Sequence[Group], descriptions: Mapping[str, str]) -> None:
        """Count the groups."""
        self.round, self.groups = number, len(groups)


class StubModule(nn.Module):
    """A module whose LVLM is a stub.

    Args:
        stop_after: as in `StubLVLM`.
    """

    seed, generator = 0, None
    # no answers of the prior: a round is measured in texts
    loss = SimpleNamespace(anchor="prompt", contrasts=False)

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.lvlm = StubLVLM(stop_after)
        self.writing = GenerationConfig(batch_size=_BATCH, score_batch_size=_SCORE_BATCH)

    def inference_context(self) -> AbstractContextManager[None]:
        """Nothing is needed."""
        return nullcontext()
