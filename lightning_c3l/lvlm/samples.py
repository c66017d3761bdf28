"""Samples and chunks that datamodules hand to modules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

from PIL.Image import Image

from lightning_c3l.records import Conversation

# a VLIT record with its image, or with several in the order of their slots
TuningSample = tuple[Conversation, Image | Sequence[Image] | None]


@runtime_checkable
class TrainingData(Protocol):
    """A datamodule whose batches the module encodes."""

    def collate_with(self, encode: Callable[[list[Any]], Any], seed: int) -> None:
        """Make batches with this function, in an order that depends on this seed; called before training."""


@dataclass(frozen=True)
class GroupSample:
    """Training sample of one group.

    Attributes:
        image: the group's image.
        instruction: prompt of the candidates.
        texts: candidates as generated, the positive first.
        question: the positive's question.
        answer: the positive's answer.
        description: the model's own description of the image, for `anchor: description`.
        weight: w_i of the loss.
    """

    image: Image
    instruction: str
    texts: tuple[str, ...]
    question: str
    answer: str
    description: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class ScoringItem:
    """A record of an instruction-tuning set to score.

    Attributes:
        number: position in the set, from 1.
        answers: indices of the assistant's messages among all messages.
        conversation: None if it cannot be scored.
        images: keys of its images.
        reason: why it cannot be scored.
    """

    number: int
    answers: tuple[int, ...]
    conversation: Conversation | None
    images: tuple[str, ...] = ()
    reason: str = ""

    def without(self, unusable: Mapping[str, str]) -> "ScoringItem":
        """The record, marked as one that cannot be scored if it has one of these images, given with reasons."""
        for slot, key in enumerate(self.images, start=1):
            if self.conversation is not None and key in unusable:
                return replace(self, conversation=None, reason=f"image {slot}: {unusable[key]}")
        return self


@dataclass(frozen=True)
class QuestionItem:
    """A question of a benchmark to answer.

    Attributes:
        number: position among the questions, from 1.
        prompt: user turn for a generated answer.
        question: user turn for the likelihoods of the options.
        options: texts of the options, in the order of their letters.
        image: key of its image; None for a question without image.
        reason: why it cannot be answered.
    """

    number: int
    prompt: str
    question: str
    options: tuple[str, ...] = ()
    image: str | None = None
    reason: str = ""

    def without(self, unusable: Mapping[str, str]) -> "QuestionItem":
        """The question, marked as one that cannot be answered if it has one of these images, given with reasons."""
        if not self.reason and self.image is not None and self.image in unusable:
            return replace(self, reason=f"image: {unusable[self.image]}")
        return self


class Illustrated(Protocol):
    """An item with images, which may turn out to be unusable."""

    def without(self, unusable: Mapping[str, str]) -> Self:
        """The item, marked as unusable if it has one of these images, given with reasons."""


_I = TypeVar("_I", bound=Illustrated)


class Chunk(Generic[_I]):
    """Consecutive items of a set, with their images. A plain object: Lightning would walk into dataclasses and lists.

    Args:
        number: index among the chunks.
        items: of the chunk.
        images: by key.
    """

    def __init__(self, number: int, items: Sequence[_I], images: dict[str, Image]) -> None:
        self.number, self.items, self.images = number, items, images


ScoringChunk = Chunk[ScoringItem]
QuestionChunk = Chunk[QuestionItem]
