"""A benchmark asked through the real command line: by two processes as by one, and after SIGKILL as without."""

import json
import time
from pathlib import Path

import pytest

from tests.helpers.benchmark_files import write_benchmark
from tests.helpers.benchmark_runs import benchmark_config
from tests.helpers.killing import Running

# they share a run
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("asking")]
# of each of POPE's splits; three chunks and more for each of two processes
REPEATED = 17


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """POPE's splits about small pictures, one of which is broken, with enough questions to be killed among them."""
    questions, images = write_benchmark(tmp_path_factory.mktemp("pope"), "pope", broken=[1])
    for file in Path(questions).iterdir():
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        more = [
            {**row, "question_id": number * 100 + row["question_id"], "text": f"{row['text']} {number}"}
            for number in range(REPEATED)
            for row in rows
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in more))
    return questions, images


def start(folder: Path, config: Path, processes: int, *more: str) -> Running:
    spread = ["--trainer.strategy", "ddp", "--trainer.devices", str(processes)] if processes > 1 else []
    return Running(["test", "--config", str(config), *spread, *more], folder / f"{time.monotonic_ns()}.log")


def finish(folder: Path, config: Path, processes: int, *more: str) -> Running:
    running = start(folder, config, processes, *more)
    assert running.wait() == 0, running.printed[-3000:]
    running.end()
    return running


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, questions: tuple[str, str]) -> Path:
    """The run folder of one process."""
    folder = tmp_path_factory.mktemp("alone")
    finish(folder, benchmark_config(folder, tiny_checkpoint, "pope", questions), 1)
    return folder / "runs" / "pope" / "version_0"


def same(found: Path, whole: Path) -> None:
    """Answers, figures and what is logged."""
    assert (found / "answers.jsonl").read_bytes() == (whole / "answers.jsonl").read_bytes()
    figures, expected = (json.loads((one / "evaluation.json").read_text()) for one in (found, whole))
    assert figures["protocols"] == expected["protocols"]
    for folder in (found, whole):
        logged = json.loads((folder / "summary.json").read_text())["evaluation"]
        for protocol, name in (("reference", "test/pope_f1"), ("strict", "test/pope_f1_strict")):
            assert logged[name] == pytest.approx(expected["protocols"][protocol]["headline"])


def test_two_processes_write_the_same_file(
    tmp_path: Path, tiny_checkpoint: Path, questions: tuple[str, str], alone: Path
) -> None:
    finish(tmp_path, benchmark_config(tmp_path, tiny_checkpoint, "pope", questions), 2)
    folder = tmp_path / "runs" / "pope" / "version_0"
    same(folder, alone)
    # both had their part of it
    assert {path.name.split("-")[1] for path in (folder / "answers.parts").glob("rank-*")} == {"0000", "0001"}


@pytest.mark.parametrize(("victim", "processes", "then"), [("all", 1, 2), ("worker", 2, 1), ("launcher", 2, 2)])
def test_a_killed_run_goes_on(
    tmp_path: Path,
    tiny_checkpoint: Path,
    questions: tuple[str, str],
    alone: Path,
    victim: str,
    processes: int,
    then: int,
) -> None:
    config, folder = (
        benchmark_config(tmp_path, tiny_checkpoint, "pope", questions),
        tmp_path / "runs" / "pope" / "version_0",
    )
    running = start(tmp_path, config, processes)
    deadline = time.monotonic() + 300
    while not any(part.stat().st_size for part in folder.glob("answers.parts/*.jsonl")):
        assert running.process.poll() is None, running.printed[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.kill(victim)
    assert not (folder / "answers.jsonl").exists()
    again = finish(tmp_path, config, then, "--run.version", "0")
    assert "questions are done already" in again.printed
    same(folder, alone)
