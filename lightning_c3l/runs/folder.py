"""The folder of a run and the checkpoint that it resumes from: chosen once, for all of its processes."""

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from lightning_c3l.distributed import launch
from lightning_c3l.distributed.messages import inform
from lightning_c3l.runs import lock
from lightning_c3l.runs.checkpoint_files import verify_checkpoint
from lightning_c3l.runs.project_names import require_project
from lightning_c3l.runs.trials import SWEEPS, require_trial

# in the run folder; `last.old` only exists while it is being replaced
LAST = Path("checkpoints") / "last.ckpt"
OLD = Path("checkpoints") / "last.old"
# a checkpoint that is a folder holds one of these, as torch, Lightning or DeepSpeed writes it
_SHARDS = (".metadata", "*.pt", "*/*.pt")
# verbs that leave no checkpoint
_NOT_RESUMABLE = ("predict", "test")
# files and folders that a run writes before it has made anything: among them W&B's and images from archives
_FILES_OF_A_START = (lock.LOCK, "config.yaml", "summary.json", "manifest.json", "images.json", "wandb.json")
_FOLDERS_OF_A_START = ("wandb", "unpacked")
# set by the first process of a node for those that Lightning starts there
_FOLDER, _CHECKPOINT, _PARENT = "C3L_RUN_FOLDER", "C3L_CHECKPOINT", "C3L_PARENT"
# the folder that rank zero has locked; one at most
_claimed: list[Path] = []


@dataclass(frozen=True)
class RunConfig:
    """The run folder, `<root>/<name>/version_<n>`, and what is written to it.

    Attributes:
        root: folder of all runs.
        name: name of the experiment.
        version: number of the run; the first free one unless given, the newest one with `--ckpt_path last`.
        wandb: W&B project to log to, or `ENTITY/PROJECT`; null leaves W&B out.
        wandb_mode: `online`, `offline` (to be uploaded by `wandb sync`) or `disabled`; null follows `WANDB_MODE` or
            `wandb offline`, and otherwise is online if you are logged in.
        wandb_artifacts: whether the data set, the adapter and the report are uploaded too.
        checkpoint_every: optimizer steps between two writings of `checkpoints/last.ckpt`.
        trial: `SWEEP/TRIAL` of a run that is a trial of a sweep; its folder is `<root>/sweeps/<trial>/version_<n>`.
            Under `wandb agent` it is taken from `WANDB_SWEEP_ID` and `WANDB_RUN_ID`; `sweep-local` sets it.
    """

    root: str = "runs"
    name: str = "c3l"
    version: int | None = None
    wandb: str | None = "lightning_c3l"
    wandb_mode: Literal["online", "offline", "disabled"] | None = None
    wandb_artifacts: bool = True
    checkpoint_every: int = 50
    trial: str | None = None

    def __post_init__(self) -> None:
        """Check the numbers, and that W&B accepts the name of the project."""
        if self.version is not None and self.version < 0:
            raise ValueError(f"run.version must be at least 0, not {self.version}")
        if self.checkpoint_every < 1:
            raise ValueError(f"run.checkpoint_every must be at least 1, not {self.checkpoint_every}")
        require_project("run.wandb", self.wandb)
        if self.wandb_mode not in (None, "online", "offline", "disabled"):
            raise ValueError(f"run.wandb_mode must be online, offline, disabled or null, not {self.wandb_mode!r}")
        require_trial("run.trial", self.trial)

    @property
    def home(self) -> Path:
        """Folder of all versions."""
        return Path(self.root) / (self.name if self.trial is None else f"{SWEEPS}/{self.trial}")


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, and the checkpoint to resume from; None starts from the beginning."""

    path: str
    checkpoint: str | None


def claim_folder(run: RunConfig, verb: str, checkpoint: str | None, nodes: int) -> RunFolder:
    """Choose and lock the run folder in rank zero, and tell the other processes.

    Args:
        run: options of the folder.
        verb: `fit`, `predict` or `test`.
        checkpoint: `--ckpt_path`.
        nodes: number of nodes of the run.

    Raises:
        ValueError: another run uses the folder, or the checkpoint is missing, damaged or ambiguous.
    """
    if (parent := os.environ.get(_PARENT)) and _FOLDER in os.environ and os.environ.get("LOCAL_RANK", "0") != "0":
        launch.end_with(int(parent))
        lock.acquire(Path(os.environ[_FOLDER]), None)
        return RunFolder(os.environ[_FOLDER], os.environ.get(_CHECKPOINT) or None)
    if (agent := launch.agent()) is not None:
        launch.end_with(agent)
    answer = launch.from_rank_zero(lambda: json.dumps(asdict(_claim(run, verb, checkpoint))), nodes)
    claimed = RunFolder(**json.loads(answer))
    if not lock.is_acquired():
        # a folder that rank zero has made may show up on other nodes a moment later; one that is not shared at all
        # fails with a message of its own where it is first read
        Path(claimed.path).mkdir(parents=True, exist_ok=True)
        lock.acquire(Path(claimed.path), None)
    os.environ.update({_FOLDER: claimed.path, _CHECKPOINT: claimed.checkpoint or "", _PARENT: str(os.getpid())})
    return claimed


def remove_unused_folder() -> None:
    """After a start that failed: remove the folder that this process claimed if the run has made nothing in it."""
    for folder in _claimed:
        made = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
        if all(path.name in _FILES_OF_A_START or path.parts[0] in _FOLDERS_OF_A_START for path in made):
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # there are other versions
                folder.parent.rmdir()


def release_folder(how: lock.End | None = None) -> None:
    """After a run: unlock its folder, so that another run in this process chooses its own.

    Args:
        how: the run ended, which is noted in its folder.
    """
    if how is not None:
        lock.note_end(how)
    lock.release()
    _claimed.clear()
    for name in (_FOLDER, _CHECKPOINT, _PARENT):
        os.environ.pop(name, None)


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to resume from; None if none has been written yet."""
    return next((folder / name for name in (LAST, OLD) if (folder / name).exists()), None)


def run_folder_of(checkpoint: str | Path) -> Path | None:
    """The run folder that holds a checkpoint, relative to the working folder if below it; None if it is in no run."""
    folder = Path(checkpoint).resolve().parent.parent
    if not (folder / "config.yaml").is_file():
        return None
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def job() -> str | None:
    """SLURM's id of this job, which it keeps when it is requeued; None outside SLURM."""
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def _claim(run: RunConfig, verb: str, checkpoint: str | None) -> RunFolder:
    """Choose and lock the folder; in rank zero."""
    chosen = _choose(run, verb, checkpoint)
    folder = Path(chosen.path)
    folder.mkdir(parents=True, exist_ok=True)
    lock.acquire(folder, {"verb": verb, "job": job()})
    _claimed.append(folder)
    chosen = replace(chosen, checkpoint=_intact(chosen.checkpoint))
    # nobody writes here now: these are files that a killed run did not come to rename
    for left in folder.rglob(".tmp-*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return chosen


def _intact(checkpoint: str | None) -> str | None:
    """The checkpoint, or the one before it if it is damaged and that one is not."""
    if checkpoint in (None, "last") or "://" in str(checkpoint):
        return checkpoint
    path = Path(str(checkpoint))
    if not checkpoint or not path.exists():
        raise ValueError(
            f"ckpt_path: there is no checkpoint {checkpoint or repr('')}; give the path of one, or last to resume a fit"
        )
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
        print(f"{error}; resuming from {old}", flush=True)
        return str(old)
    return checkpoint


def _choose(run: RunConfig, verb: str, checkpoint: str | None) -> RunFolder:
    if (chosen := os.environ.get(_FOLDER)) is not None:
        return RunFolder(chosen, checkpoint)
    if verb == "fit":
        if (folder := _requeued(run)) is not None:
            return _resume(folder, None if checkpoint == "last" else checkpoint)
        if checkpoint == "last":
            folder = _newest(run) if run.version is None else _version(run, run.version)
            return RunFolder(str(_new(run)), None) if folder is None else _resume(folder, None)
        if checkpoint is not None and (folder := run_folder_of(checkpoint)) is not None:
            return RunFolder(str(folder), checkpoint)
        if run.version is not None and (kept := last_checkpoint(_version(run, run.version))) is not None:
            raise ValueError(
                f"run.version: {kept} would be overwritten; resume with --ckpt_path last, or leave the version out to "
                "start in a new folder"
            )
    elif checkpoint == "last":
        # neither a data set nor a score should rest on a guess at the run that is meant
        raise ValueError(f"{verb} --ckpt_path needs the path of a checkpoint, not last")
    return RunFolder(str(_new(run)), checkpoint)


def _resume(folder: Path, otherwise: str | None) -> RunFolder:
    """The folder with its last checkpoint, or with another one if it has none."""
    if (last := last_checkpoint(folder)) is not None:
        return RunFolder(str(folder), str(last))
    if folder.is_dir():
        inform(f"{folder} has no checkpoint yet: the run restarts there and keeps what it has written")
    return RunFolder(str(folder), otherwise)


def _new(run: RunConfig) -> Path:
    """The given version, or the first free one: creating its folder claims it."""
    if run.version is not None:
        return _version(run, run.version)
    number = max(_versions(run), default=-1) + 1
    while True:
        try:
            (folder := _version(run, number)).mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def _version(run: RunConfig, number: int) -> Path:
    return run.home / f"version_{number}"


def _versions(run: RunConfig) -> list[int]:
    """Numbers of all versions, the newest first."""
    found = (re.fullmatch(r"version_(\d+)", path.name) for path in run.home.glob("version_*"))
    return sorted((int(match[1]) for match in found if match), reverse=True)


def _newest(run: RunConfig) -> Path | None:
    """The newest folder of a fit that can be resumed; failing that, the newest of a fit.

    Folders of `predict` and `test` lie beside them. A run that has just started is not skipped: it is in use.
    """
    folders = (_version(run, number) for number in _versions(run))
    fits = [f for f in folders if last_checkpoint(f) or lock.owner(f).get("verb") not in _NOT_RESUMABLE]
    started = (f for f in fits if last_checkpoint(f) or any(f.glob("rounds/**/*.jsonl")) or lock.is_held(f))
    chosen = next(started, next(iter(fits), None))
    if fits and chosen != fits[0]:
        inform(f"{fits[0]} holds nothing to resume: resuming {chosen}")
    return chosen


def _requeued(run: RunConfig) -> Path | None:
    """The folder of this job before SLURM requeued it."""
    if job() is None or int(os.environ.get("SLURM_RESTART_COUNT") or 0) < 1:
        return None
    mine = {"verb": "fit", "job": job()}
    folders = (_version(run, number) for number in _versions(run))
    return next((f for f in folders if mine.items() <= lock.owner(f).items()), None)
