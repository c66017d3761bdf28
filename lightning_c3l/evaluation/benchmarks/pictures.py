"""Pictures that a table of questions carries in its cells."""

import base64
import binascii
from collections.abc import Sequence

from lightning_c3l.evaluation.benchmarks.cells import id_of, text_of
from lightning_c3l.evaluation.benchmarks.rows import Row

# A shorter cell is no picture: it holds the index of the row whose picture this one shares.
_LONGEST_REFERENCE = 64


def carried_pictures(rows: Sequence[Row]) -> tuple[list[str | None], dict[str, bytes]]:
    """Key of each row's picture, and the pictures by key.

    A cell that is no base64 is kept as it is: whoever decodes pictures then says that this one cannot be read, and the
    others are not lost with it.

    Args:
        rows: with `index` and, as a rule, `image` in base64 and `image_path`.

    Returns:
        For each row the `index` of the row that carries its picture, or else its `image_path`, or None; and the
        pictures' bytes.
    """
    keys: list[str | None] = []
    pictures: dict[str, bytes] = {}
    for row in rows:
        cell = text_of(row.get("image"))
        if not cell:
            keys.append(text_of(row.get("image_path")) or None)
        elif len(cell) <= _LONGEST_REFERENCE:
            keys.append(id_of(cell))
        else:
            keys.append(id_of(row.get("index")))
            pictures[id_of(row.get("index"))] = _decoded(cell)
    return keys, pictures


def _decoded(cell: str) -> bytes:
    # a list of several pictures is written as Python writes lists; the first is the question's
    content = cell.removeprefix("['").split("'", 1)[0]
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        return cell.encode("utf-8", "replace")
