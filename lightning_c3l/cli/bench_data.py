"""`bench-data`: speed and memory of data in and out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from lightning_c3l.cli.options import parse_options
from lightning_c3l.runs.atomic import write_json_atomic

if TYPE_CHECKING:
    from experiments.speed.timing import Spread


@dataclass(frozen=True)
class BenchDataOptions:
    """Measure decoding beside Pillow alone, `convert` from JSONL to Parquet, and the memory of `score`.

    Attributes:
        out: folder for bench-data.json.
        images: images to decode.
        records: records to score and to convert.
        repeats: rounds of each comparison.
    """

    out: Path = Path("runs/bench")
    images: int = 300
    records: int = 200_000
    repeats: int = 5

    def __post_init__(self) -> None:
        """Refuse numbers that count nothing."""
        for name in ("images", "records", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, not {getattr(self, name)}")


def main(arguments: list[str]) -> int:
    """Run the verb `bench-data`; returns its exit status."""
    options = parse_options("bench-data", BenchDataOptions, arguments)
    # late: it takes seconds to import, which a wrong option need not wait for
    from experiments.speed.data import bench_set_scoring, conversion_rate, loading_rate
    from experiments.speed.timing import Spread, as_plain, spreads

    found: dict[str, Any] = {
        "loading": loading_rate(options.images, repeats=options.repeats),
        "converting": Spread.of(
            [conversion_rate(options.records)["records_per_second"] for _ in range(options.repeats)]
        ),
        "scoring": bench_set_scoring(options.records),
    }
    write_json_atomic(options.out / "bench-data.json", as_plain(found))
    Console().print(_table(spreads(found), found["scoring"]))
    print(f"figures in {options.out / 'bench-data.json'}")
    return 0


def _table(measured: Sequence[tuple[str, "Spread"]], scoring: Mapping[str, float]) -> Table:
    table = Table("figure", "median", "min", "max")
    for name, spread in measured:
        table.add_row(name, *(f"{value:,.4g}" for value in asdict(spread).values()))
    for name, value in scoring.items():
        table.add_row(f"scoring.{name}", f"{value:,.4g}", "", "")
    return table
