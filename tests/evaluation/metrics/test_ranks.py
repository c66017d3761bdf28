"""The benchmarks' metrics over ranks: the same as over one, also where a rank has nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from lightning_c3l.evaluation.metrics.functional import NO, UNPARSABLE, YES
from lightning_c3l.evaluation.metrics.headlines import ChoiceAccuracy, CircularAccuracy, RelativeScore, YesNoF1
from tests.helpers.ranks import run_ranks

# what each of two ranks sees: both a part, or one of them nothing
_SHARES = [(slice(0, 4), slice(4, 7)), (slice(0, 7), slice(0, 0))]
# base question 3 is right on rank 0 and wrong on rank 1, 7 is right on both: 5 and 7 of four are right
_GROUPS = np.array([7, 3, 7, 5, 3, 9, 7])
_RIGHT = np.array([1, 1, 1, 1, 0, 0, 1], dtype=bool)
# split 0: 2 hits, 1 miss, 1 false yes, 1 unparsable: F1 4/6; split 1: 1 hit, 1 no, 1 unparsable where yes is true: 2/3
_PREDICTED = np.array([YES, YES, NO, YES, UNPARSABLE, YES, UNPARSABLE])
_TRUTH = np.array([YES, YES, YES, NO, NO, YES, YES])
_MEMBERS = np.array([[1, 0]] * 5 + [[0, 1]] * 2, dtype=bool)


def _computed(mine: slice) -> list[float]:
    circular, single, yes_no, relative = CircularAccuracy(), ChoiceAccuracy(), YesNoF1(2), RelativeScore()
    if mine.stop:
        circular.update(_GROUPS[mine], _RIGHT[mine])
        single.update(_RIGHT[mine])
        yes_no.update(_PREDICTED[mine], _TRUTH[mine], _MEMBERS[mine])
        relative.update(_GROUPS[mine].astype(float), np.full(len(_GROUPS[mine]), 10.0))
    return [float(metric.compute()) for metric in (circular, single, yes_no, relative)]


def _on_a_rank(rank: int, folder: str) -> None:
    Path(folder, str(rank)).write_text(json.dumps([_computed(shares[rank]) for shares in _SHARES]))


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_two_ranks_compute_what_one_would(tmp_path: Path) -> None:
    run_ranks(_on_a_rank, str(tmp_path))
    expected = [2 / 4, 5 / 7, (2 * 2 / (3 + 3) + 2 * 1 / (1 + 2)) / 2, 100 * (7 + 3 + 7 + 5 + 3 + 9 + 7) / 70]
    for rank in "01":
        for found in json.loads((tmp_path / rank).read_text()):
            assert found == pytest.approx(expected)
