"""Yes/no figures against values worked out by hand."""

import numpy as np
import pytest

from lightning_c3l.evaluation.metrics.functional import (
    NO,
    UNPARSABLE,
    YES,
    mean_f1,
    split_figures,
    yes_no_counts,
    yes_no_figures,
)
from lightning_c3l.evaluation.metrics.headlines import YesNoF1

# split 0: questions 0-5, split 1: questions 4-7, so that 4 and 5 count twice
TRUTH = np.array([YES, YES, YES, NO, NO, NO, YES, YES])
SAID = np.array([YES, YES, NO, YES, NO, UNPARSABLE, YES, UNPARSABLE])
MEMBERS = np.array([[1, 0]] * 4 + [[1, 1]] * 2 + [[0, 1]] * 2, dtype=bool)
# split 0: 2 hits, 1 miss, 1 false alarm, 1 right no, 1 unparsable; split 1: 1 hit, 1 right no, 2 unparsable
F1 = (2 * 2 / (3 + 3), 2 * 1 / (1 + 2))


def test_counts_have_truth_down_and_what_was_said_across() -> None:
    expected = [[[1, 1, 1], [1, 2, 0]], [[1, 0, 1], [0, 1, 1]]]
    assert yes_no_counts(SAID, TRUTH, MEMBERS).tolist() == expected


def test_figures_by_hand() -> None:
    figures = yes_no_figures(yes_no_counts(SAID, TRUTH, MEMBERS))
    assert figures["accuracy"].tolist() == pytest.approx([3 / 6, 2 / 4])
    assert figures["precision"].tolist() == pytest.approx([2 / 3, 1.0])
    assert figures["recall"].tolist() == pytest.approx([2 / 3, 1 / 2])
    assert figures["f1"].tolist() == pytest.approx(F1)
    assert figures["yes_ratio"].tolist() == pytest.approx([3 / 6, 1 / 4])
    assert figures["unparsable"].tolist() == [1, 2]
    assert figures["n"].tolist() == [6, 4]


def test_who_never_says_yes_scores_nothing_and_who_always_does_two_thirds() -> None:
    truth = np.array([YES, NO] * 10)
    all_ = np.ones((20, 1), dtype=bool)
    for said, f1 in ((UNPARSABLE, 0.0), (NO, 0.0), (YES, 2 / 3)):
        found = yes_no_figures(yes_no_counts(np.full(20, said), truth, all_))["f1"]
        assert found.item() == pytest.approx(f1)


def test_the_mean_leaves_out_splits_without_questions() -> None:
    counts = yes_no_counts(SAID, TRUTH, np.concatenate([MEMBERS, np.zeros((8, 1), dtype=bool)], axis=1))
    assert mean_f1(counts).item() == pytest.approx(sum(F1) / 2)
    assert mean_f1(np.zeros((3, 2, 3))).item() == 0


def test_figures_are_named_by_split_where_there_are_questions() -> None:
    found = split_figures(yes_no_counts(SAID, TRUTH, MEMBERS), ("a", "b"))
    assert list(found) == ["a", "b"]
    assert found["b"]["recall"] == pytest.approx(0.5)
    assert (found["b"]["n"], found["b"]["unparsable"]) == (4, 2)
    assert list(split_figures(yes_no_counts(SAID[:1], TRUTH[:1], MEMBERS[:1]), ("a", "b"))) == ["a"]


def test_metric_accumulates_and_declares_itself() -> None:
    metric = YesNoF1(2)
    metric.update(SAID[:3], TRUTH[:3], MEMBERS[:3])
    metric.update(SAID[3:], TRUTH[3:], MEMBERS[3:])
    assert metric.compute().item() == pytest.approx(sum(F1) / 2)
    assert metric.higher_is_better is True
    assert metric.is_differentiable is False
    metric.reset()
    metric.update(SAID[:1], TRUTH[:1], MEMBERS[:1])
    assert metric.compute().item() == 1.0


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        yes_no_counts(SAID[:3], TRUTH, MEMBERS)
    with pytest.raises(ValueError, match="differ in length"):
        yes_no_counts(SAID, TRUTH, MEMBERS[:3])
    for said, truth in ((3, YES), (-1, YES), (YES, UNPARSABLE)):
        with pytest.raises(ValueError, match="must be no"):
            yes_no_counts(np.array([said]), np.array([truth]), np.ones((1, 1), dtype=bool))
