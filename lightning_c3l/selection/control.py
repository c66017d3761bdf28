"""The random control of a selection: as many records of each kind and answer length, whatever their scores."""

import numpy as np

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.selection.columns import Columns, Mask
from lightning_c3l.selection.quotas import length_edges


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
    edges = None if exact_lengths else length_edges(columns.tokens[eligible])
    random, drawn = stream(seed), np.zeros_like(eligible)
    # by name, not by code: codes depend on which kind came first
    for code in sorted(range(len(columns.kinds)), key=columns.kinds.__getitem__):
        pool = np.flatnonzero(eligible & (columns.kind == code))
        tokens = columns.tokens[pool]
        lengths = tokens if edges is None else np.searchsorted(edges, tokens)
        by_length = np.argsort(lengths, kind="stable")
        borders = np.flatnonzero(np.diff(lengths[by_length])) + 1
        for members in np.split(pool[by_length], borders):
            # positions, since a list of all members takes many times the memory of an array
            numbers = random.sample(range(len(members)), int(chosen[members].sum()))
            drawn[members[numbers]] = True
    return drawn
