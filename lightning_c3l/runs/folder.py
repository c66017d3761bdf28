"""Where a run leaves what it made, and from which checkpoint it goes on: one answer for all of its processes."""

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lightning_c3l.distributed import launch
from lightning_c3l.runs import lock
from lightning_c3l.runs.checkpoint_files import verify_checkpoint

# of the run folder; `last.old` only exists for the moment in which a new one takes its place
LAST = Path("checkpoints") / "last.ckpt"
OLD = Path("checkpoints") / "last.old"
# W&B refuses these letters, and longer names
_WANDB_PROJECT = re.compile(r"([^/\\#?%:]+/)?[^/\\#?%:]{1,128}")
# of which one at least is in a checkpoint that is a folder
_SHARDS = (".metadata", "*.pt", "*/*.pt")
# what leaves no checkpoint to go on from
_OTHERS = ("predict", "test")
# what a run leaves before it has made anything; the folders are those of W&B and of images out of archives
_BEFORE_RECORDS = (lock.LOCK, "config.yaml", "manifest.json", "images.json")
_BESIDE_RECORDS = ("wandb", "unpacked")
# the first process of a node tells those that Lightning starts there
_FOLDER, _CHECKPOINT, _PARENT = "C3L_RUN_FOLDER", "C3L_CHECKPOINT", "C3L_PARENT"
# the folder that the first process has locked; one at most
_claimed: list[Path] = []


@dataclass(frozen=True)
class RunConfig:
    """Where a run leaves what it made: `<root>/<name>/version_<n>`.

    Attributes:
        root: folder of all runs.
        name: name of the experiment.
        version: number of the run; the first free one unless given, the newest one with `--ckpt_path last`.
        wandb: project that W&B logs to, or entity/project; offline unless you are logged in. null leaves W&B out.
        checkpoint_every: optimizer steps between two writings of `checkpoints/last.ckpt`.
    """

    root: str = "runs"
    name: str = "c3l"
    version: int | None = None
    wandb: str | None = "lightning_c3l"
    checkpoint_every: int = 50

    def __post_init__(self) -> None:
        """Refuse numbers that count nothing, and names that W&B cannot give a project."""
        if self.version is not None and self.version < 0:
            raise ValueError(f"run.version must be at least 0, not {self.version}")
        if self.checkpoint_every < 1:
            raise ValueError(f"run.checkpoint_every must be at least 1, not {self.checkpoint_every}")
        if self.wandb is not None and not _WANDB_PROJECT.fullmatch(self.wandb):
            raise ValueError(f"run.wandb must be a project, entity/project or null, not {self.wandb!r}")

    @property
    def home(self) -> Path:
        """Folder of all versions."""
        return Path(self.root) / self.name


@dataclass(frozen=True)
class Place:
    """A run folder, and the checkpoint to go on from; None begins anew."""

    folder: str
    checkpoint: str | None


def settle(run: RunConfig, verb: str, checkpoint: str | None, nodes: int) -> Place:
    """Choose, lock, and tell the other processes.

    Args:
        run: what the user said about the folder.
        verb: `fit`, `predict` or `test`.
        checkpoint: `--ckpt_path`.
        nodes: how many nodes the run has.

    Raises:
        ValueError: if another run has the folder, or the checkpoint is missing, damaged or not named by its path.
    """
    if (parent := os.environ.get(_PARENT)) and _FOLDER in os.environ and os.environ.get("LOCAL_RANK", "0") != "0":
        launch.end_with(int(parent))
        lock.hold(Path(os.environ[_FOLDER]), None)
        return Place(os.environ[_FOLDER], os.environ.get(_CHECKPOINT) or None)
    if (agent := launch.agent()) is not None:
        launch.end_with(agent)
    place = Place(**json.loads(launch.from_rank_zero(lambda: json.dumps(asdict(_claim(run, verb, checkpoint))), nodes)))
    if not lock.holds():
        # what the first process has made may take a moment to be seen on another node; if it is never seen, the
        # folder is not shared, which is said where it is first read
        Path(place.folder).mkdir(parents=True, exist_ok=True)
        lock.hold(Path(place.folder), None)
    os.environ.update({_FOLDER: place.folder, _CHECKPOINT: place.checkpoint or "", _PARENT: str(os.getpid())})
    return place


def abandon() -> None:
    """After a start that failed: take its folder away if nothing was made in it; in the first process."""
    for folder in _claimed:
        made = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
        if all(path.name in _BEFORE_RECORDS or path.parts[0] in _BESIDE_RECORDS for path in made):
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # there are other versions
                folder.parent.rmdir()


def leave() -> None:
    """After a run: another one in the same process chooses anew."""
    lock.release()
    _claimed.clear()
    for name in (_FOLDER, _CHECKPOINT, _PARENT):
        os.environ.pop(name, None)


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to go on from, None where none was written yet."""
    return next((folder / name for name in (LAST, OLD) if (folder / name).exists()), None)


def folder_of(checkpoint: str | Path) -> Path | None:
    """The run folder that a checkpoint lies in, None where it lies in none.

    Relative to the working folder where it is below it.
    """
    folder = Path(checkpoint).resolve().parent.parent
    if not (folder / "config.yaml").is_file():
        return None
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _claim(run: RunConfig, verb: str, checkpoint: str | None) -> Place:
    """Choose in the first process, and lock."""
    place = _choose(run, verb, checkpoint)
    folder = Path(place.folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock.hold(folder, {"verb": verb, "job": job()})
    _claimed.append(folder)
    place = replace(place, checkpoint=_whole(place.checkpoint))
    # nobody writes here now: what a killed run was about to rename is of no use
    for left in folder.rglob(".tmp-*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return place


def _whole(checkpoint: str | None) -> str | None:
    """The checkpoint, or the one before it where it is damaged and that one is not."""
    if checkpoint in (None, "last") or "://" in str(checkpoint):
        return checkpoint
    path = Path(str(checkpoint))
    if not checkpoint or not path.exists():
        raise ValueError(
            f"ckpt_path: there is no checkpoint {checkpoint or repr('')}; give the path of one, or last to go on with "
            "a fit"
        )
    # what torch, Lightning and DeepSpeed leave in a folder that is a checkpoint
    if path.is_dir() and not any(file for pattern in _SHARDS for file in path.glob(pattern)):
        within = next((path / name for name in (LAST, LAST.name) if (path / name).exists()), None)
        raise ValueError(
            f"ckpt_path: {path} is a folder without a checkpoint"
            if within is None
            else f"ckpt_path: {path} is a folder; give {within}"
        )
    try:
        verify_checkpoint(path)
    except ValueError as error:
        old = path.with_name(OLD.name)
        if path.name != LAST.name or not old.exists():
            raise ValueError(
                f"{error}; give another one, or remove it and train again with --ckpt_path last"
            ) from error
        verify_checkpoint(old)
        print(f"{error}; going on from {old}", flush=True)
        return str(old)
    return checkpoint


def _choose(run: RunConfig, verb: str, checkpoint: str | None) -> Place:
    if (chosen := os.environ.get(_FOLDER)) is not None:
        return Place(chosen, checkpoint)
    if verb == "fit":
        if (folder := _requeued(run)) is not None:
            return _go_on(folder, None if checkpoint == "last" else checkpoint)
        if checkpoint == "last":
            folder = _newest(run) if run.version is None else run.home / f"version_{run.version}"
            return Place(str(_new(run)), None) if folder is None else _go_on(folder, None)
        if checkpoint is not None and (folder := folder_of(checkpoint)) is not None:
            return Place(str(folder), checkpoint)
        if run.version is not None and (kept := last_checkpoint(run.home / f"version_{run.version}")) is not None:
            raise ValueError(
                f"run.version: {kept} would be overwritten; go on with --ckpt_path last, or leave the version out to "
                "begin in a new folder"
            )
    elif checkpoint == "last":
        # which run's is a guess that neither a data set nor a score should rest on
        raise ValueError(f"{verb} --ckpt_path needs the path of a checkpoint, not last")
    return Place(str(_new(run)), checkpoint)


def _go_on(folder: Path, otherwise: str | None) -> Place:
    """Where a run left off, or at its beginning."""
    if (last := last_checkpoint(folder)) is not None:
        return Place(str(folder), str(last))
    if folder.is_dir():
        print(f"{folder} has no checkpoint yet: the run begins anew there, with what it has written", flush=True)
    return Place(str(folder), otherwise)


def _new(run: RunConfig) -> Path:
    """The given version, or the first free one: making its folder claims it."""
    if run.version is not None:
        return run.home / f"version_{run.version}"
    number = max(_versions(run), default=-1) + 1
    while True:
        try:
            (folder := run.home / f"version_{number}").mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def _versions(run: RunConfig) -> list[int]:
    found = (re.fullmatch(r"version_(\d+)", path.name) for path in run.home.glob("version_*"))
    return sorted(int(match[1]) for match in found if match)


def _newest(run: RunConfig) -> Path | None:
    """The newest folder of a fit with something to go on from, or the newest at all.

    Those of `predict` and `test` lie beside them. A run that has just begun is not passed over: it is in use.
    """
    folders = (run.home / f"version_{number}" for number in reversed(_versions(run)))
    fits = [f for f in folders if last_checkpoint(f) or lock.owner(f).get("verb") not in _OTHERS]
    started = (f for f in fits if last_checkpoint(f) or any(f.glob("rounds/**/*.jsonl")) or lock.is_held(f))
    chosen = next(started, next(iter(fits), None))
    if fits and chosen != fits[0]:
        print(f"{fits[0]} holds nothing to go on from: going on in {chosen}", flush=True)
    return chosen


def job() -> str | None:
    """SLURM's name of this job; a job that was requeued keeps it."""
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def _requeued(run: RunConfig) -> Path | None:
    """The folder in which this job was before SLURM started it again."""
    if job() is None or int(os.environ.get("SLURM_RESTART_COUNT") or 0) < 1:
        return None
    folders = (run.home / f"version_{number}" for number in reversed(_versions(run)))
    mine = {"verb": "fit", "job": job()}
    return next((f for f in folders if mine.items() <= lock.owner(f).items()), None)
