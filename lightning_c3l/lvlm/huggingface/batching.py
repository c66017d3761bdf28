"""Token rows as tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

TokenIds = tuple[int, ...]


def common_prefix(rows: Sequence[TokenIds], limit: int) -> int:
    """Length of the longest common prefix of token rows, at most `limit`."""
    first = rows[0]
    length = min(limit, *(len(row) for row in rows))
    for row in rows[1:]:
        if row[:length] != first[:length]:
            length = next(i for i in range(length) if row[i] != first[i])
    return length


def pad(rows: Sequence[Sequence[int] | Sequence[bool]], fill: int = 0) -> Tensor:
    """Right-pad rows to one tensor [R, L]; bool rows stay bool."""
    kind = torch.bool if rows and len(rows[0]) and isinstance(rows[0][0], bool) else torch.long
    out = torch.full((len(rows), max((len(row) for row in rows), default=0)), fill, dtype=kind)
    for index, row in enumerate(rows):
        out[index, : len(row)] = torch.tensor(row, dtype=kind)
    return out


def pad_mask(lengths: Sequence[int]) -> Tensor:
    """Mask of right-padded rows of these lengths, True at tokens, [R, L]."""
    return pad([[1] * length for length in lengths]).bool()
