"""One run a folder."""

import errno
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightning_c3l.runs import lock

HOLD = """
import sys, time
from pathlib import Path
from lightning_c3l.runs import lock
lock.hold(Path(sys.argv[1]), {"verb": "fit"} if sys.argv[2] == "first" else None)
print("held", flush=True)
time.sleep(120)
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setattr(lock, "_PATIENCE", 0.5)
    yield
    lock.release()


def holder(folder: Path, role: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), role], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_refused_until_every_process_of_the_first_has_gone(tmp_path):
    first = holder(tmp_path, "first")
    other = holder(tmp_path, "other")
    try:
        with pytest.raises(ValueError, match=rf"{tmp_path} is in use .*process {first.pid} on ") as refused:
            lock.hold(tmp_path, {"verb": "fit"})
        assert "\n" not in str(refused.value)
        first.kill()
        first.wait()
        # one that was left over may still be writing
        with pytest.raises(ValueError, match="is in use"):
            lock.hold(tmp_path, {"verb": "fit"})
        other.kill()
        other.wait()
        lock.hold(tmp_path, {"verb": "predict"})
        assert lock.owner(tmp_path)["verb"] == "predict"
        assert lock.owner(tmp_path)["pid"] == os.getpid()
    finally:
        first.kill()
        other.kill()


def test_a_refused_run_keeps_nothing_and_changes_nothing(tmp_path):
    first = holder(tmp_path, "first")
    try:
        before = (tmp_path / lock.LOCK).read_text()
        with pytest.raises(ValueError, match="is in use"):
            lock.hold(tmp_path, {"verb": "predict"})
        assert not lock.holds()
        assert (tmp_path / lock.LOCK).read_text() == before
    finally:
        first.kill()


def test_a_forked_helper_does_not_keep_the_lock(tmp_path):
    lock.hold(tmp_path, {"verb": "fit"})
    helper = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
    helper.start()
    try:
        time.sleep(0.5)
        lock.release()
        lock.hold(tmp_path, {"verb": "fit"})
    finally:
        helper.kill()


@pytest.mark.parametrize("said", ["", "{", "[1]", '{"verb": "fit"'])
def test_a_lock_file_that_tells_nothing_is_no_obstacle(tmp_path, said):
    (tmp_path / lock.LOCK).write_text(said)
    assert lock.owner(tmp_path) == {}
    lock.hold(tmp_path, {"verb": "fit"})
    assert lock.owner(tmp_path)["verb"] == "fit"


def test_a_clock_that_went_back_is_no_obstacle(tmp_path):
    (tmp_path / lock.LOCK).write_text('{"pid": 1, "since": "2999-01-01T00:00:00+00:00", "verb": "fit"}')
    lock.hold(tmp_path, {"verb": "fit"})
    assert lock.owner(tmp_path)["since"] < "2999"


def test_a_file_system_without_locks_is_warned_about(tmp_path, monkeypatch):
    def refuse(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="no locks"):
        lock.hold(tmp_path, {"verb": "fit"})
    assert lock.owner(tmp_path)["verb"] == "fit"
