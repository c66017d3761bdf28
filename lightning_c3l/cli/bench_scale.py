"""`bench-scale`: rounds and data sets of millions of candidates, without a model."""

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.options import parse_options
from lightning_c3l.runs.atomic import write_json_atomic


@dataclass(frozen=True)
class BenchScaleOptions:
    """Measure what storing, gathering, selecting and exporting candidates costs; a stub generates and scores.

    Attributes:
        out: folder for bench-scale.json.
        candidates: two sizes to measure at, the smaller first, in candidates; an image has 20.
        target: size to extrapolate to, in candidates.
    """

    out: Path = Path("runs/bench")
    candidates: list[int] = field(default_factory=lambda: [100_000, 1_000_000])
    target: int = 20_000_000

    def __post_init__(self) -> None:
        """Check the sizes."""
        if len(self.candidates) != 2 or not 400 <= self.candidates[0] < self.candidates[1]:
            given = " ".join(map(str, self.candidates))
            raise ValueError(f"--candidates must be two sizes from 400 on, the smaller first, not {given}")


def main(arguments: list[str]) -> int:
    """Run the verb `bench-scale`; returns its exit status."""
    options = parse_options("bench-scale", BenchScaleOptions, arguments)
    # late: these imports take seconds, which a wrong option need not wait for
    from experiments.scale.run import run_scale, scale_table

    quieten()
    found = run_scale(options.candidates, options.target)
    write_json_atomic(options.out / "bench-scale.json", found)
    Console().print(scale_table(found))
    print(f"figures in {options.out / 'bench-scale.json'}")
    return 0
