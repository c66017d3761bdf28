"""`two-by-two`: the value of data from the starting or the tuned writer, selected by S(I2C) or at random."""

from dataclasses import dataclass, field
from pathlib import Path

from experiments.two_by_two.plan import ExperimentPlan, parse_seeds
from lightning_c3l.cli.options import parse_options
from lightning_c3l.report.terminal import console
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic


@dataclass(frozen=True)
class TwoByTwoOptions:
    """Tune an embedded world's starting model on each set and evaluate all models; resumes a run that was stopped.

    Example:
        c3l two-by-two --seeds 0-1 --workers 2

    Attributes:
        out: run folder.
        seeds: seeds to run, such as `0-4` or `0,2`.
        workers: processes at the same time; they share the cores.
        plan: world and sizes of the experiment.
    """

    out: Path = Path("runs/two-by-two")
    seeds: str = "0-4"
    workers: int = 2
    plan: ExperimentPlan = field(default_factory=ExperimentPlan)

    def __post_init__(self) -> None:
        """Check the number."""
        if self.workers < 1:
            raise ValueError(f"--workers: must be at least 1, not {self.workers}")


def main(arguments: list[str]) -> int:
    """Run the verb `two-by-two`; returns its exit status."""
    options = parse_options("two-by-two", TwoByTwoOptions, arguments)
    seeds = parse_seeds(options.seeds)
    # late: these imports take seconds, which a wrong option need not wait for
    from experiments.two_by_two.jobs import run_stages
    from experiments.two_by_two.page import render
    from experiments.two_by_two.results import compute_results, summary, tables
    from experiments.two_by_two.run import Experiment
    from lightning_c3l.runs import lock

    try:
        experiment = Experiment.begin(options.out, options.plan)
        run_stages(experiment, seeds, options.workers)
        results = compute_results(experiment, seeds)
    finally:
        lock.release()
    write_json_atomic(options.out / "results.json", results)
    write_text_atomic(options.out / "report.html", render(results))
    out = console()
    for table in tables(results):
        out.print(table)
    out.print(summary(results), markup=False, highlight=False)
    print(f"figures in {options.out / 'results.json'}, a page in {options.out / 'report.html'}")
    return 0
