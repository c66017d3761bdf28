"""Answers of a set as cards of its page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL.Image import Image

from data_modules.formats import Record, record_kind
from lightning_c3l.cli.set_tokens import read_image
from lightning_c3l.extensions import is_path
from lightning_c3l.functional.finite import finite
from lightning_c3l.records import READINGS_AND_RIVAL, Scores
from lightning_c3l.report.gallery import GalleryPair
from lightning_c3l.report.thumbnails import LARGEST, ImageReader
from lightning_c3l.report.token_values import TokenValues

_READINGS = (*READINGS_AND_RIVAL, "mean_logq")


def answer_pair(
    number: int, record: Record, turn: int, section: str, row: Mapping[str, Any], tokens: TokenValues | None = None
) -> GalleryPair:
    """The card of one answer.

    Args:
        number: of the record in its set, from 1.
        record: the record.
        turn: index of the answer among its messages.
        section: why it is shown.
        row: what is known of the answer: readings, `shuffled`, `status` and `reason`, each where it has it.
        tokens: what each of its tokens owes to the image.
    """
    messages = record.messages
    return GalleryPair(
        image=next((image.name for image in record.images), ""),
        section=section,
        kind=record_kind(record),
        status=str(row.get("status") or ""),
        question=messages[turn - 1].text.strip() if turn else "",
        answer=messages[turn].text.strip(),
        scores=_scores(row),
        shuffled=finite(row.get("shuffled")),
        tokens=tokens,
        reason=str(row.get("reason") or ""),
        name=f"record {number}, message {turn}",
        source=str(number),
    )


def _scores(row: Mapping[str, Any]) -> Scores | None:
    """The readings of a row, None where one is missing."""
    values = {name: value for name in _READINGS if (value := finite(row.get(name))) is not None}
    tokens = finite(row.get("tokens"))
    if len(values) < len(_READINGS) or tokens is None:
        return None
    further = {name: value for name in filter(is_path, row) if (value := finite(row[name])) is not None}
    return Scores.from_row({**values, "tokens": int(tokens), **further})


def image_reader(records: Mapping[int, Record], root: Path | None) -> ImageReader:
    """Reads the first image of the record that a card is about.

    Args:
        records: by number.
        root: folder that their images are relative to.
    """

    def read(key: str, number: str) -> Image | None:
        record = records.get(int(number))
        # twice the size of a thumbnail is enough to shrink well
        return read_image(record.images[0], root, 2 * LARGEST) if record is not None and record.images else None

    return read
