"""`sweep-local`: the trials of a W&B sweep file without W&B."""

from dataclasses import dataclass
from pathlib import Path

from lightning_c3l.cli.options import parse_options
from lightning_c3l.report.terminal import console
from lightning_c3l.runs.atomic import write_text_atomic


@dataclass(frozen=True)
class SweepLocalOptions:
    """Walk a sweep file of W&B on this machine, without W&B; the same command goes on with a walk that was stopped.

    Example:
        c3l sweep-local experiments/sweeps/readings_grid.yaml --count 2

    Attributes:
        source: sweep file of W&B.
        name: name of the folder, `<root>/sweeps/<name>`; that of the file unless given.
        root: folder of all runs.
        count: number of trials; the whole grid, or `run_cap` of the file, unless given.
        seed: seed of the values that are drawn.
        workers: trials at the same time; they share the cores, and the GPUs that `CUDA_VISIBLE_DEVICES` lists.
    """

    source: Path
    name: str | None = None
    root: Path = Path("runs")
    count: int | None = None
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, number in (("count", self.count), ("workers", self.workers)):
            if number is not None and number < 1:
                raise ValueError(f"--{name}: must be at least 1, not {number}")


def main(arguments: list[str]) -> int:
    """Run the verb `sweep-local`; returns its exit status: 1 if a trial has failed."""
    options = parse_options("sweep-local", SweepLocalOptions, arguments)
    # late: these imports take seconds, which a wrong option need not wait for
    from experiments.sweeps.page import render
    from experiments.sweeps.results import results_table, write_results
    from experiments.sweeps.sweep_file import read_sweep
    from experiments.sweeps.walk import Walk, WalkPlan
    from lightning_c3l.runs import lock

    sweep = read_sweep(options.source)
    if sweep.method == "bayes":
        print("the method bayes needs W&B's server: parameters are drawn at random here")
    if sweep.stops_early:
        print("trials are stopped early by W&B's server alone: here all of them run to their end")
    plan = WalkPlan(options.name or options.source.stem, options.root, options.count, options.seed, options.workers)

    def write() -> None:
        write_results(walk)
        write_text_atomic(plan.folder / "report.html", render(walk))

    try:
        walk = Walk(sweep, plan, write)
        walk.run()
        write()
    finally:
        lock.release()
    out = console()
    out.print(results_table(walk, out.width))
    failed = [trial for trial in walk.trials if trial.status == "failed"]
    for trial in failed:
        print(f"trial {trial.name} failed with status {trial.exit}: {trial.reason}")
    print(f"a page in {plan.folder / 'report.html'}, figures in {plan.folder / 'results.json'} and results.csv")
    return 1 if failed else 0
