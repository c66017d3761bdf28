"""`two-by-two`: what data is worth that the starting or the tuned writer wrote, chosen by S(I2C) or at random."""

import logging
from dataclasses import fields
from pathlib import Path

from experiments.two_by_two.plan import Plan, parse_seeds
from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.options import VerbParser
from lightning_c3l.report.terminal import console
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic

_HELP = {
    "rounds": "rounds of C3L for the tuned writer",
    "round_images": "pictures of each round",
    "fresh_images": "pictures that both writers write about",
    "size": "pairs of each set",
    "epochs": "passes of each tuning over its set",
    "scenes": "pictures of the benchmarks",
}


def main(arguments: list[str]) -> int:
    """Tune the embedded world's starting model on each set and measure all of them; goes on where it was."""
    parser = VerbParser("two-by-two", main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/two-by-two"), help="run folder")
    parser.add_argument("--seeds", default="0-4", help="such as 0-4 or 0,2")
    for field in fields(Plan):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(name, type=int, default=field.default, metavar="N", help=_HELP[field.name])
    options = parser.parse_args(arguments)
    seeds = parse_seeds(options.seeds)
    plan = Plan(**{field.name: getattr(options, field.name) for field in fields(Plan)})
    quieten()
    # it names the devices before each of many trainings
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # late: they take seconds that a wrong option need not wait for
    from experiments.two_by_two.page import render
    from experiments.two_by_two.results import as_json, measure, summary, tables
    from experiments.two_by_two.run import Experiment
    from lightning_c3l.runs import lock

    try:
        experiment = Experiment(options.out, plan)
        experiment.run(seeds)
        results = as_json(experiment, seeds, *measure(experiment, seeds))
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
