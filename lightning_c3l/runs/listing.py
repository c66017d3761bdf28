"""Run folders on disk: where they are, how their runs ended, and what their summaries say."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from glob import glob
from pathlib import Path
from typing import Any, Literal

from lightning_c3l.distributed.program import command_line
from lightning_c3l.runs import lock, manifest

RunStatus = Literal["finished", "running", "interrupted", "failed"]

_VERSION = re.compile(r"version_(\d+)")
# what a folder named version_N holds if it is one of a run; any other folder needs its configuration and one of these
_MARKS = (lock.LOCK, "config.yaml", "summary.json")
_MADE = ("summary.json", "metrics.csv", "rounds", lock.LOCK)
# left by runs that have ended, before the end was noted
_LEFT_AT_THE_END = ("report.html", "evaluation.json", "vlit.json", "model")
# parts of summary.json that hold values by name
_MAPPINGS = ("dataset", "evaluation", "exposure_bias", "guard", "i2c_auroc", "images", "run", "writers")
# folders of folders of runs, as those of a sweep's trials
_DEEPEST = 6


@dataclass(frozen=True)
class FoundRun:
    """A run folder and what it says of its run.

    Attributes:
        folder: the run folder.
        status: how the run ended, if it has.
        verb: `fit`, `predict` or `test`; empty where it is not known.
        began: time of its last start; that of the folder where none is noted.
        summary: content of summary.json; empty where there is none.
        problems: what cannot be read, a sentence each.
    """

    folder: Path
    status: RunStatus
    verb: str
    began: datetime
    summary: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_run(folder: Path) -> FoundRun:
    """What a run folder says of its run; what is damaged is named and left as it is."""
    owner, summary, problems = lock.owner(folder), dict[str, Any](), list[str]()
    file = folder / "summary.json"
    if file.is_file():
        try:
            summary = manifest.read(file)
        except (ValueError, OSError) as error:
            problems.append(str(error))
    for part in [name for name, value in summary.items() if not _has_form(name, value)]:
        del summary[part]
        problems.append(f"{file}: its part {part} is damaged")
    try:
        began = datetime.fromisoformat(str(owner.get("since")))
    except ValueError:
        began = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return FoundRun(folder, _status(folder, owner), str(owner.get("verb") or ""), began, summary, tuple(problems))


def find_runs(root: Path) -> list[Path]:
    """All run folders in a folder and in those below it, or the folder itself if it is one."""
    return [root] if _is_run(root) else sorted(_below(root, 0))


def chosen_runs(words: Sequence[str]) -> list[Path]:
    """The run folders that some words of a command line name, each once.

    Args:
        words: run folders, folders of versions of which the newest counts, or patterns of such.

    Raises:
        ValueError: a word names no run.
    """
    found = dict[str, Path]()
    for word in words:
        paths = [Path(word).expanduser()]
        if not paths[0].exists():
            paths = [Path(path) for path in sorted(glob(os.path.expanduser(word)), key=_natural)]
        runs = [run for path in paths if (run := _run_of(path)) is not None]
        if not runs:
            raise ValueError(
                f"{word}: no run folder, nor a folder of versions of one; `{command_line('runs')}` lists those in runs/"
            )
        for run in runs:
            found.setdefault(os.path.realpath(run), run)
    return list(found.values())


def _run_of(path: Path) -> Path | None:
    """The folder itself, or the newest of its versions."""
    if _is_run(path):
        return path
    versions = [one for one in path.glob("version_*") if _VERSION.fullmatch(one.name) and _is_run(one)]
    return max(versions, key=lambda one: int(one.name.partition("_")[2]), default=None)


def _is_run(folder: Path) -> bool:
    if _VERSION.fullmatch(folder.name):
        return any((folder / name).exists() for name in _MARKS)
    return (folder / "config.yaml").is_file() and any((folder / name).exists() for name in _MADE)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """Run folders below one; runs are not searched, since their image folders may be large."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                continue
            path = Path(entry.path)
            if _is_run(path):
                yield path
            elif depth < _DEEPEST:
                yield from _below(path, depth + 1)


def _has_form(part: str, value: Any) -> bool:
    """Whether a part of a summary is what a run writes there, as far as its readers rely on it."""
    if part == "rounds":
        return isinstance(value, list) and all(isinstance(one, dict) for one in value)
    if part == "guard" and isinstance(value, dict):
        states = value.get("states", [])
        return isinstance(states, list) and all(_is_state(one) for one in states)
    return part not in _MAPPINGS or isinstance(value, dict)


def _is_state(value: Any) -> bool:
    """Whether this is a state of the guard: its limits are sentences."""
    return isinstance(value, dict) and isinstance(value.get("tripped", []), list)


def _status(folder: Path, owner: dict[str, Any]) -> RunStatus:
    if lock.is_held(folder):
        return "running"
    if owner.get("ended") in ("finished", "failed"):
        return owner["ended"]  # type: ignore[no-any-return]
    if "ended" in owner:
        # killed, or told to stop
        return "interrupted"
    return "finished" if any((folder / name).exists() for name in _LEFT_AT_THE_END) else "interrupted"


def _natural(text: str) -> list[tuple[int, str]]:
    """Key that sorts version_10 after version_9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
