"""Progress: lines where there is no terminal, bars that do not garble on one, nothing where nobody asked."""

import io
import re
import sys
from pathlib import Path

import pytest

from lightning_c3l.distributed.messages import QUIET, inform, talks_to_user
from lightning_c3l.report import progress
from lightning_c3l.report.progress import Board, clock_time, track
from tests.helpers.terminal import Screen, run_on_terminal


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def board(out: io.StringIO, clock: Clock) -> Board:
    return Board(out, clock, silent=lambda: False)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (7.4, "0:07"), (80, "1:20"), (3599.6, "1:00:00"), (7325, "2:02:05")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert clock_time(seconds) == shown


def test_a_line_every_thirty_seconds_and_one_at_the_end(board: Board, clock: Clock, out: io.StringIO) -> None:
    with board.stage("round 1", "texts", 400) as stage:
        for _ in range(40):
            clock.now += 2.5
            stage.update(10)
    # after 30, 60 and 90 of 100 seconds; at that pace 70, 40 and 10 are left
    assert out.getvalue().splitlines() == [
        "round 1: 120/400 texts (30 %), 1:10 left",
        "round 1: 240/400 texts (60 %), 0:40 left",
        "round 1: 360/400 texts (90 %), 0:10 left",
        "round 1: 400 texts in 1:40",
    ]


def test_a_short_stage_says_nothing(board: Board, clock: Clock, out: io.StringIO) -> None:
    with board.stage("scan", "images", 3) as stage:
        clock.now += 1.9
        stage.update(3)
    assert out.getvalue() == ""


def test_stages_within_stages_share_a_line_and_leave_none(board: Board, clock: Clock, out: io.StringIO) -> None:
    with board.stage("round 0", "images", 4) as outer:
        for _ in range(2):
            with board.stage("generate", "texts", 8) as inner:
                clock.now += 16
                inner.note = "loss 0.5"
                inner.update(6)
            outer.update(2)
    assert out.getvalue().splitlines() == [
        "round 0: 2/4 images (50 %), 0:32 left; generate: 6/8 texts (75 %), 0:05 left, loss 0.5",
        "round 0: 4 images in 0:32",
    ]


def test_a_stage_of_unknown_length_and_one_that_ends_early(board: Board, clock: Clock, out: io.StringIO) -> None:
    with board.stage("read", "records") as stage:
        clock.now += 31
        stage.update(12_000)
    with board.stage("train", "batches", 10) as stage:
        clock.now += 5
        stage.update(4)
    assert out.getvalue().splitlines() == [
        "read: 12,000 records",
        "read: 12,000 records in 0:31",
        "train: 4/10 batches in 0:05",
    ]


def test_what_was_done_before_does_not_count_to_the_pace(board: Board, clock: Clock, out: io.StringIO) -> None:
    with board.stage("train", "batches", 100, done=90) as stage:
        clock.now += 40
        stage.update(5)
        # eight seconds a batch, and five batches are left
        assert out.getvalue() == "train: 95/100 batches (95 %), 0:40 left\n"


def test_an_error_ends_the_stages_without_a_line(board: Board, clock: Clock, out: io.StringIO) -> None:
    def fail() -> None:
        with board.stage("outer", "images", 2), board.stage("inner", "texts", 2):
            clock.now += 10
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    left = board.stage("left open", "images", 2)
    clock.now += 10
    board.close_all()
    left.update()
    left.close()
    assert out.getvalue() == ""


def test_a_loop_is_tracked_by_the_length_of_its_items(
    board: Board, clock: Clock, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "BOARD", board)
    seen = list[int]()
    for item in track([1, 2, 3], "copy", "files"):
        seen.append(item)
        clock.now += 35
    assert seen == [1, 2, 3]
    assert out.getvalue().splitlines()[0] == "copy: 1/3 files (33 %), 1:10 left"
    assert out.getvalue().splitlines()[-1] == "copy: 3 files in 1:45"


@pytest.mark.parametrize("variable", [QUIET, "RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_other_ranks_and_quiet_runs_are_silent(
    variable: str, clock: Clock, out: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, talks in (("0", True), ("1", False)):
        monkeypatch.setenv(variable, value)
        with Board(out, clock).stage("round 0", "images", 2) as stage:
            clock.now += 40
            stage.update()
        inform("resuming")
        assert bool(out.getvalue()) == bool(capsys.readouterr().out) == talks
        out.seek(0)
        out.truncate()


def test_the_process_group_knows_the_rank_better(
    board: Board, clock: Clock, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Distributed:
        is_available = is_initialized = staticmethod(lambda: True)
        get_rank = staticmethod(lambda: 3)
        get_world_size = staticmethod(lambda: 4)

    assert talks_to_user()
    monkeypatch.setitem(sys.modules, "torch.distributed", Distributed)  # type: ignore[arg-type]
    assert not talks_to_user()
    with board.stage("round 0", "images", 6), board.stage("generate", "texts", 2) as inner:
        clock.now += 40
        inner.update()
    # a share of the images of all
    assert out.getvalue().splitlines() == [
        "round 0, rank 0 of 4: 0/6 images (0 %); generate: 1/2 texts (50 %), 0:40 left",
        "round 0, rank 0 of 4: 0/6 images in 0:40",
    ]


# an escape sequence that no screen shows
_MARK = "\x1b[99m"
_NESTED = f"""
import os, sys, warnings
from lightning_c3l.cli.output import readable_output
from lightning_c3l.report.progress import stage

def messages():
    print("a line to stdout")
    warnings.warn("a warning")
    print("half a line, ", end="", flush=True)
    os.write(1, b{_MARK!r})
    print("and its end")
    os.write(1, b{_MARK!r})

with readable_output(quiet=False):
    with stage("round 0", "images", 4) as outer:
        for number in range(4):
            with stage("generate", "texts", 10) as inner:
                for _ in range(10):
                    inner.update()
                    if (number, inner.done) == (2, 5):
                        messages()
            outer.update()
    print("the end")
"""


def test_nested_bars_and_messages_on_a_terminal(tmp_path: Path) -> None:
    status, output = run_on_terminal(["-c", _NESTED], tmp_path)
    assert status == 0, output
    half, whole, rest = output.split(_MARK)
    screen = Screen()
    screen.feed(half)
    *said, outer, inner = screen.lines()
    assert said == ["a line to stdout", "warning: a warning"]
    # two of four images are done, and five of the ten texts of the third
    assert re.fullmatch(r"round 0: 50 %\|.+\| 2/4 images \[00:00<00:0\d\]", outer)
    assert re.fullmatch(r"generate: 50 %\|.+\| 5/10 texts \[00:00<00:0\d\]", inner)
    screen.feed(whole)
    assert screen.lines() == [*said, "half a line, and its end", outer, inner]
    screen.feed(rest)
    assert screen.lines() == [*said, "half a line, and its end", "the end"]
