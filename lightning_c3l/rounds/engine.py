"""Candidates about a set of images, made by any number of processes and resumable after a kill at any moment.

The images are split into parts that do not depend on the number of processes, which take them in turn. What is finished
is appended to this rank's row file at once (`journal`, `runs.row_jobs`), and rank zero merges all rows: the set is the
same whichever process made which part of it, and however often it was interrupted.
"""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from lightning.pytorch.profilers import Profiler
from PIL import Image as Pictures
from PIL.Image import Image
from tqdm import tqdm

from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.base import DESCRIBE, InferenceLVLM, Sampling
from lightning_c3l.records import Candidate, Instruction, ScoredCandidate
from lightning_c3l.rounds.generation import (
    GenerationConfig,
    ImageChunk,
    Read,
    Written,
    candidates_of,
    iter_image_chunks,
    spans,
)
from lightning_c3l.rounds.journal import Journal
from lightning_c3l.rounds.scoring import Known, with_scores
from lightning_c3l.rounds.templates import assign, load_templates
from lightning_c3l.runs import manifest
from lightning_c3l.runs.atomic import write_json_atomic
from lightning_c3l.runs.digests import content_digest, trained_digest
from lightning_c3l.runs.row_files import PartFiles, Row
from lightning_c3l.runs.row_jobs import RowJob

_T = TypeVar("_T")
_GONE = "gone or broken since the round was begun"
# GPUs come in eights: as many parts as there are processes, or a multiple, leave none of them waiting
_EIGHT, _LEAST = 8, 4
# of a task's folder: its images, with their digests
_IMAGES = "images.json"
# of a manifest, what may change between two starts
_NOTES = ("code", "images_a_part", "counts", "files")


@runtime_checkable
class RecordMaker(Protocol):
    """The module, as far as records are made with it."""

    writing: GenerationConfig

    @property
    def lvlm(self) -> InferenceLVLM:
        """Generates and scores."""

    def write(
        self, keys: Sequence[str], read: Read, seed: int, progress: str, first: int, written: Written
    ) -> list[Candidate]:
        """Candidates of the model as it is now."""

    def score(
        self, candidates: Sequence[Candidate], read: Read, scorer: Any, seed: int, progress: str, known: Known
    ) -> list[ScoredCandidate]:
        """Their scores."""

    def answers(self, keys: Sequence[str], questions: Sequence[str], read: Read, sampling: Sampling) -> list[str]:
        """One answer to each question."""


@dataclass(frozen=True)
class Task:
    """What records are to be made.

    Attributes:
        name: for progress bars.
        folder: where they lie until they are put together.
        keys: the images.
        read: gives the picture of a key.
        seed: of all draws.
        scorer: who scores.
        describes: whether the model describes each image too.
        made_with: what the records depend on, by name.
        again: what to do to begin again, for the message where they were made with something else.
        digests: of all images that can be read now; empty where images are not compared.
    """

    name: str
    folder: Path
    keys: Sequence[str]
    read: Read
    seed: int
    scorer: str
    describes: bool
    made_with: dict[str, Any]
    again: str = "--i2c.restart_round true"
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Records:
    """What came of it.

    Attributes:
        candidates: by image, instruction and sample.
        descriptions: of each image, where asked for.
        refused: images that the LVLM could not look at, with the reason.
    """

    candidates: list[ScoredCandidate] = field(default_factory=list)
    descriptions: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def make_records(module: RecordMaker, task: Task, profiler: Profiler) -> Records:
    """Make the records that are missing; every rank must call it.

    Args:
        module: generates and scores.
        task: what is to be made.
        profiler: measures the stages `generate` (opening images included), `score`, `engine` (keeping records) and
            `wait` (for the other ranks).

    Returns:
        All records on rank zero, none on the other ranks.

    Raises:
        ValueError: if records are there that were made with other settings; names the first that differs.
        OSError: if rows of another rank are not visible.
    """
    with profiler.profile("engine"):
        images_a_part = collectives.by_first(lambda: begin(module.writing, task))["images_a_part"]
        job = row_job(module.writing, task)
        job.open()

        def append(row: Row) -> None:
            with profiler.profile("engine"):
                job.append([row])

        journal = Journal(append)
        journal.read(job.files.unordered())
        assigned = dict(zip(task.keys, _assigned(module.writing, len(task.keys)), strict=True))
        counts = {key: len(instructions) for key, instructions in assigned.items()}
        todo = [
            span
            for span in layout(len(task.keys), images_a_part)[collectives.rank() :: collectives.world()]
            if not journal.is_whole({key: counts[key] for key in task.keys[span.start : span.stop]}, task.describes)
        ]
    gone = {key for key in task.keys if task.digests and key not in task.digests}
    for key in (key for span in todo for key in task.keys[span.start : span.stop] if key in gone):
        warnings.warn(f"image {key} is left out: {_GONE}", stacklevel=2)
        journal.written.refused[key] = _GONE

    def look(key: str) -> Image:
        # a part keeps its images, so that those behind a missing one keep their instructions; nobody looks at this one
        return Pictures.new("RGB", (1, 1)) if key in gone else task.read(key)

    with tqdm(total=sum(map(len, todo)), desc=task.name, unit="image", disable=not collectives.is_first()) as bar:
        for chunk in _timed(iter_image_chunks(module.lvlm, ImageChunk(task.keys, look), todo), profiler):
            _make_part(module, task, chunk, journal, profiler)
            with profiler.profile("engine"):
                job.sync()
            bar.update(len(chunk.keys))
    with profiler.profile("engine"):
        job.close()
    with profiler.profile("wait"):
        collectives.wait()
    with profiler.profile("engine"):
        return _together(module, task, assigned, job) if collectives.is_first() else Records()


def row_job(writing: GenerationConfig, task: Task, trained: bool = False) -> RowJob:
    """The rows of a task; see `begin`."""
    # the digest of all comes last: it has less to say than the setting that differs
    settings = {**task.made_with, "config": digest([repr(sorted(task.made_with.items()))])}
    notes = {"code": version("lightning_c3l"), "images_a_part": images_a_part(writing)}
    # which images there are now is the next round's concern
    ignored = (*_NOTES, "weights", "config", "images", "image_keys") if trained else _NOTES
    return RowJob(
        task.folder / "parts",
        {**notes, **settings},
        task.again,
        manifest=task.folder / "manifest.json",
        result=task.folder / "round.json",
        ignored=ignored,
    )


def begin(writing: GenerationConfig, task: Task, trained: bool = False) -> Row:
    """The manifest of a task, new or of its last start; rank zero only.

    Args:
        writing: how texts are written.
        task: what is to be made.
        trained: the weights are others since, for the records have been trained on.

    Raises:
        ValueError: it was begun with other settings; names the first that differs.
    """
    job, known = row_job(writing, task, trained), begun_with(task.folder)
    job.check()
    if not (trained or (task.folder / "round.json").exists()):
        _begin_images(task, known)
    kept = manifest.read(job.manifest)
    if kept["code"] != (now := version("lightning_c3l")):
        warnings.warn(f"{task.folder}: begun with version {kept['code']}, goes on with {now}", stacklevel=2)
    return kept


def kept_keys(folder: Path, keys: Sequence[str]) -> list[str]:
    """Images of a task: those that it was begun with, or these; every process must ask for them."""
    return collectives.by_first(lambda: list(begun_with(folder) or keys))


def begun_with(folder: Path) -> dict[str, str]:
    """Digest of each image of a task, in their order; empty where it was not begun, or by an earlier version."""
    is_begun = PartFiles(folder / "parts").has_rows() or (folder / "round.json").exists()
    if not is_begun or not (folder / _IMAGES).is_file():
        return {}
    try:
        return manifest.read(folder / _IMAGES)
    except ValueError as error:
        warnings.warn(f"{error}; the images are not compared with those of the last start", stacklevel=2)
        return {}


def _begin_images(task: Task, known: Mapping[str, str]) -> None:
    """Keep the images that a task begins with, or refuse those that are others now under the same names."""
    if not known:
        write_json_atomic(task.folder / _IMAGES, {key: task.digests.get(key, "") for key in task.keys})
        return
    changed = [key for key, digest in known.items() if task.digests.get(key, digest) != digest]
    if changed:
        raise ValueError(
            f"{task.folder}: image {changed[0]} is not the one that this was begun with ({len(changed)} of "
            f"{len(known)} have changed); put it back to go on, or {task.again} to begin again"
        )
    gone = [key for key in known if task.digests and key not in task.digests]
    if 2 * len(gone) > len(known):
        raise ValueError(
            f"{task.folder}: {len(gone)} of the {len(known)} images that this was begun with are gone or broken, "
            f"{gone[0]} among them; put them back to go on, or {task.again} to begin again"
        )


def layout(count: int, size: int) -> list[range]:
    """Parts of at most `size` images, in a multiple of eight where there are enough images."""
    parts = math.ceil(count / size)
    even = _EIGHT * math.ceil(parts / _EIGHT)
    parts = max(parts, min(even, count // _LEAST))
    return spans(count, parts)


def images_a_part(writing: GenerationConfig) -> int:
    """A part is two batches in writing, so that rows can be refilled, and one in scoring at least."""
    kinds = len(_assigned(writing, 1)[0])
    return max(math.ceil(2 * writing.batch_size / kinds), writing.score_batch_size)


def made_with(module: Any, keys: Sequence[str], **more: Any) -> dict[str, Any]:
    """What the records of these images depend on, by name; every process must ask for it.

    Args:
        module: who writes.
        keys: the images.
        more: whatever else belongs to it.
    """
    writing, sampling = module.writing, module.writing.sampling
    return {
        "model": module.lvlm.fingerprint,
        "dtype": str(module.lvlm.dtype),
        "weights": trained_digest(module),
        "chat_template": digest([module.lvlm.chat_template]),
        "prompts": digest([part for one in load_templates(writing.templates) for part in (one.kind, one.text)]),
        "begin": writing.begin,
        "per_image": writing.per_image,
        "samples": sampling.samples,
        "max_new_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": module.seed,
        "images": len(keys),
        "image_keys": digest(keys),
        **more,
    }


def digest(texts: Sequence[str]) -> str:
    """Short name of a list of texts."""
    return content_digest(*(f"{text}\0" for text in texts), size=8)


def _assigned(writing: GenerationConfig, count: int) -> list[list[Instruction]]:
    return assign(load_templates(writing.templates), count, writing.per_image)


def _timed(items: Iterable[_T], profiler: Profiler) -> Iterator[_T]:
    """The items; the time until each comes counts to `generate`."""
    iterator = iter(items)
    while True:
        with profiler.profile("generate"):
            item = next(iterator, None)
        if item is None:
            return
        yield item


def _make_part(module: RecordMaker, task: Task, chunk: ImageChunk, journal: Journal, profiler: Profiler) -> None:
    start, keys, read = chunk.start, chunk.keys, chunk.read
    with profiler.profile("generate"):
        candidates = module.write(keys, read, task.seed, "write", start, journal.written)
        if task.describes:
            _describe(module, [key for key in keys if key not in journal.written.refused], read, journal)
    with profiler.profile("score"):
        module.score(candidates, read, task.scorer, task.seed + start, "score", journal.scores)
        for key in keys:  # those without a text that can be parsed are finished too
            if key not in journal.written.refused:
                journal.scores.setdefault((key,), [])


def _describe(module: RecordMaker, keys: Sequence[str], read: Read, journal: Journal) -> None:
    """The model's own description of each image that has none."""
    missing = [key for key in keys if key not in journal.descriptions]
    greedy = Sampling(1, module.writing.sampling.max_new_tokens, 0.0)
    for key, text in zip(missing, module.answers(missing, [DESCRIBE] * len(missing), read, greedy), strict=True):
        journal.descriptions[key] = text


def _together(module: RecordMaker, task: Task, assigned: dict[str, list[Instruction]], job: RowJob) -> Records:
    """The rows of all ranks as records, in the order of the images."""
    journal = Journal()
    counts = {key: len(instructions) for key, instructions in assigned.items()}

    def is_complete() -> bool:
        journal.read(job.files.unordered())
        return journal.is_whole(counts, task.describes)

    job.wait_until(is_complete)
    written = journal.written
    candidates = candidates_of(assigned, module.writing, written)
    scores = {image: found for (image,), found in journal.scores.items()}
    descriptions = {key: journal.descriptions[key] for key in task.keys if key in journal.descriptions}
    refused = {key: written.refused[key] for key in task.keys if key in written.refused}
    return Records(with_scores(candidates, scores), descriptions, refused)
