"""report.html of a run folder: written when a run ends, and made again from what the folder holds."""

import csv
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.extras import RunExtras
from lightning_c3l.report.figures import nested
from lightning_c3l.report.gallery import GalleryPair
from lightning_c3l.report.page import render_report
from lightning_c3l.report.thumbnails import ImageReader
from lightning_c3l.rounds.gallery import read_token_values
from lightning_c3l.rounds.store import DamagedRound, RunStore
from lightning_c3l.runs import manifest
from lightning_c3l.runs.atomic import write_text_atomic
from lightning_c3l.runs.config_file import dump_yaml, read_config
from lightning_c3l.runs.credentials import without_credentials
from lightning_c3l.runs.digests import content_digest, file_digest

Candidates = dict[int, Sequence[ScoredCandidate]]
# files whose digests the page shows
_DIGESTED = ("config.yaml", "vlit.json", "adapter/adapter_model.safetensors")


def read_rounds(store: RunStore) -> tuple[Candidates, list[dict[str, Any]]]:
    """Candidates of each round and the figures of all; what is damaged is told in a warning and left out."""
    written, figures = Candidates(), list[dict[str, Any]]()
    for number in store.rounds():
        try:
            figures.append(store.read_figures(number))
            written[number] = store.read_round(number).candidates
        except DamagedRound as error:
            warnings.warn(f"{error}; the report leaves it out", stacklevel=2)
    return written, figures


def write_page(
    folder: Path,
    summary: Mapping[str, Any],
    candidates: Candidates,
    read_image: ImageReader,
    page: Path | None = None,
    wrong: Sequence[GalleryPair] = (),
) -> Path:
    """Write the page of a run.

    Args:
        folder: of the run.
        summary: its figures.
        candidates: of each of its rounds.
        read_image: the image of a key, None where it cannot be had.
        page: file to write, report.html in the folder unless given.
        wrong: answers to the questions of a benchmark that it shows.

    Returns:
        The page.
    """
    page = page or folder / "report.html"
    extras = replace(read_extras(folder, summary), wrong=wrong)
    write_text_atomic(page, render_report(summary, candidates, read_image, extras))
    return page


def read_extras(folder: Path, summary: Mapping[str, Any]) -> RunExtras:
    """What the page shows besides; a file that is missing is left out, a damaged one is told in a warning as well.

    Args:
        folder: of the run.
        summary: its figures.
    """
    metrics = folder / "metrics.csv"
    rows = list[dict[str, str]]()
    if metrics.is_file():
        with metrics.open(encoding="utf-8", errors="replace", newline="") as file:
            rows = list(csv.DictReader(file))
    return RunExtras(
        folder=folder.name,
        config=_config(folder / "config.yaml"),
        metrics=rows,
        exported=_exported(folder),
        evaluations=_evaluations(folder),
        digests=_digests(folder, summary),
        tokens=read_token_values(RunStore(folder))[1],
        answers=_answers(RunStore(folder)),
    )


def _config(file: Path) -> str:
    """The configuration as a page may show it."""
    try:
        return dump_yaml(without_credentials(read_config(file))) if file.is_file() else ""
    except ValueError as error:
        warnings.warn(f"{error}; left out", stacklevel=2)
        return ""


def _exported(folder: Path) -> Sequence[ScoredCandidate]:
    """Candidates of the data set."""
    try:
        return RunStore(folder).read_candidates("vlit-candidates")
    except (ValueError, LookupError, TypeError) as error:
        reason = str(error) or type(error).__name__
        warnings.warn(f"{folder / 'vlit-candidates.jsonl'}: is damaged ({reason}); left out", stacklevel=2)
        return ()


def _answers(store: RunStore) -> dict[int, Sequence[ScoredCandidate]]:
    """Further answers of the rounds that have some; `read_rounds` tells of a damaged round."""
    found = dict[int, Sequence[ScoredCandidate]]()
    for number in store.rounds():
        with suppress(DamagedRound):
            if store.has_answers(number):
                found[number] = store.read_round(number).answers
    return found


def _evaluations(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Benchmark figures of the folder and of the folders in it."""
    found = dict[str, Mapping[str, Any]]()
    for file in sorted([*folder.glob("evaluation.json"), *folder.glob("*/evaluation.json")]):
        try:
            found[str(file.parent.relative_to(folder))] = manifest.read(file)
        except ValueError as error:
            warnings.warn(f"{error}; the report leaves it out", stacklevel=2)
    return found


def _digests(folder: Path, summary: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the model, of the images that were measured on, and of files of the folder."""
    digests = {"starting model": str(summary["model"])} if summary.get("model") else {}
    for name, images in nested(summary, "images").items():
        if isinstance(images, Mapping):
            lines = "".join(f"{key} {digest}\n" for key, digest in sorted(images.items()))
            digests[f"{len(images)} images, {name.replace('_', ' ')}"] = content_digest(lines)
    return digests | {name: file_digest(folder / name) for name in _DIGESTED if (folder / name).is_file()}
