"""`bench-scale`: rounds and data sets of millions of candidates, without a model."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console

from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.options import parse_options
from lightning_c3l.runs.atomic import write_json_atomic


@dataclass(frozen=True)
class BenchScaleOptions:
    """Measure what storing, gathering, selecting and exporting candidates costs; a stub generates and scores.

    Example:
        c3l bench-scale --candidates 4000 8000 16000

    Attributes:
        out: folder for bench-scale.json.
        candidates: two or more sizes to measure at, ascending, in candidates; an image has 20.
        target: size to extrapolate to on the line through the two largest, in candidates.
    """

    out: Path = Path("runs/bench")
    candidates: list[int] = field(default_factory=lambda: [100_000, 300_000, 1_000_000])
    target: int = 20_000_000

    def __post_init__(self) -> None:
        """Check the sizes."""
        sizes = self.candidates
        if len(sizes) < 2 or sizes[0] < 400 or sizes != sorted(set(sizes)):
            given = " ".join(map(str, sizes))
            raise ValueError(f"--candidates must be two or more sizes from 400 on, ascending, not {given}")


def main(arguments: list[str]) -> int:
    """Run the verb `bench-scale`; returns its exit status."""
    options = parse_options("bench-scale", BenchScaleOptions, arguments)
    # late: these imports take seconds, which a wrong option need not wait for
    from experiments.scale.run import run_scale, scale_table

    quieten()
    # after each stage, so that a run that is cut short leaves what it measured
    keep = partial(write_json_atomic, options.out / "bench-scale.json")
    found = run_scale(options.candidates, options.target, keep)
    Console().print(scale_table(found))
    print(f"figures in {options.out / 'bench-scale.json'}")
    return 0
