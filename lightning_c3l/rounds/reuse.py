"""A first round made of the candidates and scores of another run, so that only what comes after them differs."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from lightning_c3l.records import Origin, ScoredCandidate
from lightning_c3l.rounds.engine import Records
from lightning_c3l.rounds.store import DamagedRound, RunStore
from lightning_c3l.rounds.tasks import Task, known_images
from lightning_c3l.runs import manifest

# entries of a round's manifest that candidates and scores of the starting model do not depend on: which of them are
# pseudo-labels, and trained weights, which change nothing before the first step
_OF_LABELS = ("positive_margin", "negatives", "weighting", "balance_yes_no", "replay")
_OF_TRAINING = ("weights", "config", "group_by", "thresholds", "descriptions", *_OF_LABELS)
_NOTES = ("code", "images_a_part", "counts", "files")


def reused_records(folder: Path, task: Task) -> Records:
    """Candidates, scores, descriptions and further answers of the first round of another run.

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
    if task.origins:
        _require_answers(store.round_folder(0), task)
    used = {one.candidate.image for one in stored.candidates}
    refused = {key: f"left out by {folder}" for key in task.keys if key not in used}
    candidates = _Joined(stored.candidates, stored.answers, task.origins) if task.origins else stored.candidates
    return Records(candidates, stored.descriptions if task.describes else {}, refused)


class _Joined(Iterable[ScoredCandidate]):
    """Candidates, each image's further answers behind them.

    Args:
        candidates: those of an image in one place.
        answers: in the order of their images, some of which may have none.
        origins: of the answers that are taken.
    """

    def __init__(
        self, candidates: Sequence[ScoredCandidate], answers: Sequence[ScoredCandidate], origins: Collection[Origin]
    ) -> None:
        self._candidates, self._answers, self._origins = candidates, answers, origins

    def __iter__(self) -> Iterator[ScoredCandidate]:
        wanted = (one for one in self._answers if one.candidate.origin in self._origins)
        further = groupby(wanted, key=_image)
        image, answers = next(further, (None, iter(())))
        for key, own in groupby(self._candidates, key=_image):
            yield from own
            if key == image:
                yield from answers
                image, answers = next(further, (None, iter(())))


def _image(one: ScoredCandidate) -> str:
    return one.candidate.image


def _require_answers(folder: Path, task: Task) -> None:
    """Refuse a round in which the questions that this task would choose were not answered once more."""
    before = manifest.read(folder / "manifest.json")
    wanted = {"reading": task.made_with["thresholds"]["reading"], "group_by": task.made_with["group_by"]}
    known = {"reading": before["thresholds"]["reading"], "group_by": before["group_by"]}
    has = {*str(before.get("negatives")).split("+"), *(["replay"] if before.get("replay") else [])}
    is_chosen_alike = wanted == known and not before.get("positive_margin")
    if not has.issuperset(task.origins) or not (is_chosen_alike or task.origins == ("replay",)):
        raise ValueError(
            f"i2c.reuse: {folder} lacks the further answers ({', '.join(task.origins)}): make it with i2c.negatives "
            "that include them and with i2c.replay above 0, the same reading and group_by, and no positive_margin; or "
            "set i2c.negatives: candidates and i2c.replay: 0 here"
        )


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
