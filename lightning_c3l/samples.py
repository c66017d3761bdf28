"""What the datamodule hands to the module's `encode`."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL.Image import Image

from lightning_c3l.conversations import Conversation

# a VLIT record with its picture, or with several in the order of their places
TuningSample = tuple[Conversation, Image | Sequence[Image] | None]


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
