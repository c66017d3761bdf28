"""A task of the round engine on disk: its manifest, its images and the parts that ranks take in turn."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.external import GENERATOR_DTYPE
from lightning_c3l.records import Instruction, Origin
from lightning_c3l.rounds.generation import GenerationConfig, Read, spans
from lightning_c3l.rounds.templates import assign, load_templates
from lightning_c3l.runs import manifest
from lightning_c3l.runs.atomic import write_json_atomic
from lightning_c3l.runs.digests import Digest
from lightning_c3l.runs.row_files import Row, RowFiles
from lightning_c3l.runs.row_jobs import RowJob
from lightning_c3l.selection.pseudo_labels import PseudoLabelConfig
from lightning_c3l.selection.scoring_config import ScoringConfig

# GPUs come in eights: a multiple of eight parts leaves no process waiting; a part has at least so many images
_EIGHT, _LEAST = 8, 4
# in a task's folder: the digest of each of its images
_IMAGES = "images.json"
# entries of a manifest that may differ between two starts
_NOTES = ("code", "images_a_part", "counts", "files")


@dataclass(frozen=True)
class Task:
    """Records to make.

    Attributes:
        name: label of the progress bar.
        folder: of the manifest, and of the rows until they are merged.
        keys: of the images.
        read: returns the image of a key.
        seed: of all random draws.
        made_with: what the records depend on, by name.
        scorer: "reference" for the LVLM as it was before training, "current" for the LVLM as it is now.
        describes: whether the LVLM describes each image too.
        pseudo_labels: says which questions are answered once more, and how; None leaves that out.
        again: what to do to start over, for error messages.
        digests: of all readable images by key; empty if images are not compared with those of the last start.
        scoring: how answers are scored; `made_with` names what is not the default.
    """

    name: str
    folder: Path
    keys: Sequence[str]
    read: Read
    seed: int
    made_with: dict[str, Any]
    scorer: Literal["reference", "current"] = "reference"
    describes: bool = False
    pseudo_labels: PseudoLabelConfig | None = None
    again: str = "--i2c.restart_round true"
    digests: Mapping[str, str] = field(default_factory=dict)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)

    @property
    def origins(self) -> tuple[Origin, ...]:
        """How questions are answered once more."""
        return () if self.pseudo_labels is None else self.pseudo_labels.origins


def row_job(config: GenerationConfig, task: Task, trained: bool = False) -> RowJob:
    """The rows of a task; see `begin_task`."""
    # the digest of all comes last: it has less to say than the setting that differs
    certain = sorted(item for item in task.made_with.items() if item[0] != GENERATOR_DTYPE)
    settings = {**task.made_with, "config": digest([repr(certain)])}
    notes = {"code": version("lightning_c3l"), "images_a_part": images_per_part(config)}
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


def begin_task(config: GenerationConfig, task: Task, trained: bool = False) -> Row:
    """Write the manifest and the list of images of a task, or compare them with the last start; rank zero only.

    Args:
        config: options of generation.
        task: what is to be made.
        trained: whether the records have been trained on, so that weights and images may differ now.

    Returns:
        The manifest.

    Raises:
        ValueError: if the last start had other settings or images; names the first that differs.
    """
    job, known = row_job(config, task, trained), known_images(task.folder)
    job.check()
    if not (trained or (task.folder / "round.json").exists()):
        _begin_images(task, known)
    kept = manifest.read(job.manifest)
    if kept["code"] != (now := version("lightning_c3l")):
        warnings.warn(f"{task.folder}: created with version {kept['code']}, resumed with {now}", stacklevel=2)
    return kept


def resumed_keys(folder: Path, keys: Sequence[str]) -> list[str]:
    """Images of a task: those of its last start, or these if there was none; every rank must call it."""
    return collectives.on_rank_zero(lambda: list(known_images(folder) or keys))


def known_images(folder: Path) -> dict[str, str]:
    """Digest by key of each image of a task that was started; empty if it was not, or by an early version."""
    is_begun = RowFiles(folder / "parts").has_rows() or (folder / "round.json").exists()
    if not is_begun or not (folder / _IMAGES).is_file():
        return {}
    try:
        return manifest.read(folder / _IMAGES)
    except ValueError as error:
        warnings.warn(f"{error}; the images are not compared with those of the last start", stacklevel=2)
        return {}


def _begin_images(task: Task, known: Mapping[str, str]) -> None:
    """Write the list of images, or refuse to resume if an image has changed or most of them are gone."""
    if not known:
        write_json_atomic(task.folder / _IMAGES, {key: task.digests.get(key, "") for key in task.keys})
        return
    changed = [key for key, digest in known.items() if task.digests.get(key, digest) != digest]
    if changed:
        raise ValueError(
            f"{task.folder}: image {changed[0]} has changed since this was started ({len(changed)} of "
            f"{len(known)} have); restore it to resume, or {task.again} to start over"
        )
    gone = [key for key in known if task.digests and key not in task.digests]
    if 2 * len(gone) > len(known):
        raise ValueError(
            f"{task.folder}: {len(gone)} of the {len(known)} images that this was started with are gone or broken, "
            f"{gone[0]} among them; restore them to resume, or {task.again} to start over"
        )


def layout(count: int, size: int) -> list[range]:
    """Parts of at most `size` images; a multiple of eight parts if there are enough images."""
    parts = math.ceil(count / size)
    even = _EIGHT * math.ceil(parts / _EIGHT)
    parts = max(parts, min(even, count // _LEAST))
    return spans(count, parts)


def images_per_part(config: GenerationConfig) -> int:
    """Images per part: two batches of generation, so that rows can be refilled, and at least one of scoring."""
    kinds = len(assigned_instructions(config, 1)[0])
    return max(math.ceil(2 * config.batch_size / kinds), config.score_batch_size)


def digest(texts: Sequence[str]) -> str:
    """Digest of a list of texts, 16 hexadecimal digits."""
    found = Digest(8)
    for text in texts:
        found.update(text, "\0")
    return found.hexdigest()


def assigned_instructions(config: GenerationConfig, count: int) -> list[list[Instruction]]:
    """The instructions of each of this number of images."""
    return assign(load_templates(config.templates), count, config.per_image)
