"""Conversations about images, what the LVLM is scored and tuned on and what the instruction-tuning formats hold."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Turn:
    """One message, without any image placeholder.

    Attributes:
        role: who speaks.
        text: what is said.
        images: places in the text, counted in characters and ascending, at which an image of the conversation stands.
    """

    role: Role
    text: str
    images: tuple[int, ...] = ()


@dataclass(frozen=True)
class Conversation:
    """Turns about one image, about several, or about none.

    Attributes:
        id: the record's own name, or its number in the file where it has none.
        image: path relative to the data set's image root; several in the order of their places; None for a text-only
            conversation.
        turns: an optional system turn, then user and assistant in turn, ending with the assistant. Images for which no
            turn has a place belong before the first user turn.
        weight: how much its loss counts, 1 in the mean of its set.
    """

    id: str
    image: str | tuple[str, ...] | None
    turns: tuple[Turn, ...]
    weight: float = 1.0

    @property
    def images(self) -> tuple[str, ...]:
        """Paths of all images."""
        if self.image is None:
            return ()
        return (self.image,) if isinstance(self.image, str) else self.image


def exchange(question: str, answer: str) -> tuple[Turn, Turn]:
    """A question and its answer as turns."""
    return Turn("user", question), Turn("assistant", answer)
