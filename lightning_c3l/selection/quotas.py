"""How many records a selection keeps, and which: the best of all, of each group, of each kind or length, yes beside no.

The better score wins everywhere, and the lower record number where scores are equal. Letters of the shapes: N records.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.selection.columns import Columns, Mask

Indexes = NDArray[np.int64]

# Enough to see a distribution, few enough that each bin of a small set has several records.
LENGTH_BINS = 10


def ranking(columns: Columns, alive: Mask) -> Indexes:
    """Positions of the records still in, from the best down."""
    inside = np.flatnonzero(alive)
    # stable, so that the lower of two numbers comes first
    return inside[np.argsort(-columns.score[inside], kind="stable")]


def best_of_each(columns: Columns, alive: Mask, groups: NDArray[np.generic], most: int) -> Mask:
    """Keep the `most` best records of each group.

    Args:
        columns: the set.
        alive: records still in, `[N]`.
        groups: a value for each record, equal within a group, `[N]`.
        most: records to keep of each group.

    Returns:
        The records kept, `[N]`.
    """
    ranked = ranking(columns, alive)
    ordered = ranked[np.argsort(groups[ranked], kind="stable")]
    keys = groups[ordered]
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.int64)
    sizes = np.diff(np.r_[first, len(keys)])
    rank = np.arange(len(keys)) - np.repeat(first, sizes)
    kept = np.zeros_like(alive)
    kept[ordered[rank < most]] = True
    return kept


def top(
    columns: Columns,
    alive: Mask,
    size: int,
    balance_kinds: bool = False,
    length_matched: bool = False,
    balance_yes_no: bool = False,
) -> Mask:
    """Keep the best `size` records, all where there are fewer.

    Args:
        columns: the set.
        alive: records still in, `[N]`.
        size: records to keep.
        balance_kinds: give each kind the same share of the size (see `equal_quotas`).
        length_matched: take the best within each bin of answer length, as many as the bin's share of `alive` (see
            `apportion`), so that lengths are distributed among the kept as among `alive`.
        balance_yes_no: keep as many records that are answered yes as no (see `balanced_yes_no`), within each kind and
            bin where those are told apart.

    Returns:
        The records kept, `[N]`.
    """
    if not balance_kinds:
        return _best(columns, alive, size, length_matched, balance_yes_no)
    counts = np.bincount(columns.kind[alive], minlength=len(columns.kinds))
    quotas = equal_quotas({columns.kinds[code]: int(count) for code, count in enumerate(counts) if count}, size)
    kept = np.zeros_like(alive)
    for code, kind in enumerate(columns.kinds):
        if quota := quotas.get(kind):
            kept |= _best(columns, alive & (columns.kind == code), quota, length_matched, balance_yes_no)
    return kept


def _best(columns: Columns, alive: Mask, size: int, length_matched: bool, balance_yes_no: bool) -> Mask:
    parts, shares = [alive], [size]
    if length_matched:
        bins = np.full(len(alive), -1, np.int8)
        bins[alive] = length_bins(columns.tokens[alive])
        shares = apportion(np.bincount(bins[alive], minlength=1), size)
        parts = [np.equal(bins, number) for number in range(len(shares))]
    kept = np.zeros_like(alive)
    for part, share in zip(parts, shares, strict=True):
        ranked = ranking(columns, part)
        first = balanced_yes_no(columns.polarity[ranked], share) if balance_yes_no else slice(share)
        kept[ranked[first]] = True
    return kept


def balanced_yes_no(polarity: Sequence[int] | NDArray[np.int8], size: int) -> Indexes:
    """Positions of the first `size` records of a ranking, with as many answers of yes as of no.

    S(I2C) ranks one of the two before the other whether or not it is true (yes where seeing a thing moves the answer
    most, no where the prior says yes), and a model trained on the top of the ranking learns to say it. The number of
    yes/no records is that of the plain top; an odd one goes to whichever ranks first, and where one of the two runs
    out, the other takes its slots.

    Args:
        polarity: 1 for yes, -1 for no, 0 for another answer, the best record first, `[N]`.
        size: records to take; all are taken where there are fewer.

    Returns:
        Positions of the other answers, of yes and of no, each ascending, `[min(size, N)]`.
    """
    signs = np.asarray(polarity, np.int8)
    first = signs[:size]
    slots = int(np.count_nonzero(first))
    yes, no = np.flatnonzero(signs > 0), np.flatnonzero(signs < 0)
    yes_first = slots > 0 and first[first != 0][0] > 0
    half = slots // 2 + slots % 2 * yes_first
    count = min(max(half, slots - len(no)), len(yes))
    return np.concatenate([np.flatnonzero(first == 0), yes[:count], no[: slots - count]])


def equal_quotas(available: Mapping[str, int], size: int) -> dict[str, int]:
    """Divide `size` equally over kinds, none above what it has; the alphabet decides who gets what does not divide.

    Args:
        available: records of each kind.
        size: records to divide; their sum is the limit.

    Returns:
        The quota of each kind.
    """
    quotas = dict.fromkeys(sorted(available), 0)
    left = min(size, sum(available.values()))
    while left:
        unfilled = [kind for kind, share in quotas.items() if share < available[kind]][:left]
        for kind in unfilled:
            quotas[kind] += 1
        left -= len(unfilled)
    return quotas


def apportion(counts: NDArray[np.int64], size: int) -> list[int]:
    """Divide `size` in proportion to counts by largest remainders, the first where they are equal.

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


def capped_shares(scores: Sequence[float] | NDArray[np.float64], cap: float) -> NDArray[np.float64]:
    """Scale scores to mean 1 and cap them; what is cut off goes to the others in proportion.

    Args:
        scores: none below 0; where all are 0, all shares are 1. `[N]`
        cap: largest share, at least 1.

    Returns:
        Shares of mean 1, in input order, `[N]`.
    """
    known = np.ascontiguousarray(scores, np.float64)
    shares, uncapped, left = np.zeros(len(known)), np.arange(len(known)), float(len(known))
    while len(uncapped):
        own = known[uncapped]
        # one after the other, as shares have been summed from the first version on
        total = sum(own.data)
        wanted = left * own / total if total > 0 else np.full(len(own), left / len(own))
        over = wanted > cap
        if not over.any():
            shares[uncapped] = wanted
            break
        # the others' shares grow by what the cap cuts off, so look again
        shares[uncapped[over]] = cap
        uncapped = uncapped[~over]
        left -= cap * int(over.sum())
    return shares


def even_yes_no(values: NDArray[np.float64], polarity: NDArray[np.int8]) -> NDArray[np.float64]:
    """Scale values so that those of yes and those of no have the same sum; that of both together stays.

    Args:
        values: none below 0, `[N]`.
        polarity: 1 for yes, -1 for no, 0 for another answer, `[N]`.

    Returns:
        The values, unchanged where there is no yes or no no; a side without a value above 0 shares its half equally.
    """
    sides, scaled = [polarity > 0, polarity < 0], values.copy()
    if all(side.any() for side in sides):
        half = float(values[polarity != 0].sum()) / 2
        for side in sides:
            total = float(values[side].sum())
            scaled[side] = values[side] * (half / total) if total > 0 else half / int(side.sum())
    return scaled


def length_edges(tokens: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The longest length of each bin but the last, ascending: quantiles of the lengths, each once."""
    if not len(tokens):
        return np.zeros(0, np.int64)
    shares = np.arange(1, LENGTH_BINS) / LENGTH_BINS
    return np.unique(np.quantile(tokens, shares, method="inverted_cdf")).astype(np.int64)


def length_bins(tokens: NDArray[np.integer[Any]]) -> Indexes:
    """Bin of each length, from 0; equal lengths share a bin, so there may be fewer than `LENGTH_BINS`."""
    return np.searchsorted(length_edges(tokens), tokens, side="left").astype(np.int64)
