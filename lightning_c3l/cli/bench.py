"""`bench`: speed and memory of scoring, generation and training beside plain implementations."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console

from experiments.speed.shapes import SHAPES
from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.options import one_of, parse_options
from lightning_c3l.runs.atomic import write_json_atomic


@dataclass(frozen=True)
class BenchOptions:
    """Measure scoring, generation and training of a randomly initialised LLaVA beside plain implementations.

    Example:
        c3l bench --precision float32 --repeats 3

    Attributes:
        out: folder for bench.json.
        shape: sizes of the model and of the texts.
        device: device to measure on.
        precision: precisions of the weights, one or both.
        repeats: number of repeats of each comparison.
        no_growth: do not measure how the time of scoring grows with its sizes.
        no_memory: do not measure peak memory.
        checkpoint: folder or Hub name of an LVLM; compare the ways in which this one can be run instead.
    """

    out: Path = Path("runs/bench")
    shape: str = one_of([*SHAPES], "small")
    device: Literal["cpu", "cuda"] = "cpu"
    precision: list[Literal["float32", "bfloat16"]] = field(default_factory=lambda: ["float32", "bfloat16"])
    repeats: int = 5
    no_growth: bool = False
    no_memory: bool = False
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        """Check the number of repeats."""
        if self.repeats < 1:
            raise ValueError(f"--repeats must be at least 1, not {self.repeats}")


def main(arguments: list[str]) -> int:
    """Run the verb `bench`; returns its exit status."""
    options = parse_options("bench", BenchOptions, arguments)
    # late: these imports take seconds, which a wrong option need not wait for
    from experiments.speed.run import run_bench
    from experiments.speed.timing import spread_table

    quieten()
    found = run_bench(options)
    write_json_atomic(options.out / "bench.json", found)
    Console().print(spread_table(found, ".3g"))
    print(f"figures in {options.out / 'bench.json'}")
    return 0
