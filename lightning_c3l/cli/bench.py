"""`bench`: speed and memory of scoring, writing and training beside the plain ways."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from experiments.speed.shapes import SHAPES
from lightning_c3l.cli.options import one_of, parse_options
from lightning_c3l.runs.atomic import atomic_path


@dataclass(frozen=True)
class BenchOptions:
    """Measure scoring, generation and training of a randomly initialised LLaVA beside plain implementations.

    Attributes:
        out: folder for bench.json.
        shape: sizes of the model and of the texts.
        device: cpu or cuda.
        precision: of the weights, one or both.
        repeats: rounds of each comparison.
        no_growth: leave out how scoring grows with its sizes.
        no_memory: leave out peak memory.
    """

    out: Path = Path("runs/bench")
    shape: str = one_of([*SHAPES], "small")
    device: Literal["cpu", "cuda"] = "cpu"
    precision: list[Literal["float32", "bfloat16"]] = field(default_factory=lambda: ["float32", "bfloat16"])
    repeats: int = 5
    no_growth: bool = False
    no_memory: bool = False

    def __post_init__(self) -> None:
        """Refuse a number that counts nothing."""
        if self.repeats < 1:
            raise ValueError(f"--repeats must be at least 1, not {self.repeats}")


def main(arguments: list[str]) -> int:
    """Run the verb `bench`; returns its exit status."""
    chosen = parse_options("bench", BenchOptions, arguments)
    # late: it takes seconds to import, which a wrong option need not wait for
    from experiments.speed.run import Options, run_bench
    from experiments.speed.timing import as_plain, spreads

    options = Options(chosen.shape, chosen.device, chosen.repeats, not chosen.no_growth, not chosen.no_memory)
    found = run_bench(options, tuple(chosen.precision))
    chosen.out.mkdir(parents=True, exist_ok=True)
    with atomic_path(chosen.out / "bench.json") as path:
        path.write_text(json.dumps(as_plain(found), indent=2) + "\n", encoding="utf-8")
    table = Table("figure", "median", "min", "max")
    for name, spread in spreads(found):
        table.add_row(name, *(f"{value:.3g}" for value in asdict(spread).values()))
    Console().print(table)
    print(f"figures in {chosen.out / 'bench.json'}")
    return 0
