"""The worlds of drawn scenes: what image sources, records and truth need of each."""

from random import Random
from typing import Any, Protocol

from PIL.Image import Image

from lightning_c3l.records import Verdict
from lightning_c3l.rounds.truth import Asked, Statement
from lightning_c3l.scenes.corners import Corners
from lightning_c3l.scenes.park.park import Park


class World(Protocol):
    """A world of drawn scenes."""

    @property
    def prefix(self) -> str:
        """First part of the keys of its images."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of its questions."""

    @property
    def templates(self) -> str:
        """Shipped instructions that ask for them."""

    @property
    def longest(self) -> int:
        """Tokens of its longest text."""

    def sample(self, seed: int, follow: float) -> Any:
        """Draw a scene, each of whose attributes obeys the prior with probability `follow`."""

    def draw(self, scene: Any) -> Image:
        """The image of a scene."""

    def shows_hidden(self, scene: Any) -> bool:
        """Whether a scene has an attribute that training images hide."""

    def judge(self, scene: Any, question: str, answer: str) -> Verdict:
        """Judge a question-answer pair."""

    def statements(self, scene: Any, question: str, answer: str) -> list[Statement]:
        """What the answer states."""

    def questions(self, image: str, scene: Any, random: Random) -> list[Asked]:
        """One question of each kind that the scene can answer."""

    def resolve(self, image: str, scene: Any, question: str) -> Asked | None:
        """A question with its true answer; None if it has none."""


WORLDS: dict[str, World] = {"corners": Corners(), "park": Park()}
