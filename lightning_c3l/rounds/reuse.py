"""A first round made of the candidates and scores of another run, so that only what comes after them differs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_c3l.rounds.engine import Records
from lightning_c3l.rounds.store import DamagedRound, RunStore
from lightning_c3l.rounds.tasks import Task, known_images
from lightning_c3l.runs import manifest

# entries of a round's manifest that candidates and scores of the starting model do not depend on: which of them are
# pseudo-labels, and trained weights, which change nothing before the first step
_OF_TRAINING = ("weights", "config", "group_by", "thresholds", "descriptions")
_NOTES = ("code", "images_a_part", "counts", "files")


def reused_records(folder: Path, task: Task) -> Records:
    """Candidates, scores and descriptions of the first round of another run.

    Args:
        folder: run folder.
        task: what would be made.

    Raises:
        ValueError: the run has no finished first round, or one of another model, other options or other images; names
            the first that differs.
    """
    store = RunStore(folder)
    try:
        stored = store.read_round(0)
    except DamagedRound as error:
        raise ValueError(f"i2c.reuse: {error}") from error
    _require_same(store.round_folder(0), task)
    used = {one.candidate.image for one in stored.candidates}
    refused = {key: f"left out by {folder}" for key in task.keys if key not in used}
    return Records(stored.candidates, stored.descriptions if task.describes else {}, refused)


def _require_same(folder: Path, task: Task) -> None:
    """Refuse a round that this task would not make."""
    before: Mapping[str, Any] = manifest.read(folder / "manifest.json")
    for name in {**before, **task.made_with}:
        if name not in (*_OF_TRAINING, *_NOTES) and before.get(name) != task.made_with.get(name):
            old, new = before.get(name), task.made_with.get(name)
            raise ValueError(
                f"i2c.reuse: {folder} was made with {name}={old!r}, this run has {name}={new!r}: use the same, or "
                "leave i2c.reuse out"
            )
    if task.describes and not before.get("descriptions"):
        raise ValueError(f"i2c.reuse: {folder} has no descriptions of its images, which loss.anchor needs")
    images = {key: task.digests.get(key, "") for key in task.keys}
    if known_images(folder) != images:
        raise ValueError(f"i2c.reuse: images of {folder} have changed since it was made")
