"""The random control of a selection: as many records of each kind and answer length, whatever their scores."""

import numpy as np

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.selection.columns import Columns, Mask
from lightning_c3l.selection.quotas import length_bins


def random_control(columns: Columns, eligible: Mask, chosen: Mask, seed: int, exact_lengths: bool = False) -> Mask:
    """Draw as many records of each kind and answer length as were chosen.

    Args:
        columns: the set, N records.
        eligible: records to draw from, the chosen among them, `[N]`.
        chosen: the selection to match, `[N]`.
        seed: of the draw; the same set and seed give the same control.
        exact_lengths: match each length in tokens; else bins of the eligible records' lengths (see `length_bins`).

    Returns:
        The records drawn, `[N]`.

    Raises:
        ValueError: a chosen record is not eligible.
    """
    if (chosen & ~eligible).any():
        raise ValueError("a random control is drawn from all eligible records, the chosen ones among them")
    pool = np.flatnonzero(eligible)
    lengths = columns.tokens[pool] if exact_lengths else length_bins(columns.tokens[pool])
    # by name, not by code: codes depend on which kind came first
    order = {kind: position for position, kind in enumerate(sorted(columns.kinds))}
    kinds = np.array([order[kind] for kind in columns.kinds], np.int64)[columns.kind[pool]]
    by_cell = np.lexsort((lengths, kinds))
    cells = np.stack([kinds, lengths], axis=1)[by_cell]
    borders = np.flatnonzero((cells[1:] != cells[:-1]).any(axis=1)) + 1
    random, drawn = stream(seed), np.zeros_like(eligible)
    for members in np.split(pool[by_cell], borders):
        drawn[random.sample(members.tolist(), int(chosen[members].sum()))] = True
    return drawn
