"""What goes wrong on real machines: full disks, spoilt files, dead processes, clocks that go backwards."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_c3l.runs.row_files import RowFiles
from tests.helpers.killing import Experiment, Moment, Running, nothing_left, same_losses, same_records

ROUNDS = 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Experiment:
    """A run that met no fault."""
    experiment = Experiment(tmp_path_factory.mktemp("whole"), ROUNDS)
    experiment.finish()
    return experiment


def as_without_fault(found: Experiment, whole: Experiment) -> None:
    same_records(found, whole)
    same_losses(found, whole)
    nothing_left(found)


def errors(running: Running) -> list[str]:
    return [line for line in running.printed.splitlines() if line.startswith("error:")]


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 32 megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs the rights of root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(filler: Path) -> None:
    """Take all space that is left."""
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue


# in writing rows, in a checkpoint, in a round's files or soon after, in the data set or soon after
FULL = [Moment("round 0", 0.3), Moment("train 0", 0.3), Moment("round 1", 1.0), Moment("data set", 1.0)]


@pytest.mark.kill
def test_a_full_disk(tmp_path, small_disk, whole):
    found, filler = Experiment(tmp_path / "run", ROUNDS), small_disk / "filler"
    (tmp_path / "run" / "runs").symlink_to(small_disk / "runs")
    (small_disk / "runs").mkdir()
    for moment in FULL:
        running = found.start()
        assert found.wait_for(moment, running)
        fill(filler)
        status, said = running.wait(), errors(running)
        running.end()
        filler.unlink()
        assert status == 2, running.printed[-3000:]
        assert len(said) == 1, running.printed[-3000:]
        assert "No space left on device" in said[0]
        assert "/runs/small/version_0/" in said[0]
        assert "Traceback" not in running.printed
    found.finish()
    as_without_fault(found, whole)


@pytest.mark.kill
def test_a_full_disk_of_two_processes(tmp_path, small_disk, whole):
    found, filler = Experiment(tmp_path / "run", 1), small_disk / "filler"
    (tmp_path / "run" / "runs").symlink_to(small_disk / "runs")
    (small_disk / "runs").mkdir()
    running = found.start(2)
    assert found.wait_for(Moment("round 0", 0.3), running)
    fill(filler)
    assert running.wait() != 0
    running.end()
    filler.unlink()
    assert any("No space left on device" in line for line in errors(running)), running.printed[-3000:]
    found.finish(2)
    # the first round does not depend on how many processes there are
    assert found.candidates(0) == whole.candidates(0)


@pytest.mark.slow
def test_a_dead_worker_ends_the_run(tmp_path):
    found = Experiment(tmp_path, 1)
    running = found.start(2)
    assert found.wait_for(Moment("round 0", 0.3), running)
    began = time.monotonic()
    running.kill("worker")
    # kill() has seen a status that is not 0, and that nobody was left over
    assert time.monotonic() - began < 60
    assert found.stage()[0] == "round 0"
    found.finish(2)
    nothing_left(found)


def spoil(files: list[Path]) -> None:
    """One file gets a wrong byte, one is cut, one has a block of zeros."""
    flipped, cut, zeroed = (bytearray(file.read_bytes()) for file in files)
    flipped[len(flipped) // 2] ^= 0x10
    del cut[len(cut) * 2 // 3 :]
    zeroed[len(zeroed) // 3 : len(zeroed) // 3 + 512] = bytes(512)
    for file, data in zip(files, (flipped, cut, zeroed), strict=True):
        file.write_bytes(data)


@pytest.mark.kill
def test_spoilt_rows_are_made_again(tmp_path, whole):
    found = Experiment(tmp_path, ROUNDS)
    found.kill_at(Moment("round 1", share) for share in (0.15, 0.4, 0.7))
    folder = found.folder / "rounds" / "1" / "parts"
    files = sorted(folder.glob("*.jsonl"))
    assert len(files) == 3, "each start writes a file of its own"
    before = len(list(RowFiles(folder).unordered()))
    spoil(files)
    assert len(list(RowFiles(folder).unordered())) < before - 3
    found.finish()
    as_without_fault(found, whole)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x01
    file.write_bytes(data)


@pytest.mark.kill
@pytest.mark.parametrize("name", ["candidates-00000.jsonl", "round.json", "manifest.json"])
def test_a_spoilt_round_that_was_not_trained_on(tmp_path, whole, name):
    """It is made again, or the run says which file is spoilt and how to begin that round again."""
    found = Experiment(tmp_path, ROUNDS)
    running = found.start(1, "--run.checkpoint_every", "1000")
    assert found.wait_for(Moment("train 0", 0.0), running)
    running.kill("all")
    if name.endswith("jsonl"):
        flip(found.folder / "rounds" / "0" / name)
    else:
        (found.folder / "rounds" / "0" / name).write_text('{"half')
    running = found.start()
    if running.wait():
        said = errors(running)
        assert len(said) == 1, running.printed[-3000:]
        assert name in said[0]
        assert "restart_round" in said[0]
        found.finish(1, "--i2c.restart_round", "true")
    as_without_fault(found, whole)


@pytest.mark.kill
def test_a_spoilt_round_that_is_trained_on_is_named(tmp_path):
    found = Experiment(tmp_path, ROUNDS)
    assert found.kill_at([Moment("train 0", 0.6)]).total() == 1
    assert (found.folder / "checkpoints" / "last.ckpt").exists()
    flip(found.folder / "rounds" / "0" / "candidates-00000.jsonl")
    running = found.start()
    assert running.wait() == 2
    said = errors(running)
    assert len(said) == 1, running.printed[-3000:]
    assert "rounds/0/candidates-00000.jsonl" in said[0]


BACKWARDS = """
import time
_now = time.time
# a day earlier, and a second earlier at each look
_looks = iter(range(10**9))
time.time = lambda: _now() - 86400 - next(_looks)
"""


@pytest.mark.kill
def test_a_clock_that_goes_backwards(tmp_path, whole):
    found = Experiment(tmp_path, ROUNDS)
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(BACKWARDS)
    backwards = {"PYTHONPATH": str(tmp_path / "clock")}
    for moment, years in ((Moment("round 0", 0.5), 10), (Moment("train 0", 0.5), -10), (Moment("round 1", 0.5), 10)):
        running = found.start(extra=backwards)
        assert found.wait_for(moment, running)
        running.kill("all")
        for path in found.folder.rglob("*"):
            when = time.time() + years * 365 * 86400
            os.utime(path, (when, when))
    running = found.start(extra=backwards)
    assert running.wait() == 0, running.printed[-3000:]
    as_without_fault(found, whole)


@pytest.mark.kill
def test_two_runs_on_one_folder(tmp_path, whole):
    found = Experiment(tmp_path, ROUNDS)
    running = found.start()
    assert found.wait_for(Moment("round 0", 0.1), running)
    # so that it has not ended before the others have looked
    running.process.send_signal(signal.SIGSTOP)
    for more in ((), ("--run.version", "0")):
        second = found.start(1, *more)
        assert second.wait() == 2
        (said,) = errors(second)
        assert f"{found.folder} is in use by another run" in said
        assert str(running.process.pid) in said
    running.process.send_signal(signal.SIGCONT)
    assert running.wait() == 0, running.printed[-3000:]
    as_without_fault(found, whole)
