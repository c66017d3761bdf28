"""Token rows as tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

Row = tuple[int, ...]


def common_prefix(rows: Sequence[Row], limit: int) -> int:
    """Length of the longest common beginning of token rows, at most `limit`."""
    first = rows[0]
    length = min(limit, *(len(row) for row in rows))
    for row in rows[1:]:
        if row[:length] != first[:length]:
            length = next(i for i in range(length) if row[i] != first[i])
    return length


def pad(rows: Sequence[Sequence[int] | Sequence[bool]], fill: int = 0) -> Tensor:
    """Rows as one tensor [R, L], padded on the right; bool rows stay bool."""
    kind = torch.bool if rows and len(rows[0]) and isinstance(rows[0][0], bool) else torch.long
    out = torch.full((len(rows), max((len(row) for row in rows), default=0)), fill, dtype=kind)
    for number, row in enumerate(rows):
        out[number, : len(row)] = torch.tensor(row, dtype=kind)
    return out


def pad_mask(lengths: Sequence[int]) -> Tensor:
    """True where a row of that length has a token, [R, L]."""
    return pad([[1] * length for length in lengths]).bool()
