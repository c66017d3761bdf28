"""The processes that tests of several ranks run in: failures are reported, hangs end."""

import time

import pytest

from tests.helpers.ranks import run_ranks


def _fail_on_one(rank: int, argument: str) -> None:
    if rank == 1:
        raise KeyError(argument)
    time.sleep(600)


def _hang(rank: int, argument: str) -> None:
    time.sleep(600)


def test_a_failing_rank_is_reported_though_the_other_waits():
    with pytest.raises(AssertionError, match=r"rank 1: (?s:.)*KeyError: 'what was asked'"):
        run_ranks(_fail_on_one, "what was asked", fresh=True)


def test_hanging_ranks_end():
    began = time.monotonic()
    with pytest.raises(AssertionError, match=r"ranks \[0, 1\] did not finish in time"):
        run_ranks(_hang, "", seconds=1, fresh=True)
    assert time.monotonic() - began < 60
