"""How much the sets differ in value: figures and contrasts with intervals, as JSON and as tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from experiments.two_by_two.answering import FIGURES, figure_of
from experiments.two_by_two.plan import EVEN, MODELS, NONE, SETS
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
# the claim first, then its writer without balance, then the two main effects
CLAIM = f"{EVEN} - starting-random"
CONTRASTS: Mapping[str, Mapping[str, float]] = {
    CLAIM: {EVEN: 1, "starting-random": -1},
    "tuned-top - starting-random": {"tuned-top": 1, "starting-random": -1},
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
}
# one figure of each benchmark
CLAIM_FIGURES = ("pope_f1", "seed_rank", "mmbench_circular", "llava_w_score")
# the claim holds if at least so many of them are higher, with the interval above 0, none is lower by more points than
# the tolerance, and the starting model is below the ceiling in all
CLAIM_HIGHER, CLAIM_TOLERANCE, CLAIM_CEILING = 2, 1.0, 90.0


def claim_verdict(figures: Mapping[str, Any], contrasts: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the claim holds, and which benchmarks speak for and against it.

    Args:
        figures: by name and model, in percent.
        contrasts: by the name of the figure and the contrast, in points.

    Returns:
        `holds`, and the figures that are `higher`, that are `lower` by more than the tolerance, and where there is
        `no_room` above the starting model.
    """
    own = {name: contrasts[name][CLAIM] for name in CLAIM_FIGURES}
    higher = [name for name, one in own.items() if one["verdict"] == "above 0"]
    lower = [name for name, one in own.items() if one["mean"] < -CLAIM_TOLERANCE]
    full = [name for name in CLAIM_FIGURES if figures[name][NONE]["mean"] > CLAIM_CEILING]
    holds = len(higher) >= CLAIM_HIGHER and not lower and not full
    return {"claim": CLAIM, "holds": holds, "higher": higher, "lower": lower, "no_room": full}


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
    for name in FIGURES:
        counts = {model: np.stack([one[name] for one in own]) for model, own in of_seeds.items()}
        figure = figure_of(name)
        figures[name] = {model: asdict(difference(counts, {model: 1.0}, figure)) for model in MODELS}
        differences = {title: difference(counts, weights, figure) for title, weights in CONTRASTS.items()}
        contrasts[name] = {title: {**asdict(one), "verdict": one.verdict} for title, one in differences.items()}
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
        "claim": claim_verdict(figures, contrasts),
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
        sets.add_row(Text(name), *set_cells(own))
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


def set_cells(means: Mapping[str, float | None]) -> list[str]:
    """The means of a set for reading, in the order of `SET_FIGURES`; the number of pairs is whole, or nearly."""
    return [number(means[key], 0 if key == "pairs" else 3) for key in SET_FIGURES]


def interval_text(figure: Mapping[str, Any], digits: int = 1) -> str:
    """A figure with its interval."""
    mean, low, high = (number(figure[name], digits) for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def summary(results: Mapping[str, Any]) -> str:
    """The claim in a few words."""
    claim = results["claim"]
    parts = {
        "higher": "higher in",
        "lower": f"lower by more than {CLAIM_TOLERANCE:g} point in",
        "no_room": f"starting model above {CLAIM_CEILING:g} in",
    }
    told = [f"{text} {' and '.join(TITLES[one] for one in claim[key])}" for key, text in parts.items() if claim[key]]
    return "; ".join([f"{claim['claim']} {'holds' if claim['holds'] else 'does not hold'}", *told])
