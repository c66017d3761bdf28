"""`bench`: speed and memory of scoring, writing and training beside the plain ways."""

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.speed.shapes import SHAPES
from lightning_c3l.cli.options import VerbParser
from lightning_c3l.runs.atomic import atomic_path


def main(arguments: list[str]) -> int:
    """Measure scoring, writing and training on a randomly initialised LLaVA beside the plain ways of doing them."""
    parser = VerbParser("bench", main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder for bench.json")
    parser.add_argument("--shape", choices=[*SHAPES], default="small", help="sizes of the model and of the texts")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each comparison")
    parser.add_argument("--no-growth", action="store_true", help="leave out how scoring grows with its sizes")
    parser.add_argument("--no-memory", action="store_true", help="leave out peak memory")
    chosen = parser.parse_args(arguments)
    if chosen.repeats < 1:
        raise ValueError(f"--repeats must be at least 1, not {chosen.repeats}")
    # late: it takes seconds to import, which a wrong option need not wait for
    from experiments.speed.run import Options, run_bench
    from experiments.speed.timing import plain, spreads

    options = Options(chosen.shape, chosen.device, chosen.repeats, not chosen.no_growth, not chosen.no_memory)
    found = run_bench(options, tuple(chosen.precision))
    chosen.out.mkdir(parents=True, exist_ok=True)
    with atomic_path(chosen.out / "bench.json") as path:
        path.write_text(json.dumps(plain(found), indent=2) + "\n", encoding="utf-8")
    table = Table("figure", "median", "min", "max")
    for name, spread in spreads(found):
        table.add_row(name, *(f"{value:.3g}" for value in asdict(spread).values()))
    Console().print(table)
    print(f"figures in {chosen.out / 'bench.json'}")
    return 0
