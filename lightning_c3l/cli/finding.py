"""What `doctor` says of one thing."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What one thing is like, and what to do about it.

    Attributes:
        name: of the thing.
        state: ok; note, if something does not work that not everybody needs; or problem.
        text: what it is like.
        todo: what to do, empty if there is nothing.
    """

    name: str
    state: Literal["ok", "note", "problem"]
    text: str
    todo: str = ""
