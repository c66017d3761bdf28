"""Conversations about one image, what the LVLM is tuned on and what the instruction-tuning formats hold."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Turn:
    """One message, without any image placeholder."""

    role: Role
    text: str


@dataclass(frozen=True)
class Conversation:
    """Turns about one image, or about none.

    Attributes:
        id: the record's own name, or its number in the file where it has none.
        image: path relative to the data set's image root, None for a text-only conversation.
        turns: an optional system turn, then user and assistant in turn, ending with the assistant. The image
            belongs before the first user turn.
    """

    id: str
    image: str | None
    turns: tuple[Turn, ...]
