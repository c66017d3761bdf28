"""`scenes-benchmarks`: the embedded worlds' own benchmarks, in the formats of the real ones."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal

from lightning_c3l.cli.options import parse_options
from lightning_c3l.distributed.program import command_line
from lightning_c3l.scenes.benchmark_scenes import benchmark_scenes
from lightning_c3l.scenes.benchmarks import IMAGES, write_benchmarks
from lightning_c3l.scenes.worlds import WORLDS, World

# rates answers by the known truth
JUDGE = "SceneJudge"


@dataclass(frozen=True)
class ScenesBenchmarksOptions:
    """Write yes/no, four-choice and open questions about scenes that are in no training set, with their images.

    Example:
        c3l scenes-benchmarks runs/scenes-benchmarks --scenes 50

    Attributes:
        out: folder to write the files to.
        world: embedded world: `corners`, or `park`, whose answers are long.
        scenes: number of images.
        seed: seed of the images; sets of different seeds have no image in common.
        follow: probability with which each attribute of a scene obeys the prior, from 0 to 0.9.
    """

    out: Path
    world: Literal["corners", "park"] = "corners"
    scenes: int = 200
    seed: int = 0
    follow: float = 0.2


def main(arguments: list[str]) -> int:
    """Run the verb `scenes-benchmarks`; returns its exit status."""
    options = parse_options("scenes-benchmarks", ScenesBenchmarksOptions, arguments)
    world = WORLDS[options.world]
    write_benchmarks(options.out, benchmark_scenes(world, options.scenes, options.follow, options.seed))
    choices = len(world.choice_kinds)
    print(
        f"{options.out}: {options.scenes} images in {IMAGES}/; for each of them 4 questions in each split of pope/, "
        f"{choices} in seed/, {choices} in 4 rotations in mmbench/ and 3 in llava_w/. To ask the shipped LVLM:"
    )
    for line in commands(options.out, world):
        print(f"  {line}")
    return 0


def commands(out: Path, world: World) -> list[str]:
    """Return a shell command per benchmark that tests the shipped LVLM, which needs options before the question."""
    folder, longest = quote(str(out)), max(64, world.longest)
    options = {
        "pope": "pope --data.prompt '{question}'",
        "seed": "seed/scenes_seed.json --data.prompt '{question}'",
        "mmbench": "mmbench/scenes_mmbench.tsv --data.prompt $'{options}\\n{question}'",
        "llava_w": f"llava_w --data.prompt '{{question}}' --model.max_new_tokens {longest} --model.judge {JUDGE}",
    }
    return [
        f"{command_line('test')} --config experiments/eval/{name}.yaml --config experiments/hardware/cpu.yaml "
        f"--model.lvlm.path {world.base} --data.images {folder}/{IMAGES} --data.questions {folder}/{rest}"
        for name, rest in options.items()
    ]
