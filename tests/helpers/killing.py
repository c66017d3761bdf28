"""Runs on the embedded world that are killed at chosen moments and started again, for the tests of resuming."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from tests.helpers.commandline import ROOT, environment

# images of a round and of the data set, kinds of instructions, texts of each
IMAGES, KINDS, SAMPLES = 16, 4, 3
# a row for each text's instruction and one for the scores of each image
ROWS = IMAGES * (KINDS + 1)
# groups of a step of all processes together, and full steps of an epoch
GROUPS = 6
STEPS = IMAGES * KINDS // GROUPS
# a busy machine needs a minute for what an idle one does in a second
PATIENCE = 600.0
# what was left alone by its launcher ends by itself
ORPHANS = 60.0


@dataclass(frozen=True)
class Moment:
    """When a run is killed, and which of its processes.

    Attributes:
        stage: as `Experiment.stage` calls it, or `start`.
        share: of the stage's work that is done, 0 to 1; seconds for `start`.
        victim: `all`, the `launcher` (the first process) or a `worker` (another one).
        processes: how many the run has this time.
    """

    stage: str
    share: float
    victim: str = "all"
    processes: int = 1


class Running:
    """A started run in a process group of its own, its output in a file."""

    def __init__(
        self, words: Sequence[str], log: Path, extra: dict[str, str] | None = None, launcher: Sequence[str] = ()
    ) -> None:
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, *launcher, "-m", "lightning_c3l", *words],
                cwd=ROOT,
                env={**environment(), "OMP_NUM_THREADS": "1", **(extra or {})},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def others(self) -> list[int]:
        """Living processes of the group but the one that was started here."""
        found = list[int]()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # one that ended meanwhile
                state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
                if int(group) == self.process.pid and state != "Z":
                    found.append(int(stat.parent.name))
        return [number for number in found if number != self.process.pid]

    def workers(self) -> list[int]:
        """The run's own processes on this machine but the first."""
        found = list[int]()
        for number in self.others():
            with suppress(OSError):
                if b"lightning_c3l" in Path(f"/proc/{number}/cmdline").read_bytes():
                    found.append(number)
        return found

    def kill(self, victim: str) -> None:
        """SIGKILL; the processes that it leaves alone must end by themselves."""
        workers = self.workers()
        if victim == "worker" and workers:
            os.kill(workers[0], signal.SIGKILL)
            assert self.wait() != 0, self.printed[-3000:]
        elif victim == "launcher":
            self.process.kill()
        else:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.end()

    def wait(self, seconds: float = PATIENCE) -> int:
        """Exit status; all is killed when it takes too long."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.give_up()

    def give_up(self) -> NoReturn:
        """Fail, and leave nothing behind."""
        os.killpg(self.process.pid, signal.SIGKILL)
        raise AssertionError(f"the run hangs:\n{self.printed[-3000:]}")

    def end(self) -> None:
        """Make sure that nothing is left of a run whose first process has ended."""
        deadline = time.monotonic() + ORPHANS
        while left := self.others():
            if time.monotonic() > deadline:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise AssertionError(f"processes were left over: {left}\n{self.printed[-3000:]}")
            time.sleep(0.1)


class Experiment:
    """A small, real run of a few rounds: it writes about drawn scenes, and what it writes can be parsed.

    Args:
        folder: for everything.
        rounds: how many.
        changes: to the configuration, merged key by key.
    """

    def __init__(self, folder: Path, rounds: int = 3, **changes: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.home, self.rounds, self._starts = folder, rounds, 0
        self.folder = folder / "runs" / "small" / "version_0"
        self.losses_file = folder / "losses.jsonl"
        self.config = folder / "small.yaml"
        self.config.write_text(yaml.safe_dump(_merged(self._settings(), changes)))
        each = [name for number in range(rounds) for name in (f"round {number}", f"train {number}")]
        self.stages = [*each, "data set", "end"]

    def start(
        self, processes: int = 1, *more: str, extra: dict[str, str] | None = None, launcher: Sequence[str] = ()
    ) -> Running:
        """Start, or go on with what was killed: the command is the same."""
        self._starts += 1
        words = ["fit", "--config", str(self.config), "--ckpt_path", "last", *_spread(processes), *more]
        return Running(words, self.home / f"start-{self._starts}.log", extra, launcher)

    def finish(self, processes: int = 1, *more: str) -> None:
        """Let the run come to its end."""
        running = self.start(processes, *more)
        assert running.wait() == 0, running.printed[-3000:]
        running.end()

    def stage(self) -> tuple[str, float]:
        """Where the run is, and what share of that stage's work is done, by what lies on the disk."""
        if (self.folder / "vlit.json").exists():
            return "end", 0.0
        rounds = self.folder / "rounds"
        if (rounds / "final" / "manifest.json").exists():
            return "data set", self._rows("final")
        done = max((number for number in range(self.rounds) if (rounds / f"{number}/round.json").exists()), default=-1)
        if done < 0 or (rounds / f"{done + 1}" / "manifest.json").exists():
            return f"round {done + 1}", self._rows(str(done + 1))
        steps = {row["step"] for row in self._losses() if row["epoch"] == done}
        return f"train {done}", len(steps) / STEPS

    def wait_for(self, moment: Moment, running: Running) -> bool:
        """Whether the run has come to a moment, and further than it was when it started, before it ended."""
        began, before = time.monotonic(), self._place(*self.stage())
        while running.process.poll() is None:
            if time.monotonic() - began > PATIENCE:
                running.give_up()
            if moment.stage == "start":
                if time.monotonic() - began > moment.share:
                    return True
            elif before < (now := self._place(*self.stage())) and now >= self._place(moment.stage, moment.share):
                return True
            time.sleep(0.01)
        assert running.process.returncode == 0, running.printed[-3000:]
        return False

    def kill_at(self, moments: Iterable[Moment]) -> Counter[str]:
        """Start, kill, and start again, once for each moment.

        Returns:
            How many kills there were in each stage, by what the disk said.
        """
        kills = Counter[str]()
        for moment in moments:
            running = self.start(moment.processes)
            if not self.wait_for(moment, running):
                break
            where, share = self.stage()
            running.kill(moment.victim)
            kills["start" if moment.stage == "start" else where] += 1
            print(f"killed {moment.victim} of {moment.processes} in {where} ({share:.0%}), wanted {moment}", flush=True)
        return kills

    def pairs(self) -> list[tuple[str, ...]]:
        """What the data set holds, sorted."""
        records = json.loads((self.folder / "vlit.json").read_text())
        return sorted((one["image"], *(turn["value"] for turn in one["conversations"])) for one in records)

    def candidates(self, number: int | None) -> list[dict[str, Any]]:
        """All records of a round, or of the data set."""
        file = "vlit-candidates.jsonl" if number is None else f"rounds/{number}/candidates-00000.jsonl"
        return [json.loads(line) for line in (self.folder / file).read_text().splitlines()]

    def groups(self, number: int) -> list[dict[str, Any]]:
        """The pseudo-labels of a round."""
        file = self.folder / f"rounds/{number}/groups-00000.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()]

    def losses(self) -> dict[int, list[float]]:
        """By optimizer step: one loss for each time that the step was made."""
        found = dict[int, list[float]]()
        for row in self._losses():
            found.setdefault(row["step"], []).append(row["loss"])
        return found

    def logged(self, name: str) -> list[tuple[int, float]]:
        """A figure of metrics.csv, with its step."""
        with (self.folder / "metrics.csv").open(newline="") as file:
            return [(int(row["step"]), float(row[name])) for row in csv.DictReader(file) if row.get(name)]

    def _losses(self) -> Iterator[dict[str, Any]]:
        if self.losses_file.exists():
            for line in self.losses_file.read_text().splitlines(keepends=True):
                if line.endswith("\n"):  # else it is being written
                    yield json.loads(line)

    def _rows(self, name: str) -> float:
        found = 0
        for file in (self.folder / "rounds" / name / "parts").glob("*.jsonl"):
            with suppress(OSError):  # they go when the round is whole
                found += file.read_bytes().count(b"\n")
        return found / ROWS

    def _place(self, stage: str, share: float) -> tuple[int, float]:
        return self.stages.index(stage), share

    def _settings(self) -> dict[str, Any]:
        lvlm = {"path": "shipped:scenes", "lora": {"rank": 4, "alpha": 8, "dropout": 0.1}}
        writing = {
            "templates": "scenes",
            "sampling": {"samples": SAMPLES, "max_new_tokens": 24, "temperature": 0.7},
            # small, so that a round has several batches and several parts
            "batch_size": 8,
            "score_batch_size": 4,
        }
        recorder = {"class_path": "tests.helpers.recorders.Losses", "init_args": {"file": str(self.losses_file)}}
        return {
            "seed_everything": 3,
            "run": {"root": str(self.home / "runs"), "name": "small", "wandb": None, "checkpoint_every": 2},
            "model": {
                "class_path": "lightning_c3l.modules.c3l.C3LModule",
                "init_args": {
                    "lvlm": {"class_path": "lightning_c3l.lvlm.huggingface.HuggingFaceLVLM", "init_args": lvlm},
                    "writing": writing,
                    "optimization": {"learning_rate": 1e-3, "warmup_steps": 2},
                },
            },
            "data": {
                "class_path": "data_modules.rounds.RoundDataModule",
                "init_args": {
                    "images": "scenes:count=24,follow=0.2,seed=1,hide=true",
                    "fresh": f"scenes:count={IMAGES},follow=0.2,seed=2",
                    "truth": {"class_path": "data_modules.scenes.SceneTruth"},
                    "batch_size": GROUPS,
                },
            },
            "i2c": {"images_per_round": IMAGES},
            "exposure": {"measure": False},
            "trainer": {
                "accelerator": "cpu",
                "max_epochs": self.rounds,
                "gradient_clip_val": 1.0,
                "log_every_n_steps": 1,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "callbacks": [recorder],
            },
        }


def same_records(found: Experiment, whole: Experiment) -> None:
    """Every record, score, pseudo-label and pair as in the other run, none twice."""
    for number in range(whole.rounds):
        same_round(found, whole, number)
    _same_rows(found.candidates(None), whole.candidates(None))
    assert found.pairs() == whole.pairs()
    assert max(Counter(found.pairs()).values()) == 1


def same_round(found: Experiment, whole: Experiment, number: int) -> None:
    """The same candidates with the same scores, and the same pseudo-labels."""
    _same_rows(found.candidates(number), whole.candidates(number))
    labels = [[(one["positive"], one["negatives"]) for one in run.groups(number)] for run in (found, whole)]
    assert labels[0]
    assert labels[0] == labels[1]


def _same_rows(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert [_identity(row) for row in rows] == [_identity(row) for row in others]
    for row, other in zip(rows, others, strict=True):
        assert row["fate"] == other["fate"]
        for name, value in _numbers(other).items():
            got = _numbers(row)[name]
            assert got == value or abs(got - value) < 1e-5, (name, row, other)


def complete_records(run: Experiment) -> None:
    """Every text of every image is there once, whatever it says."""
    for number in [*range(run.rounds), None]:
        rows = [_identity(row) for row in run.candidates(number)]
        images = {row[0] for row in rows}
        assert len(images) == IMAGES
        wanted = {(image, kind, sample) for image in images for kind in range(KINDS) for sample in range(SAMPLES)}
        kinds = sorted({row[1] for row in rows})
        assert sorted((image, kinds.index(kind), sample) for image, kind, sample, _ in rows) == sorted(wanted)
    pairs = run.pairs()
    assert pairs
    assert max(Counter(pairs).values()) == 1


def same_losses(found: Experiment, whole: Experiment) -> None:
    """The same steps, and every loss as it was, however often its step was made; metrics.csv has each once."""
    steps, expected = found.losses(), whole.losses()
    assert sorted(steps) == sorted(expected)
    for step, losses in steps.items():
        assert all(abs(loss - expected[step][0]) < 1e-4 for loss in losses), (step, losses, expected[step])
    for name in ("train/loss", "round/candidates"):
        logged, wanted = found.logged(name), whole.logged(name)
        assert [step for step, _ in logged] == [step for step, _ in wanted]
        assert all(abs(one - other) < 1e-4 for (_, one), (_, other) in zip(logged, wanted, strict=True))
    assert len(whole.logged("train/loss")) == len(expected)


def nothing_left(run: Experiment) -> None:
    """No half-written file, and no rows whose set is whole."""
    assert not list(run.folder.rglob(".tmp-*"))
    assert not list(run.folder.rglob("parts"))
    assert {path.name for path in run.folder.parent.iterdir()} == {"version_0"}


@contextmanager
def seeded(variable: str = "C3L_KILL_SEED") -> Iterator[random.Random]:
    """Chance that can be had again: its seed is printed, and taken from the environment where it is given."""
    seed = int(os.environ.get(variable) or random.SystemRandom().randrange(10**6))
    print(f"\n{variable}={seed}", flush=True)
    yield random.Random(seed)


def _identity(row: dict[str, Any]) -> tuple[str, str, int, str]:
    one = row["candidate"]
    return one["image"], one["instruction"]["kind"], one["sample"], one["text"]


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {**(row["scores"] or {}), "shuffled": row["shuffled"]}


def _spread(processes: int) -> list[str]:
    """Options for so many processes that make the same steps."""
    if processes == 1:
        return []
    strategy = ["--trainer.strategy", "ddp", "--trainer.devices", str(processes)]
    return [*strategy, "--data.init_args.batch_size", str(GROUPS // processes)]


def _merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = {name: (settings[name], value) for name, value in changes.items() if name in settings}
    nested = {name: _merged(*pair) for name, pair in both.items() if all(isinstance(one, dict) for one in pair)}
    return {**settings, **changes, **nested}
