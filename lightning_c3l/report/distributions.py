"""How the scores of each round are distributed, on the same bins, so that rounds can be compared."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.report.candidate_columns import OTHER_VERDICT, CandidateColumns
from lightning_c3l.report.charts import bin_edges
from lightning_c3l.report.figures import first_and_last
from lightning_c3l.report.panels import Panel, bin_shares, histogram_panel

Groups = Mapping[str, NDArray[np.float64]]

_BINS = 24
# share of the values beyond each end of the axis
_TAIL = 0.002


def distributions(candidates_by_round: Mapping[int, CandidateColumns]) -> dict[str, list[Panel]]:
    """Histograms of the `answer` reading of the first and of the last rounds.

    Args:
        candidates_by_round: the generated texts of each round with their scores.

    Returns:
        By what is compared, a panel for each round: scores with the right and with another image and, where the truth
        is known, of right texts and of the others. Empty where nothing was scored.
    """
    splits = {number: split_scores(candidates_by_round[number]) for number in first_and_last(candidates_by_round)}
    names = dict.fromkeys(name for split in splits.values() for name in split)
    values = [own for split in splits.values() for groups in split.values() for own in groups.values() if len(own)]
    if not values:
        return {}
    pooled = np.concatenate(values)
    edges = bin_edges(np.quantile(pooled, [_TAIL, 1 - _TAIL]), _BINS)
    by_name = {name: {number: split[name] for number, split in splits.items() if name in split} for name in names}
    return {name: _panels(name, rounds, edges) for name, rounds in by_name.items()}


def split_scores(candidates: CandidateColumns) -> dict[str, Groups]:
    """The `answer` readings of a round, by what is compared and by group; values that are not finite are left out."""
    answer, verdict = candidates.answer, candidates.verdict
    found: dict[str, Groups] = {
        "right image and another image": {
            "right image": _finite(answer),
            "another image": _finite(candidates.shuffled),
        }
    }
    if verdict.any():
        found["right and other texts"] = {
            "right": _finite(answer[verdict == 1]),
            "not right": _finite(answer[verdict == OTHER_VERDICT]),
        }
    return found


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _panels(name: str, rounds: Mapping[int, Groups], edges: Sequence[float]) -> list[Panel]:
    """One panel a round, all with the same axes."""
    shares = [bin_shares(own, edges).max() for groups in rounds.values() for own in groups.values() if len(own)]
    highest = 1.05 * max(shares, default=1.0)
    panels = [
        histogram_panel(f"Round {number}", groups, edges, highest, "S(I²C), nats per token", name)
        for number, groups in rounds.items()
    ]
    return [panel for panel in panels if panel is not None]
