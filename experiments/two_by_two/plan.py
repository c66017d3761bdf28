"""Sizes of the experiment, and names of its sets and models."""

from dataclasses import dataclass, fields
from typing import Literal

from lightning_c3l.scenes.worlds import WORLDS

# sets of generated pairs: who wrote them and how they were selected
STARTING, TUNED = "starting", "tuned"
WRITERS = (STARTING, TUNED)
GRID = ("starting-random", "starting-top", "tuned-random", "tuned-top")
# `tuned-top-even` is `tuned-top` with yes as often as no; no claim rests on true pairs, which are the upper limit
TRUE, EVEN = "true-pairs", "tuned-top-even"
SETS = (*GRID, EVEN, TRUE)
# the starting model as it is
NONE = "no-tuning"
MODELS = (NONE, *SETS)


@dataclass(frozen=True)
class ExperimentPlan:
    """World and sizes of the experiment.

    Attributes:
        world: embedded world: `corners`, or `park`, whose answers are long.
        rounds: number of rounds of C3L that make the tuned writer.
        round_images: number of images of each round.
        fresh_images: number of images that both writers write about.
        size: number of pairs of each set.
        epochs: number of passes of each tuning over its set.
        scenes: number of images of the benchmarks.
    """

    world: Literal["corners", "park"] = "park"
    rounds: int = 2
    round_images: int = 200
    fresh_images: int = 250
    size: int = 640
    epochs: int = 3
    scenes: int = 150

    def __post_init__(self) -> None:
        """Check the sizes; a score compares an image with another one, so there must be two."""
        for name in (one.name for one in fields(self) if one.name != "world"):
            least = 2 if name.endswith("images") else 1
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name.replace('_', '-')} must be at least {least}, not {value}")

    @property
    def base(self) -> str:
        """The starting model."""
        return WORLDS[self.world].base


def parse_seeds(text: str) -> list[int]:
    """Seeds such as `0-4` or `0,2,5-7`.

    Raises:
        ValueError: there are none, or one occurs twice.
    """
    seeds = list[int]()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"seeds: {text!r} is not a list of seeds; write them as 0-4 or 0,2,5")
        seeds += range(int(first), int(last if dash else first) + 1)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds: {text!r} contains no seed, or one twice")
    return seeds
