"""Token values of the answers that the page of a scored set shows, in `<stem>.tokens.json` beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from PIL.Image import Image

from data_modules.formats import ImageRef, Record, image_file
from data_modules.loading.decoding import UnreadableImage, decode_rgb
from lightning_c3l.report.token_values import TokenValues
from lightning_c3l.runs.atomic import write_json_atomic

# number of a record, and index among its messages
AnswerKey = tuple[int, int]
AnswerTokenValues = dict[AnswerKey, TokenValues]


def read_image(image: ImageRef, root: Path | None, longest_side: int | None = None) -> Image | None:
    """An image of a set; None where it cannot be read."""
    try:
        return decode_rgb(image_file(image, root), longest_side=longest_side)
    except (UnreadableImage, ValueError, OSError):
        return None


def write_tokens(path: Path, model: str, values: AnswerTokenValues, records: Mapping[int, Record]) -> None:
    """Keep token values beside a scored set.

    Args:
        path: the file.
        model: fingerprint of the LVLM that gave them.
        values: by answer.
        records: of the answers, whose texts tell whether a value still belongs to its answer.
    """
    rows = [
        {"record": number, "turn": turn, "answer": records[number].messages[turn].text, "tokens": asdict(own)}
        for (number, turn), own in sorted(values.items())
    ]
    write_json_atomic(path, {"model": model, "answers": rows})


def read_tokens(path: Path, records: Mapping[int, Record]) -> AnswerTokenValues:
    """The stored token values that belong to answers of these records; none where there is no such file.

    Args:
        path: the file.
        records: by number.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        rows: Sequence[object] = stored["answers"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # `score` makes it again
        return {}
    out = AnswerTokenValues()
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict):
            continue
        number, turn, values = row.get("record"), row.get("turn"), TokenValues.from_row(row.get("tokens"))
        if values is None or not isinstance(number, int) or not isinstance(turn, int) or number not in records:
            continue
        messages = records[number].messages
        if 0 <= turn < len(messages) and messages[turn].text == row.get("answer"):
            out[number, turn] = values
    return out
