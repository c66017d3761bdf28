"""Sizes of the experiment."""

from dataclasses import dataclass
from typing import Literal

from lightning_c3l.scenes.worlds import WORLDS


@dataclass(frozen=True)
class DetectorPlan:
    """What is generated and scored.

    The same plan resumes what is there.

    Attributes:
        world: embedded world: `corners` or `park`.
        base: starting model, a shipped one or a folder; that of the world unless given.
        images: number of images.
        samples: number of candidates of each image and kind of instruction.
        temperature: sampling temperature of the candidates.
        follow: probability with which each attribute of an image obeys the prior.
        seed: seed of images and samples.
    """

    world: Literal["corners", "park"] = "park"
    base: str | None = None
    images: int = 200
    samples: int = 6
    temperature: float = 0.7
    follow: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the sizes; a score compares an image with another one, so there must be two."""
        if self.images < 2:
            raise ValueError(f"--images must be at least 2, not {self.images}")
        if self.samples < 1:
            raise ValueError(f"--samples must be at least 1, not {self.samples}")
        if not self.temperature > 0:
            raise ValueError(f"--temperature must be above 0, not {self.temperature}")

    @property
    def model(self) -> str:
        """The starting model."""
        return self.base or WORLDS[self.world].base
