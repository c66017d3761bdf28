"""What the datamodule hands to the module's `encode`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

from PIL.Image import Image

from lightning_c3l.records import Conversation

# a VLIT record with its picture, or with several in the order of their places
TuningSample = tuple[Conversation, Image | Sequence[Image] | None]


@runtime_checkable
class TrainingData(Protocol):
    """A datamodule whose batches the module encodes."""

    def collate_with(self, encode: Callable[[list[Any]], Any], seed: int) -> None:
        """Make batches with this function, in an order that depends on this seed; called before training."""


@dataclass(frozen=True)
class GroupSample:
    """What one group is trained on.

    Attributes:
        image: its picture.
        instruction: the prompt that asked for the texts.
        texts: the written texts, the positive first.
        question: the positive's question.
        answer: the positive's answer.
        description: the model's own description of the picture, for `anchor: description`.
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
    """A record of an instruction-tuning set that is to be scored.

    Attributes:
        number: its place in the set, from 1.
        answers: places of the assistant's messages among its messages.
        conversation: None where it cannot be scored.
        images: keys of its pictures.
        reason: why it cannot be scored.
    """

    number: int
    answers: tuple[int, ...]
    conversation: Conversation | None
    images: tuple[str, ...] = ()
    reason: str = ""

    def without(self, unusable: Mapping[str, str]) -> "ScoringItem":
        """The same record; where one of these pictures (with reasons) is its own, it cannot be scored."""
        for place, key in enumerate(self.images, start=1):
            if self.conversation is not None and key in unusable:
                return replace(self, conversation=None, reason=f"image {place}: {unusable[key]}")
        return self


@dataclass(frozen=True)
class QuestionItem:
    """A benchmark's question that is to be asked.

    Attributes:
        number: its place among the questions, from 1.
        prompt: what the user says.
        question: what the user says where the options' likelihoods are wanted.
        options: texts of the options in the order of their letters.
        image: key of its picture; None where it is asked without one.
        reason: why it cannot be asked.
    """

    number: int
    prompt: str
    question: str
    options: tuple[str, ...] = ()
    image: str | None = None
    reason: str = ""

    def without(self, unusable: Mapping[str, str]) -> "QuestionItem":
        """The same question; where its picture is one of these (with reasons), it cannot be asked."""
        if not self.reason and self.image is not None and self.image in unusable:
            return replace(self, reason=f"image: {unusable[self.image]}")
        return self


class Illustrated(Protocol):
    """What is about pictures that may turn out not to be usable."""

    def without(self, unusable: Mapping[str, str]) -> Self:
        """The same, marked where it needs one of these pictures, which are given with reasons."""


_I = TypeVar("_I", bound=Illustrated)


class Chunk(Generic[_I]):
    """Neighbours in a set, with their pictures. A plain object: Lightning walks into dataclasses and lists.

    Args:
        number: its place among the chunks.
        items: what it holds.
        pictures: by key.
    """

    def __init__(self, number: int, items: Sequence[_I], pictures: dict[str, Image]) -> None:
        self.number, self.items, self.pictures = number, items, pictures


ScoringChunk = Chunk[ScoringItem]
QuestionChunk = Chunk[QuestionItem]
