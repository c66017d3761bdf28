"""`scenes-benchmarks`: the embedded world's own benchmarks, in the formats of the real ones."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from lightning_c3l.cli.options import parse_options
from lightning_c3l.scenes.benchmark_scenes import benchmark_scenes
from lightning_c3l.scenes.benchmarks import IMAGES, write_benchmarks

# rates answers by the known truth
JUDGE = "SceneJudge"


@dataclass(frozen=True)
class ScenesBenchmarksOptions:
    """Write yes/no, four-choice and open questions about scenes that are in no training set, with their images.

    Attributes:
        out: folder of the files.
        scenes: number of images.
        seed: sets of different seeds have no image in common.
        follow: how usual the scenes are, 0 to 0.9.
    """

    out: Path
    scenes: int = 200
    seed: int = 0
    follow: float = 0.2


def main(arguments: list[str]) -> int:
    """Run the verb `scenes-benchmarks`; returns its exit status."""
    options = parse_options("scenes-benchmarks", ScenesBenchmarksOptions, arguments)
    write_benchmarks(options.out, benchmark_scenes(options.scenes, options.follow, options.seed))
    print(
        f"{options.out}: {options.scenes} images in {IMAGES}/; for each of them 4 questions in each split of pope/, "
        "3 in seed/, 3 in 4 rotations in mmbench/ and 3 in llava_w/. To ask the shipped LVLM:"
    )
    for line in commands(options.out):
        print(f"  {line}")
    return 0


def commands(out: Path) -> list[str]:
    """Return a shell command per benchmark that tests the shipped LVLM, which needs options before the question."""
    folder = quote(str(out))
    options = {
        "pope": "pope --data.prompt '{question}'",
        "seed": "seed/scenes_seed.json --data.prompt '{question}'",
        "mmbench": "mmbench/scenes_mmbench.tsv --data.prompt $'{options}\\n{question}'",
        "llava_w": f"llava_w --data.prompt '{{question}}' --model.max_new_tokens 64 --model.judge {JUDGE}",
    }
    return [
        f"python -m lightning_c3l test --config experiments/eval/{name}.yaml --config experiments/hardware/cpu.yaml "
        f"--model.lvlm.path shipped:scenes --data.images {folder}/{IMAGES} --data.questions {folder}/{rest}"
        for name, rest in options.items()
    ]
