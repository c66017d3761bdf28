"""The rule on records that say the same, or nearly the same, as a better one.

MinHash proposes who may be alike, the true Jaccard index of the word pairs decides. Only signatures come from
datasketch: its index of buckets holds about 7 kB a record, sorted keys hold 100 bytes.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.report.progress import stage, track
from lightning_c3l.selection.columns import Columns, Mask
from lightning_c3l.selection.quotas import best_of_each, ranking

Over = Literal["images", "set"]

PERMUTATIONS = 128
# least share of the pairs exactly at the threshold that banding finds; above the threshold it is more
RECALL = 0.99
# Groups up to this size are compared pair by pair: cheaper than signatures, and nothing is missed.
SMALL = 64
# odd, so that multiplying by it loses nothing; 2^64 over the golden ratio
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_CHUNK = 4096


@dataclass(frozen=True)
class NearDuplicateRule:
    """Which records are near-duplicates.

    Attributes:
        threshold: least Jaccard index of their shingles, above 0 and at most 1.
        over: whether records are compared among those of the same images or over the whole set.
        one_per_question: whether records with the same question are near-duplicates whatever they answer.
        all_pairs_up_to: largest group of the same scope that is compared pair by pair, larger ones by MinHash; None
            for no limit.
    """

    threshold: float = 0.8
    over: Over = "images"
    one_per_question: bool = False
    all_pairs_up_to: int | None = SMALL


def drop_exact(columns: Columns, alive: Mask, over: Over = "images") -> Mask:
    """Keep the best of the records with the same texts but for case, spacing and end punctuation.

    Args:
        columns: the set, with texts.
        alive: records still in, [N].
        over: whether texts are compared among records of the same images or over the whole set.

    Returns:
        The records kept, [N].
    """
    scope = _scope(columns, over)
    both = np.stack([scope, columns.text], axis=1)
    groups = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)
    return best_of_each(columns, alive, groups, 1)


def drop_near(columns: Columns, alive: Mask, rule: NearDuplicateRule) -> Mask:
    """Keep, from the best score down, each record that is no near-duplicate of one kept.

    Records without a word have no shingles and stay, unless their question was asked. In groups above
    `all_pairs_up_to` a pair exactly at the threshold is missed in at most 1 - `RECALL` of cases, a pair above it less
    often.

    Args:
        columns: the set, with shingles, and with texts where the rule asks for one record a question.
        alive: records still in, [N].
        rule: which records are near-duplicates.

    Returns:
        The records kept, [N].
    """
    scope = _scope(columns, rule.over)
    ranked = ranking(columns, alive)
    worded = np.flatnonzero(np.diff(columns.starts)[ranked] > 0)
    compared = _buckets(columns, ranked[worded], scope, rule)
    # most records of most sets are alone in all their buckets, and their questions are asked once
    buckets = np.full((len(ranked), compared.shape[1]), -1, np.int64)
    buckets[worded] = compared
    questions = np.full(len(ranked), -1)
    if rule.one_per_question:  # the number of each question that is asked more than once in a scope
        both = np.stack([scope[ranked], columns.question[ranked]], axis=1)
        _, question_of, counts = np.unique(both, axis=0, return_inverse=True, return_counts=True)
        question_of = question_of.reshape(-1)
        questions = np.where(counts[question_of] > 1, question_of, -1)
    stayed, asked, result = defaultdict[int, list[int]](list), set[int](), alive.copy()
    crowded = np.flatnonzero((buckets >= 0).any(axis=1) | (questions >= 0))
    for position in track(crowded, "near-duplicates", "records"):
        record, question = int(ranked[position]), int(questions[position])
        own = [bucket for bucket in buckets[position].tolist() if bucket >= 0]
        rivals = np.unique(np.array([other for bucket in own for other in stayed[bucket]], np.int64))
        if question in asked or _any_alike(columns, record, rivals, rule.threshold):
            result[record] = False
            continue
        if question >= 0:
            asked.add(question)
        for bucket in own:
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
    columns: Columns, records: NDArray[np.int64], scope: NDArray[np.uint64], rule: NearDuplicateRule
) -> NDArray[np.int64]:
    """Buckets of each record, [M, bands], numbered over all bands; -1 where a record is alone in one."""
    _, group, sizes = np.unique(scope[records], return_inverse=True, return_counts=True)
    size = sizes[group]
    small = np.full_like(size, True, np.bool_) if rule.all_pairs_up_to is None else size <= rule.all_pairs_up_to
    large = np.flatnonzero(~small)
    count, rows = bands(rule.threshold) if len(large) else (1, 1)
    buckets = np.full((len(records), count), -1, np.int64)
    buckets[:, 0] = np.where((size > 1) & small, group, -1)
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
    from datasketch import MinHash  # late: it takes scipy along, a second that small groups need not wait for

    blank = MinHash(PERMUTATIONS, hashfunc=int, scheme="affine32")  # the shingles are hashes already
    keys = np.empty((len(records), count), np.uint64)
    with stage("MinHash signatures", "records", len(records)) as progress:
        for start in range(0, len(records), _CHUNK):
            some = records[start : start + _CHUNK]
            signatures = np.empty((len(some), PERMUTATIONS), np.uint64)
            for position, record in enumerate(some):
                one = blank.copy()
                one.update_batch(columns.shingles[columns.starts[record] : columns.starts[record + 1]])
                signatures[position] = one.hashvalues
            by_band = signatures[:, : count * rows].reshape(-1, count, rows)
            key = np.repeat(scope[some, None], count, axis=1)
            for row in range(rows):
                key = (key ^ by_band[:, :, row]) * _SPREAD
                key ^= key >> np.uint64(29)
            keys[start : start + len(some)] = key
            progress.update(len(some))
    return keys


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
    nearest = np.minimum(np.searchsorted(own, theirs), len(own) - 1)
    common = np.add.reduceat(own[nearest] == theirs, first, dtype=np.int64)
    return bool((common / (len(own) + lengths - common) >= threshold).any())
