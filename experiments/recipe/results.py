"""What the trials of a table say: figures, paired differences to the baseline row, and verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.recipe.protocol import Target
from experiments.recipe.sums import TITLES, counts_of, figure_of
from experiments.recipe.trials import Look, Recipes
from experiments.sweeps.trials import Trial
from lightning_c3l.functional.finite import finite, jsonable
from lightning_c3l.functional.significance import Difference, difference

STARTING = "starting model"

# measured values of a row by seed
Measured = Mapping[int, Mapping[str, Any]]


def compute_results(recipes: Recipes, look: Look) -> dict[str, Any]:
    """All figures, differences and trials of a look.

    Args:
        recipes: their trials, finished or not.
        look: which of them.

    Returns:
        The object of `results.json`.
    """
    table, target, resamples = recipes.table, recipes.protocol.target, recipes.protocol.resamples
    trials = {(row, seed): recipes.trial(row, seed) for row in look.rows for seed in look.seeds}
    measured = {row: _measured(recipes, {seed: trials[row, seed] for seed in look.seeds}) for row in look.rows}
    starting = _measured(recipes, {seed: recipes.first_round(table.baseline, seed) for seed in look.seeds})
    stage_seeds = recipes.protocol.stage(look.stage).chosen(None)
    rows = dict[str, Any]()
    for name, own in {STARTING: starting, **measured}.items():
        found = differences(own, measured[table.baseline], resamples)
        rows[name] = {
            "options": dict(table.rows.get(name, {})),
            "seeds": sorted(own),
            "figures": {figure: asdict(one) for figure, one in figures(own, resamples).items()},
            "differences": {figure: asdict(one) for figure, one in found.items()},
            "kind_shares": _kind_shares(own),
            "cpu_seconds": _mean_seconds(own),
            "verdict": "" if name in (table.baseline, STARTING) else _verdict(found, target, stage_seeds),
        }
    results: dict[str, Any] = jsonable(
        {
            "table": table.name,
            "experiment": table.experiment.name,
            "stage": look.stage,
            "baseline": table.baseline,
            "seeds": list(look.seeds),
            "protocol": asdict(recipes.protocol),
            "rows": rows,
            "trials": [_trial_row(recipes, row, seed, trial) for (row, seed), trial in trials.items()],
        }
    )
    return results


def figures(own: Measured, resamples: int) -> dict[str, Difference]:
    """Figures of a row, with their intervals over seeds and images."""
    return _intervals({"own": own}, {"own": 1.0}, resamples)


def differences(own: Measured, baseline: Measured, resamples: int) -> dict[str, Difference]:
    """Figures of a row less those of the baseline, on the seeds that both have finished."""
    seeds = [seed for seed in own if seed in baseline]
    both = {name: {seed: one[seed] for seed in seeds} for name, one in (("own", own), ("baseline", baseline))}
    return _intervals(both, {"own": 1.0, "baseline": -1.0}, resamples)


def verdict(found: Mapping[str, Difference], target: Target) -> str:
    """Whether the target of the protocol is reached, and if not, what the intervals say of its figures."""
    above = [name for name in target.higher if name in found and found[name].low > 0]
    below = [name for name in target.higher if name in found and found[name].high < 0]
    lower = [name for name in target.guarded if name in found and found[name].mean < -target.tolerance]
    if better := [name for name in above if name in target.alone or not lower]:
        return f"better: {TITLES[better[0]]}"
    if above:
        return f"{TITLES[above[0]]} higher, but lower: {'; '.join(TITLES[name] for name in lower)}"
    if below:
        return f"worse: {'; '.join(TITLES[name] for name in below)}"
    return "not told from the baseline" if found else "not measured"


def _verdict(found: Mapping[str, Difference], target: Target, seeds: Sequence[int]) -> str:
    """The verdict once all seeds of the stage are compared; fewer of them decide nothing."""
    compared = max((len(one.by_seed) for one in found.values()), default=0)
    return verdict(found, target) if compared in (0, len(seeds)) else f"{compared} of {len(seeds)} seeds"


def best_first(results: Mapping[str, Any], figure: str = "truth") -> list[str]:
    """Names of the rows, by their difference in a figure from the best down; those without one last."""

    def key(name: str) -> tuple[bool, float]:
        mean = finite(results["rows"][name]["differences"].get(figure, {}).get("mean"))
        return (mean is None, 0.0 if mean is None else -mean)

    return sorted(results["rows"], key=key)


def _measured(recipes: Recipes, trials: Mapping[int, Trial]) -> dict[int, dict[str, Any]]:
    found = {seed: recipes.measured(trial) for seed, trial in trials.items()}
    return {seed: one for seed, one in found.items() if one is not None}


def _intervals(rows: Mapping[str, Measured], weights: Mapping[str, float], resamples: int) -> dict[str, Difference]:
    """A weighted sum of each figure that all rows have."""
    of_seeds = [list(own.values()) for own in rows.values()]
    if not all(of_seeds):
        return {}
    names = [name for name in of_seeds[0][0]["sums"] if all(name in one["sums"] for own in of_seeds for one in own)]
    out = dict[str, Difference]()
    for name in names:
        counts = {row: _stacked(own, name) for row, own in rows.items()}
        out[name] = difference(counts, weights, figure_of(name), resamples)
    return out


def _stacked(own: Measured, name: str) -> NDArray[np.float64]:
    """`[S, I, 1, K]` of all seeds, which have the same images."""
    return np.stack([counts_of(one["sums"][name], one["images"]) for one in own.values()])


def _kind_shares(own: Measured) -> dict[str, float]:
    """Shares of the kinds of questions, over all seeds."""
    if not own:
        return {}
    totals = _stacked(own, "kind_entropy").sum((0, 1, 2))
    kinds = next(iter(own.values()))["kinds"]
    return {name: float(count / totals.sum()) for name, count in zip(kinds, totals, strict=True)}


def _mean_seconds(own: Measured) -> dict[str, float]:
    parts = dict.fromkeys(part for one in own.values() for part in one["cpu_seconds"])
    return {part: sum(one["cpu_seconds"].get(part, 0.0) for one in own.values()) / len(own) for part in parts}


def _trial_row(recipes: Recipes, row: str, seed: int, trial: Trial) -> dict[str, Any]:
    measured = recipes.measured(trial)
    sums = {} if measured is None else measured["sums"]
    values = {name: float(figure_of(name)(counts_of(own, list(own)).sum(0))) for name, own in sums.items()}
    status, reason, made = trial.status, trial.reason, recipes.first_round(row, seed)
    if status == "waiting" and made.status == "failed":
        status, reason = "failed", f"its first round ({made.name}) failed: {made.reason}"
    return {
        "row": row,
        "seed": seed,
        "status": status,
        "reason": reason,
        "seconds": trial.seconds,
        "cpu_seconds": None if measured is None else measured["cpu_seconds"],
        "figures": values,
    }
