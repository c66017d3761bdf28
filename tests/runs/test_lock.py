"""One run a folder."""

import errno
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.runs import lock


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setattr(lock, "_PATIENCE", 0.5)
    yield
    lock.release()


class Holder:
    """Another process that holds the lock; as the first of its run, or as one of the others."""

    def __init__(self, folder: Path, role: str) -> None:
        # forked, since a new interpreter takes seconds to import lightning
        fork = multiprocessing.get_context("fork")
        acquired = fork.Event()
        self.process = fork.Process(target=self._run, args=(folder, role, acquired))
        self.process.start()
        assert acquired.wait(60)

    @staticmethod
    def _run(folder: Path, role: str, acquired: Any) -> None:
        lock.acquire(folder, {"verb": "fit"} if role == "first" else None)
        acquired.set()
        time.sleep(120)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def test_a_second_run_is_refused_until_every_process_of_the_first_has_gone(tmp_path):
    first = Holder(tmp_path, "first")
    other = Holder(tmp_path, "other")
    try:
        with pytest.raises(ValueError, match=rf"{tmp_path} is in use .*process {first.process.pid} on ") as refused:
            lock.acquire(tmp_path, {"verb": "fit"})
        assert "\n" not in str(refused.value)
        assert str(refused.value).endswith(": wait until it has ended, or choose another --run.version")
        with pytest.raises(ValueError, match=r"choose another --out$"):
            lock.acquire(tmp_path, {"verb": "two-by-two"}, "--out")
        first.kill()
        # one that was left over may still be writing
        with pytest.raises(ValueError, match="is in use"):
            lock.acquire(tmp_path, {"verb": "fit"})
        other.kill()
        lock.acquire(tmp_path, {"verb": "predict"})
        assert lock.owner(tmp_path)["verb"] == "predict"
        assert lock.owner(tmp_path)["pid"] == os.getpid()
    finally:
        first.kill()
        other.kill()


def test_a_refused_run_keeps_nothing_and_changes_nothing(tmp_path):
    first = Holder(tmp_path, "first")
    try:
        before = (tmp_path / lock.LOCK).read_text()
        with pytest.raises(ValueError, match="is in use"):
            lock.acquire(tmp_path, {"verb": "predict"})
        assert not lock.is_acquired()
        assert (tmp_path / lock.LOCK).read_text() == before
    finally:
        first.kill()


def test_a_forked_helper_does_not_keep_the_lock(tmp_path):
    lock.acquire(tmp_path, {"verb": "fit"})
    helper = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
    helper.start()
    try:
        time.sleep(0.5)
        lock.release()
        lock.acquire(tmp_path, {"verb": "fit"})
    finally:
        helper.kill()


@pytest.mark.parametrize("said", ["", "{", "[1]", '{"verb": "fit"'])
def test_a_lock_file_that_tells_nothing_is_no_obstacle(tmp_path, said):
    (tmp_path / lock.LOCK).write_text(said)
    assert lock.owner(tmp_path) == {}
    lock.acquire(tmp_path, {"verb": "fit"})
    assert lock.owner(tmp_path)["verb"] == "fit"


def test_a_clock_that_went_back_is_no_obstacle(tmp_path):
    (tmp_path / lock.LOCK).write_text('{"pid": 1, "since": "2999-01-01T00:00:00+00:00", "verb": "fit"}')
    lock.acquire(tmp_path, {"verb": "fit"})
    assert lock.owner(tmp_path)["since"] < "2999"


def test_a_file_system_without_locks_is_warned_about(tmp_path, monkeypatch):
    def refuse(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="no locks"):
        lock.acquire(tmp_path, {"verb": "fit"})
    assert lock.owner(tmp_path)["verb"] == "fit"
