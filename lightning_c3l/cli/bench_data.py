"""`bench-data`: speed and memory of data in and out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.options import parse_options
from lightning_c3l.runs.atomic import write_json_atomic


@dataclass(frozen=True)
class BenchDataOptions:
    """Measure decoding beside Pillow alone, `convert` from JSONL to Parquet, and the memory of `score`.

    Example:
        c3l bench-data --images 100 --records 20000

    Attributes:
        out: folder for bench-data.json.
        images: number of images to decode.
        records: number of records to score and to convert.
        repeats: number of repeats of each comparison.
    """

    out: Path = Path("runs/bench")
    images: int = 300
    records: int = 200_000
    repeats: int = 5

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("images", "records", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, not {getattr(self, name)}")


def main(arguments: list[str]) -> int:
    """Run the verb `bench-data`; returns its exit status."""
    options = parse_options("bench-data", BenchDataOptions, arguments)
    # late: these imports take seconds, which a wrong option need not wait for
    from experiments.speed.data import bench_set_scoring, conversion_rate
    from experiments.speed.loading import bench_loading
    from experiments.speed.timing import spread, spread_table

    quieten()
    found: dict[str, Any] = {
        "loading": bench_loading(options.images, repeats=options.repeats),
        "converting": spread([conversion_rate(options.records) for _ in range(options.repeats)]),
        "scoring": bench_set_scoring(options.records),
    }
    write_json_atomic(options.out / "bench-data.json", found)
    table = spread_table(found, ",.4g")
    for name, value in found["scoring"].items():
        table.add_row(f"scoring.{name}", f"{value:,.4g}", "", "")
    Console().print(table)
    print(f"figures in {options.out / 'bench-data.json'}")
    return 0
