"""How far sets differ in what they are worth: figures and contrasts with intervals, as JSON and as tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from experiments.two_by_two.answering import FIGURES, figure_of
from experiments.two_by_two.plan import MODELS, SETS
from experiments.two_by_two.run import Experiment
from lightning_c3l.functional.significance import percentile_interval
from lightning_c3l.report.text import number

SAMPLES = 2000
# totals `[..., P, K]` -> figure `[...]`
Figure = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Difference:
    """A weighted sum of figures of several models.

    Attributes:
        mean: over the seeds.
        low: lower end of the 95 % interval.
        high: upper end.
        by_seed: of each seed.
    """

    mean: float
    low: float
    high: float
    by_seed: tuple[float, ...]

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def difference(
    counts: Mapping[str, NDArray[np.float64]],
    weights: Mapping[str, float],
    figure: Figure,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Difference:
    """A weighted sum of the figures of models, and its 95 % percentile bootstrap interval.

    Seeds and images are both drawn with replacement, each as many as there are. An image that is drawn is drawn for
    all seeds and models, with all questions about it: so what makes it hard for all of them leaves no trace.

    Args:
        counts: what the questions about each image add to the sums, `[S, I, P, K]` for S seeds, I images and P
            parts that are drawn together, by model.
        weights: of the models, such as 1 and -1.
        figure: from totals over images to a figure.
        samples: number of resamples.
        seed: of the resampling.

    Raises:
        ValueError: models differ in seeds or images, or there are none.
    """
    shapes = {counts[name].shape for name in weights}
    if len(shapes) != 1:
        raise ValueError(f"all models must have the same seeds and images, not {sorted(shapes)}")
    seeds, images = shapes.pop()[:2]
    if not seeds or not images:
        raise ValueError("a difference needs at least one seed and one image")

    def resampled(random: np.random.Generator) -> NDArray[np.float64]:
        drawn = random.multinomial(images, [1 / images] * images, size=samples).astype(np.float64)
        shares = random.multinomial(seeds, [1 / seeds] * seeds, size=samples) / seeds
        # [resamples, images] with [seeds, images, P, K]: [resamples, seeds, P, K]
        figures = [weight * figure(np.tensordot(drawn, counts[name], axes=(1, 1))) for name, weight in weights.items()]
        return np.asarray((sum(figures) * shares).sum(1))

    low, high = percentile_interval(resampled, seed)
    by_seed = np.asarray(sum(weight * figure(counts[name].sum(1)) for name, weight in weights.items()))
    return Difference(float(by_seed.mean()), low, high, tuple(by_seed.tolist()))


# what is weighed against what: the claim first, then the two main effects
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


TITLES: Mapping[str, str] = {
    "pope_f1": "POPE, F1",
    "seed_rank": "SEED, rank",
    "seed_text": "SEED, text",
    "mmbench_circular": "MMBench, circular",
    "llava_w_score": "LLaVA-Bench, score",
}
_VERDICTS = {1: "above 0", 0: "not told from 0", -1: "below 0"}

# by figure and model, or by figure and contrast
Differences = Mapping[str, Mapping[str, Difference]]


def measure_models(experiment: Experiment, seeds: Sequence[int]) -> tuple[Differences, Differences]:
    """Figures of all models in percent, and all contrasts between them, with their intervals."""
    kept = {model: [experiment.counts(seed, model) for seed in seeds] for model in MODELS}
    figures, contrasts = dict[str, Mapping[str, Difference]](), dict[str, Mapping[str, Difference]]()
    for name in FIGURES:
        counts = {model: np.stack([one[name] for one in own]) for model, own in kept.items()}
        figure = figure_of(name)
        figures[name] = {model: difference(counts, {model: 1.0}, figure) for model in MODELS}
        contrasts[name] = {title: difference(counts, weights, figure) for title, weights in CONTRASTS.items()}
    return figures, contrasts


def as_json(
    experiment: Experiment, seeds: Sequence[int], figures: Differences, contrasts: Differences
) -> dict[str, Any]:
    """All of it as one object."""
    sets = {seed: experiment.sets(seed) for seed in seeds}
    return {
        "plan": asdict(experiment.plan),
        "seeds": list(seeds),
        "figures": _plain(figures),
        "contrasts": _plain(contrasts),
        "claim": {name: _VERDICTS[contrasts[name][CLAIM].sign] for name in FIGURES},
        "sets": {str(seed): own for seed, own in sets.items()},
        "means_of_sets": {name: _means([sets[seed][name] for seed in seeds]) for name in SETS},
    }


def _plain(found: Differences) -> dict[str, dict[str, Any]]:
    return {name: {key: asdict(one) for key, one in own.items()} for name, own in found.items()}


def _means(of_seeds: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Means of the figures of a set that are numbers."""
    out = dict[str, float | None]()
    for name in ("pairs", "truth_rate", "i2c_mean", "yes_share"):
        known = [own[name] for own in of_seeds if own[name] is not None]
        out[name] = sum(known) / len(known) if known else None
    return out


def tables(results: Mapping[str, Any]) -> list[Table]:
    """Figures by model, what the sets are like, and the contrasts."""
    figures = _table("figure, %", [(TITLES[name], own) for name, own in results["figures"].items()], MODELS)
    contrasts = _table("difference", [(TITLES[name], own) for name, own in results["contrasts"].items()], CONTRASTS)
    sets = Table(title="sets (means over the seeds)")
    for column in ("set", "pairs", "true", "S(I2C)", "yes among yes/no"):
        sets.add_column(column, justify="left" if column == "set" else "right")
    for name, own in results["means_of_sets"].items():
        sets.add_row(
            Text(name), number(own["pairs"], 0), *(number(own[key]) for key in ("truth_rate", "i2c_mean", "yes_share"))
        )
    return [sets, figures, contrasts]


def _table(title: str, columns: Sequence[tuple[str, Mapping[str, Any]]], rows: Any) -> Table:
    table = Table(title=f"{title} (95 % intervals)")
    table.add_column("", no_wrap=True)
    for name, _ in columns:
        table.add_column(name.replace(", ", ",\n"), justify="right")
    for row in rows:
        table.add_row(Text(row), *(shown(own[row]).replace(" (", "\n(") for _, own in columns))
    return table


def shown(one: Mapping[str, Any]) -> str:
    """A figure with its interval."""
    return f"{number(one['mean'], 1)} ({number(one['low'], 1)} to {number(one['high'], 1)})"


def summary(results: Mapping[str, Any]) -> str:
    """One line about the claim."""
    said = "; ".join(f"{TITLES[name]}: {verdict}" for name, verdict in results["claim"].items())
    return f"{CLAIM}: {said}"
