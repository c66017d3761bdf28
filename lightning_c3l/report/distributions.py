"""How the scores of each round are distributed, on the same bins, so that rounds can be compared."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.report.candidate_columns import OTHER_VERDICT, CandidateColumns
from lightning_c3l.report.charts import bin_edges
from lightning_c3l.report.figures import first_and_last
from lightning_c3l.report.panels import Panel, bin_counts, histogram_panel

# counts of each bin by group
Groups = Mapping[str, NDArray[np.int64]]
_Values = Callable[[], Iterable[NDArray[np.float64]]]

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
    rounds = {number: candidates_by_round[number] for number in first_and_last(candidates_by_round)}
    ends = tail_quantiles(partial(_values, list(rounds.values())), _TAIL)
    if ends is None:
        return {}
    edges = bin_edges(ends, _BINS)
    found = dict[str, dict[int, dict[str, NDArray[np.int64]]]]()
    for number, candidates in rounds.items():
        for name, group, values in split_scores(candidates):
            found.setdefault(name, {}).setdefault(number, {})[group] = bin_counts(values, edges)
    return {name: _panels(name, own, edges) for name, own in found.items()}


def split_scores(candidates: CandidateColumns) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """Yield what is compared, the group, and its `answer` readings; values that are not finite are left out.

    One group after the other, since each is a copy.
    """
    answer, verdict = candidates.answer, candidates.verdict
    yield "right image and another image", "right image", answer[np.isfinite(answer)]
    yield "right image and another image", "another image", candidates.shuffled[np.isfinite(candidates.shuffled)]
    if verdict.any():
        for group, code in (("right", 1), ("not right", OTHER_VERDICT)):
            yield "right and other texts", group, answer[np.isfinite(answer) & (verdict == code)]


def tail_quantiles(values: _Values, share: float) -> tuple[float, float] | None:
    """Quantiles of several arrays together, as `np.quantile` has them, of which no more than the tails are held.

    Args:
        values: yields the arrays, each time that it is called.
        share: of the lower quantile, at most a half; the upper one is 1 - `share`.

    Returns:
        Both; None without a value.
    """
    count = sum(len(own) for own in values())
    if not count:
        return None
    # enough of each end for both neighbours of its quantile, and for rounding
    most = int((count - 1) * share) + 3
    lows, highs = [], []
    for own in values():
        lows.append(np.partition(own, most - 1)[:most].copy() if len(own) > most else own)
        highs.append(np.partition(own, len(own) - most)[-most:].copy() if len(own) > most else own)
    low, high = np.sort(np.concatenate(lows))[:most], np.sort(np.concatenate(highs))[-most:]
    return _between(low, (count - 1) * share), _between(high, (count - 1) * (1 - share) - (count - len(high)))


def _between(ordered: NDArray[np.float64], place: float) -> float:
    """The value at a place between two neighbours."""
    below = int(place)
    return float(np.quantile(ordered[below : below + 2], place - below))


def _values(rounds: Iterable[CandidateColumns]) -> Iterator[NDArray[np.float64]]:
    for candidates in rounds:
        yield from (values for _, _, values in split_scores(candidates))


def _panels(name: str, rounds: Mapping[int, Groups], edges: list[float]) -> list[Panel]:
    """One panel a round, all with the same axes."""
    shares = [counts.max() / counts.sum() for groups in rounds.values() for counts in groups.values() if counts.any()]
    highest = 1.05 * max(shares, default=1.0)
    panels = [
        histogram_panel(f"Round {number}", groups, edges, highest, "S(I²C) answer, nats per token", name)
        for number, groups in rounds.items()
    ]
    return [panel for panel in panels if panel is not None]
