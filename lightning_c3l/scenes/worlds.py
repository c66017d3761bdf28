"""The worlds of drawn scenes: what image sources, records, truth and benchmarks need of each."""

from collections.abc import Mapping
from random import Random
from typing import Any, Protocol

from PIL.Image import Image

from lightning_c3l.records import Verdict
from lightning_c3l.rounds.truth import Asked, Statement
from lightning_c3l.scenes.benchmark_items import Choice, OpenQuestion
from lightning_c3l.scenes.corners import Corners
from lightning_c3l.scenes.park.park import Park


class RoundWorld(Protocol):
    """What rounds need of a world of drawn scenes; one of the user's own has this and no more."""

    @property
    def prefix(self) -> str:
        """First part of the keys of its images."""

    def sample(self, seed: int, follow: float) -> Any:
        """Draw a scene, each of whose attributes obeys the prior with probability `follow`."""

    def draw(self, scene: Any) -> Image:
        """The image of a scene; the same for the same scene."""

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


class World(RoundWorld, Protocol):
    """An embedded world, with its base LVLM and benchmarks; a scene has `things`, by their names."""

    @property
    def base(self) -> str:
        """Its shipped base LVLM."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of its questions."""

    @property
    def templates(self) -> str:
        """Shipped instructions that ask for them."""

    @property
    def longest(self) -> int:
        """Tokens of its longest text."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the things that a scene can have."""

    @property
    def choice_kinds(self) -> Mapping[str, str]:
        """Kinds of questions with four different options, each with the wider one that MMBench would put it in."""

    def expects(self, scene: Any, name: str) -> bool:
        """Whether the prior puts a thing into this scene, be it there or not."""

    def presence_question(self, name: str, random: Random) -> str:
        """A question whether a thing is there."""

    def choice(self, scene: Any, kind: str, random: Random) -> Choice:
        """A question of one of the `choice_kinds`."""

    def open_questions(self, image: str, scene: Any, number: int) -> list[OpenQuestion]:
        """One question of each of LLaVA-Bench's kinds about the image of this number; the world's own take turns."""

    def describe(self, scene: Any) -> str:
        """A true description of all that has a name."""

    def described(self, text: str) -> Any | None:
        """The scene of such a description, but for what has no name; None if the text is none."""

    def truthfulness(self, scene: Any, question: str, answer: str) -> float:
        """|stated and true| / |stated or true| over the statements of an answer and of the true one, 0 to 1."""


WORLDS: dict[str, World] = {"corners": Corners(), "park": Park()}
