"""How readings rank, on answers whose ranks are known by hand."""

import random
from typing import Any

import pytest
from rich.console import Console

from lightning_c3l.selection.reading_ranks import RankSample, ranks_table


def answer(**scores: float | None) -> dict[str, Any]:
    return {"positions": 0.0, "vocabulary": 0.0, "tokens": 1, "shuffled": None, "mean_logp": 0.0, **scores}


def sample_of(*answers: dict[str, Any], size: int = 100) -> RankSample:
    sample = RankSample(size)
    for one in answers:
        sample.add(one)
    return sample


def test_correlations_and_the_share_of_the_control_by_hand() -> None:
    """Four answers; ranks of `answer` 1 2 3 4, of `gap` 1 3 2 4 (rho 0.8), of the control 2 1 4 3 (rho 0.6 and 0)."""
    found = sample_of(
        answer(answer=0.1, gap=1.0, shuffled=0.02, mean_logp=-1.0),
        answer(answer=0.2, gap=3.0, shuffled=0.01, mean_logp=-2.0),
        answer(answer=0.3, gap=2.0, shuffled=0.04, mean_logp=-3.0),
        answer(answer=0.4, gap=40.0, shuffled=0.03, mean_logp=-4.0),
    ).figures()
    assert (found["answers"], found["of"]) == (4, 4)
    own = found["correlation"]["answer"]
    assert [own[name] for name in ("answer", "gap", "mean_logp")] == pytest.approx([1.0, 0.8, -1.0])
    # d = (1, 1, 1, 1): 1 - 6 * 4 / (4 * 15); gap against the control d = (1, 2, 2, 1): 1 - 6 * 10 / 60
    assert (own["shuffled"], found["explained_by_shuffled"]["answer"]) == (pytest.approx(0.6), pytest.approx(0.36))
    assert found["correlation"]["gap"]["shuffled"] == pytest.approx(0.0, abs=1e-12)
    assert found["explained_by_shuffled"]["mean_logp"] == pytest.approx(0.36)
    # constant columns rank nothing
    assert own["positions"] is None
    assert own["tokens"] is None
    assert found["explained_by_shuffled"]["positions"] is None


def test_the_control_counts_where_it_is_there_and_other_columns_everywhere() -> None:
    """The second answer has no control; the last one has no finite reading and is left out."""
    found = sample_of(
        answer(answer=1.0, gap=1.0, shuffled=1.0),
        answer(answer=2.0, gap=0.0),
        answer(answer=3.0, gap=3.0, shuffled=2.0),
        answer(answer=float("nan"), gap=9.0, shuffled=0.0),
    ).figures()
    assert found["answers"] == 3
    assert found["correlation"]["answer"]["gap"] == pytest.approx(0.5)  # ranks 1 2 3 and 2 1 3
    assert found["explained_by_shuffled"]["answer"] == pytest.approx(1.0)
    without = sample_of(*[answer(answer=float(n), gap=float(n)) for n in range(3)]).figures()
    assert without["correlation"]["answer"]["shuffled"] is None
    assert sample_of().figures()["correlation"]["answer"]["gap"] is None


def test_a_long_set_is_sampled_evenly_in_constant_memory() -> None:
    """The first half ranks `gap` as `answer`, the second the other way: no correlation, unless one is missing."""
    rng = random.Random(0)
    sample = RankSample(2000)
    for number in range(20_000):
        value = rng.random()
        sample.add(answer(answer=value, gap=value if number < 10_000 else -value + 1))
    found = sample.figures()
    assert (found["answers"], found["of"]) == (2000, 20_000)
    assert found["correlation"]["answer"]["gap"] == pytest.approx(0, abs=0.1)


def test_the_table_shows_what_there_is(tmp_path: Any) -> None:
    found = sample_of(*[answer(answer=float(n), gap=float(-n), shuffled=float(n % 2)) for n in range(4)]).figures()
    console = Console(width=160, record=True, file=(tmp_path / "shown").open("w"))
    console.print(ranks_table(found))
    shown = console.export_text()
    assert "how the readings rank 4 answers" in shown
    assert [cell for line in shown.splitlines() if "gap" in line for cell in line.split()].count("-1.00") == 1
    # ranks 1 2 3 4 against 1.5 3.5 1.5 3.5: covariance 2, lengths sqrt(5) and 2
    assert "0.20" in next(line for line in shown.splitlines() if "explained by" in line)
