"""report.html of a run folder: written when a run ends, and made again from what the folder holds."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.cards import ImageReader
from lightning_c3l.report.page import render_report
from lightning_c3l.rounds.store import DamagedRound, RunStore
from lightning_c3l.runs.atomic import write_text_atomic

Candidates = dict[int, Sequence[ScoredCandidate]]


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


def write_page(folder: Path, summary: Mapping[str, Any], candidates: Candidates, read_image: ImageReader) -> Path:
    """Write report.html into a run folder.

    Args:
        folder: of the run.
        summary: its figures.
        candidates: of each of its rounds.
        read_image: the image of a key, None where it cannot be had.

    Returns:
        The page.
    """
    page = folder / "report.html"
    write_text_atomic(page, render_report(summary, candidates, read_image))
    return page
