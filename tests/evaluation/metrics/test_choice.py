"""Accuracy of choices, single and circular, against values worked out by hand."""

import numpy as np
import pytest

from lightning_c3l.evaluation.metrics.functional import choice_accuracy, circular_accuracy, circular_groups
from lightning_c3l.evaluation.metrics.headlines import ChoiceAccuracy, CircularAccuracy

# group 7 is right in all of its three rows, 3 in one of two, 5 (one row) is right, 9 wrong: 2 of 4 groups, 5 of 7 rows
GROUPS = np.array([7, 3, 7, 5, 3, 9, 7])
RIGHT = np.array([1, 1, 1, 1, 0, 0, 1], dtype=bool)


def test_a_group_is_right_only_where_every_row_is() -> None:
    names, right = circular_groups(GROUPS, RIGHT)
    assert dict(zip(names.tolist(), right.tolist(), strict=True)) == {3: False, 5: True, 7: True, 9: False}
    assert circular_accuracy(GROUPS, RIGHT) == 0.5
    assert choice_accuracy(RIGHT) == pytest.approx(5 / 7)
    assert circular_accuracy(GROUPS[:0], RIGHT[:0]) == 0


def test_metrics_accumulate_over_batches() -> None:
    circular, single = CircularAccuracy(), ChoiceAccuracy()
    for part in (slice(0, 2), slice(2, 6), slice(6, 7)):
        circular.update(GROUPS[part], RIGHT[part])
        single.update(RIGHT[part])
    assert circular.compute().item() == 0.5
    assert single.compute().item() == pytest.approx(5 / 7)
    for metric in (circular, single):
        assert metric.higher_is_better is True
        assert metric.is_differentiable is False
        metric.reset()
    circular.update(GROUPS[:1], RIGHT[:1])
    single.update(RIGHT[:1])
    assert circular.compute().item() == single.compute().item() == 1.0


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_is_nought() -> None:
    assert ChoiceAccuracy().compute().item() == CircularAccuracy().compute().item() == 0.0


def test_lengths_must_agree() -> None:
    for call in (circular_accuracy, circular_groups, CircularAccuracy().update):
        with pytest.raises(ValueError, match="7 and 3"):
            call(GROUPS, RIGHT[:3])
