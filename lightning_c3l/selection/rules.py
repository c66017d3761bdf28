"""The rules of a selection, each from the records that are still in to those that stay.

Everywhere the better score wins, and the lower record number where scores are equal.
"""

import random

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.selection.columns import Columns, Mask
from lightning_c3l.selection.pseudo_labels import equal_quotas

Indexes = NDArray[np.int64]

# Enough to see a distribution, few enough that each bin of a small set has several records.
LENGTH_BINS = 10


def ranking(columns: Columns, alive: Mask) -> Indexes:
    """Positions of the records that are in, from the best down."""
    inside = np.flatnonzero(alive)
    return inside[np.lexsort((columns.number[inside], -columns.score[inside]))]


def at_least(columns: Columns, alive: Mask, least: float) -> Mask:
    """Those that score `least` or more."""
    return alive & (columns.score >= least)


def best_of_each(columns: Columns, alive: Mask, groups: NDArray[np.generic], most: int) -> Mask:
    """The `most` best of each group.

    Args:
        columns: the set.
        alive: who is still in, [N].
        groups: a value for each record, equal within a group, [N].
        most: how many to keep of each.
    """
    ranked = ranking(columns, alive)
    ordered = ranked[np.argsort(groups[ranked], kind="stable")]
    keys = groups[ordered]
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.int64)
    sizes = np.diff(np.r_[first, len(keys)])
    place = np.arange(len(keys)) - np.repeat(first, sizes)
    return _mask(alive, ordered[place < most])


def top(columns: Columns, alive: Mask, size: int, balanced: bool = False, matched: bool = False) -> Mask:
    """The best `size`, all where there are fewer.

    Args:
        columns: the set.
        alive: who is still in, [N].
        size: how many to keep.
        balanced: share the size evenly over kinds (see `equal_quotas`).
        matched: take the best within each bin of answer length, as many as the bin's share of `alive`, so that
            lengths are spread among the chosen as among `alive`.
    """
    if not balanced:
        return _best(columns, alive, size, matched)
    counts = np.bincount(columns.kind[alive], minlength=len(columns.kinds))
    quotas = equal_quotas({columns.kinds[code]: int(count) for code, count in enumerate(counts) if count}, size)
    chosen = np.zeros_like(alive)
    for code, kind in enumerate(columns.kinds):
        if quota := quotas.get(kind):
            chosen |= _best(columns, alive & (columns.kind == code), quota, matched)
    return chosen


def _best(columns: Columns, alive: Mask, size: int, matched: bool) -> Mask:
    if not matched:
        return _mask(alive, ranking(columns, alive)[:size])
    bins = np.full(len(alive), -1, np.int64)
    bins[alive] = length_bins(columns.tokens[alive])
    shares = apportion(np.bincount(bins[alive], minlength=1), size)
    chosen = np.zeros_like(alive)
    for one, share in enumerate(shares):
        chosen |= _mask(alive, ranking(columns, bins == one)[:share])
    return chosen


def length_edges(tokens: NDArray[np.int64], bins: int = LENGTH_BINS) -> NDArray[np.int64]:
    """The longest length of each bin but the last, ascending: quantiles of the lengths, each once."""
    if not len(tokens):
        return np.zeros(0, np.int64)
    shares = np.arange(1, bins) / bins
    return np.unique(np.quantile(tokens, shares, method="inverted_cdf")).astype(np.int64)


def length_bins(tokens: NDArray[np.int64]) -> Indexes:
    """Bin of each length, from 0; equal lengths are always together, so that there may be fewer bins."""
    return np.searchsorted(length_edges(tokens), tokens, side="left").astype(np.int64)


def apportion(counts: NDArray[np.int64], size: int) -> list[int]:
    """Shares of `size` in proportion to counts: largest remainders round up, the first where they are equal.

    A share is never above its count; all counts are the shares where `size` is not below their sum.
    """
    # Python's numbers, because counts times size may pass 64 bits
    numbers = [int(count) for count in counts]
    total = sum(numbers)
    if size >= total:
        return numbers
    shares = [count * size // total for count in numbers]
    remainders = sorted(range(len(numbers)), key=lambda i: (-(numbers[i] * size % total), i))
    for i in remainders[: size - sum(shares)]:
        shares[i] += 1
    return shares


def random_like(columns: Columns, eligible: Mask, chosen: Mask, seed: int) -> Mask:
    """The random control of a selection: as many of each kind and bin of answer length, drawn blindly.

    Args:
        columns: the set.
        eligible: what to draw from, the chosen among them, [N]; the bins are those of its lengths.
        chosen: the selection to match, [N].
        seed: of the draw.
    """
    pool = np.flatnonzero(eligible)
    # by name, not by code: codes depend on which kind came first
    names = {kind: place for place, kind in enumerate(sorted(columns.kinds))}
    rank = np.array([names[kind] for kind in columns.kinds], np.int64)[columns.kind[pool]]
    cells = rank * LENGTH_BINS + length_bins(columns.tokens[pool])
    order = np.argsort(cells, kind="stable")
    draw = random.Random(seed)
    drawn = np.zeros_like(eligible)
    for members in np.split(pool[order], np.flatnonzero(np.diff(cells[order])) + 1):
        drawn[draw.sample(members.tolist(), int(chosen[members].sum()))] = True
    return drawn


def _mask(like: Mask, positions: Indexes) -> Mask:
    mask = np.zeros_like(like)
    mask[positions] = True
    return mask
