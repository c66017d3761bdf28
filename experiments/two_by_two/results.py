"""How much the sets differ in value: figures and contrasts with intervals, as JSON and as tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from experiments.two_by_two.answering import FIGURES, figure_of
from experiments.two_by_two.plan import MODELS, SETS
from experiments.two_by_two.run import Experiment
from lightning_c3l.functional.significance import difference
from lightning_c3l.report.text import number

TITLES: Mapping[str, str] = {
    "pope_f1": "POPE, F1",
    "seed_rank": "SEED, rank",
    "seed_text": "SEED, text",
    "mmbench_circular": "MMBench, circular",
    "llava_w_score": "LLaVA-Bench, score",
}
# figures of a set that are averaged over the seeds, and their titles
SET_FIGURES = {"pairs": "pairs", "truth_rate": "true", "i2c_mean": "S(I2C)", "yes_share": "yes among yes/no"}
# the claim first, then the two main effects
CLAIM = "tuned-top - starting-random"
CONTRASTS: Mapping[str, Mapping[str, float]] = {
    CLAIM: {"tuned-top": 1, "starting-random": -1},
    "writer: tuned - starting": {
        "tuned-top": 0.5,
        "tuned-random": 0.5,
        "starting-top": -0.5,
        "starting-random": -0.5,
    },
    "selection: top - random": {
        "tuned-top": 0.5,
        "starting-top": 0.5,
        "tuned-random": -0.5,
        "starting-random": -0.5,
    },
    "tuned-top-even - starting-random": {"tuned-top-even": 1, "starting-random": -1},
}


def compute_results(experiment: Experiment, seeds: Sequence[int]) -> dict[str, Any]:
    """Figures of all models in percent, contrasts between them, the claim, and what the sets are like.

    Args:
        experiment: finished for these seeds.
        seeds: to report.

    Returns:
        The object of `results.json`.
    """
    of_seeds = {model: [experiment.counts(seed, model) for seed in seeds] for model in MODELS}
    figures, contrasts = dict[str, dict[str, Any]](), dict[str, dict[str, Any]]()
    claim = dict[str, str]()
    for name in FIGURES:
        counts = {model: np.stack([one[name] for one in own]) for model, own in of_seeds.items()}
        figure = figure_of(name)
        differences = {title: difference(counts, weights, figure) for title, weights in CONTRASTS.items()}
        figures[name] = {model: asdict(difference(counts, {model: 1.0}, figure)) for model in MODELS}
        contrasts[name] = {title: asdict(one) for title, one in differences.items()}
        claim[name] = differences[CLAIM].verdict
    sets = {str(seed): experiment.sets(seed) for seed in seeds}
    means: dict[str, dict[str, float | None]] = {name: {} for name in SETS}
    for name, own in means.items():
        for key in SET_FIGURES:
            known = [of_seed[name][key] for of_seed in sets.values() if of_seed[name][key] is not None]
            own[key] = sum(known) / len(known) if known else None
    return {
        "plan": asdict(experiment.plan),
        "seeds": list(seeds),
        "figures": figures,
        "contrasts": contrasts,
        "claim": claim,
        "sets": sets,
        "means_of_sets": means,
    }


def tables(results: Mapping[str, Any]) -> list[Table]:
    """What the sets are like, the figures by model, and the contrasts."""
    sets = Table(title="sets (means over the seeds)")
    sets.add_column("set")
    for title in SET_FIGURES.values():
        sets.add_column(title, justify="right")
    for name, own in results["means_of_sets"].items():
        sets.add_row(Text(name), *(number(own[key], 0 if key == "pairs" else 3) for key in SET_FIGURES))
    return [
        sets,
        _interval_table("figure, %", results["figures"], MODELS),
        _interval_table("difference", results["contrasts"], CONTRASTS),
    ]


def _interval_table(title: str, columns: Mapping[str, Mapping[str, Any]], rows: Iterable[str]) -> Table:
    table = Table(title=f"{title} (95 % intervals)")
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(TITLES[name].replace(", ", ",\n"), justify="right")
    for row in rows:
        table.add_row(Text(row), *(interval_text(own[row]).replace(" (", "\n(") for own in columns.values()))
    return table


def interval_text(figure: Mapping[str, Any], digits: int = 1) -> str:
    """A figure with its interval."""
    mean, low, high = (number(figure[name], digits) for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def summary(results: Mapping[str, Any]) -> str:
    """One line about the claim."""
    return f"{CLAIM}: " + "; ".join(f"{TITLES[name]}: {verdict}" for name, verdict in results["claim"].items())
