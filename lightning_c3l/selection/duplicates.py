"""Records that say the same, or nearly the same, as a better one.

MinHash proposes who may be alike, the true Jaccard index of the word pairs decides. Only signatures come from
datasketch: its index of buckets holds about 7 kB a record, sorted keys hold 100 bytes.
"""

from collections import defaultdict
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lightning_c3l.selection.columns import Columns, Mask
from lightning_c3l.selection.rules import best_of_each, ranking

Over = Literal["images", "set"]

PERMUTATIONS = 128
# least share of the pairs exactly at the threshold that banding finds; above the threshold it is more
RECALL = 0.99
# Groups up to this size are compared pair by pair: cheaper than signatures, and nothing is missed.
SMALL = 64
# odd, so that multiplying by it loses nothing; 2^64 over the golden ratio
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_CHUNK = 4096


def drop_exact(columns: Columns, alive: Mask, over: Over = "images") -> Mask:
    """The best of all records with the same texts but for case, spacing and the signs at their ends.

    Args:
        columns: the set.
        alive: who is still in, [N].
        over: whether texts are compared among records of the same images or over the whole set.
    """
    scope = _scope(columns, over)
    both = np.stack([scope, columns.text], axis=1)
    groups = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)
    return best_of_each(columns, alive, groups, 1)


def drop_near(columns: Columns, alive: Mask, threshold: float, over: Over = "images", small: int = SMALL) -> Mask:
    """Going down from the best score, those that are no near-duplicate of one that stayed.

    Near-duplicates have a Jaccard index of their shingles of `threshold` or more. Records without a word have no
    shingles and stay. In groups above `small` a pair exactly at the threshold is missed in at most 1 - `RECALL`
    of cases, a pair above it less often.

    Args:
        columns: the set, with shingles.
        alive: who is still in, [N].
        threshold: above 0 and at most 1.
        over: whether records are compared among those of the same images or over the whole set.
        small: largest group of the same scope that is compared pair by pair.
    """
    lengths = np.diff(columns.starts)
    ranked = ranking(columns, alive & (lengths > 0))
    buckets = _buckets(columns, ranked, _scope(columns, over), threshold, small)
    stayed: dict[int, list[int]] = defaultdict(list)
    result = alive.copy()
    # most records of most sets are alone in all their buckets
    crowded = np.flatnonzero((buckets >= 0).any(axis=1))
    for place in tqdm(crowded, desc="near-duplicates", unit="record", delay=1, leave=False):
        record, mine = int(ranked[place]), [bucket for bucket in buckets[place].tolist() if bucket >= 0]
        rivals = np.unique(np.array([other for bucket in mine for other in stayed[bucket]], np.int64))
        if _any_alike(columns, record, rivals, threshold):
            result[record] = False
            continue
        for bucket in mine:
            stayed[bucket].append(record)
    return result


def _scope(columns: Columns, over: Over) -> NDArray[np.uint64]:
    return columns.image if over == "images" else np.zeros_like(columns.image)


def bands(threshold: float) -> tuple[int, int]:
    """How many bands of how many rows tell near-duplicates: as many rows as `RECALL` allows.

    Two texts with Jaccard index J share a band of r rows with probability J^r, and one of b bands with
    1 - (1 - J^r)^b. More rows propose fewer pairs in vain.
    """
    for rows in range(PERMUTATIONS, 1, -1):
        count = PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** count >= RECALL:
            return count, rows
    return PERMUTATIONS, 1


def _buckets(
    columns: Columns, records: NDArray[np.int64], scope: NDArray[np.uint64], threshold: float, small: int
) -> NDArray[np.int64]:
    """Buckets of each record, [M, bands], numbered over all bands; -1 where a record is alone in one."""
    _, group, sizes = np.unique(scope[records], return_inverse=True, return_counts=True)
    size = sizes[group]
    large = np.flatnonzero(size > small)
    count, rows = bands(threshold) if len(large) else (1, 1)
    buckets = np.full((len(records), count), -1, np.int64)
    buckets[:, 0] = np.where((size > 1) & (size <= small), group, -1)
    if len(large):
        keys = _band_keys(columns, records[large], scope, count, rows)
        for band in range(count):
            _, found, crowd = np.unique(keys[:, band], return_inverse=True, return_counts=True)
            shared = len(sizes) + band * len(records) + found
            buckets[large, band] = np.where(crowd[found] > 1, shared, -1)
    return buckets


def _band_keys(
    columns: Columns, records: NDArray[np.int64], scope: NDArray[np.uint64], count: int, rows: int
) -> NDArray[np.uint64]:
    """A hash of scope and signature for each record and band, [M, bands]."""
    keys = np.empty((len(records), count), np.uint64)
    with tqdm(total=len(records), desc="MinHash", unit="record", delay=1, leave=False) as bar:
        for start in range(0, len(records), _CHUNK):
            some = records[start : start + _CHUNK]
            by_band = _signatures(columns, some)[:, : count * rows].reshape(-1, count, rows)
            key = np.repeat(scope[some, None], count, axis=1)
            for row in range(rows):
                key = (key ^ by_band[:, :, row]) * _SPREAD
                key ^= key >> np.uint64(29)
            keys[start : start + len(some)] = key
            bar.update(len(some))
    return keys


def _signatures(columns: Columns, records: NDArray[np.int64]) -> NDArray[np.uint64]:
    from datasketch import MinHash  # late: it takes scipy along, a second that small groups need not wait for

    blank = MinHash(PERMUTATIONS, hashfunc=int, scheme="affine32")  # the shingles are hashes already
    signatures = np.empty((len(records), PERMUTATIONS), np.uint64)
    for place, record in enumerate(records):
        one = blank.copy()
        one.update_batch(columns.shingles[columns.starts[record] : columns.starts[record + 1]])
        signatures[place] = one.hashvalues
    return signatures


def _any_alike(columns: Columns, record: int, others: NDArray[np.int64], threshold: float) -> bool:
    """Whether the shingles of a record and of one of some others have a Jaccard index of `threshold` or more."""
    own = columns.shingles[columns.starts[record] : columns.starts[record + 1]]
    starts = columns.starts[others]
    lengths = columns.starts[others + 1] - starts
    # no index is above the ratio of the lengths
    close = np.minimum(lengths, len(own)) / np.maximum(lengths, len(own)) >= threshold
    starts, lengths = starts[close], lengths[close]
    if not len(starts):
        return False
    first = np.cumsum(lengths) - lengths
    theirs = columns.shingles[np.repeat(starts - first, lengths) + np.arange(lengths.sum())]
    place = np.minimum(np.searchsorted(own, theirs), len(own) - 1)
    common = np.add.reduceat(own[place] == theirs, first, dtype=np.int64)
    return bool((common / (len(own) + lengths - common) >= threshold).any())
