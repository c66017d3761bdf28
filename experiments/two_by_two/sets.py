"""Sets of one size and one distribution of kinds and answer lengths, chosen from what was written."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.selection.candidates import deduplicate
from lightning_c3l.selection.quotas import balanced_yes_no, equal_quotas
from lightning_c3l.selection.texts import polarity

# kind of instruction, and tokens of the answer
Cell = tuple[str, int]
READING = "answer"


def cell_of(one: ScoredCandidate) -> Cell:
    """The cell of a scored pair."""
    assert one.scores is not None  # pools hold scored pairs alone
    return one.candidate.instruction.kind, one.scores.tokens


def best_first(candidates: Sequence[ScoredCandidate]) -> list[ScoredCandidate]:
    """The scored pairs without near-duplicates, the highest S(I2C) first."""
    scored = [one for one in candidates if one.scores is not None]
    return deduplicate(sorted(scored, key=lambda one: -getattr(one.scores, READING)))


def shuffled(candidates: Sequence[ScoredCandidate], seed: int) -> list[ScoredCandidate]:
    """The scored pairs without near-duplicates in random order; which of two stays does not depend on their scores."""
    scored = [one for one in candidates if one.scores is not None]
    stream("blind", seed).shuffle(scored)
    return deduplicate(scored)


def common_quotas(pools: Sequence[Sequence[ScoredCandidate]], size: int) -> dict[Cell, int]:
    """How many pairs of each cell every set has: kinds in equal shares, lengths as all pools can give them.

    Args:
        pools: what each set is chosen from.
        size: pairs of a set.

    Returns:
        Quotas by cell; where some pool is short, they come to less than `size`.
    """
    counts = [Counter(map(cell_of, pool)) for pool in pools]
    there = {cell: min(count[cell] for count in counts) for cell in sorted(set.intersection(*map(set, counts)))}
    kinds = Counter[str]()
    for (kind, _), count in there.items():
        kinds[kind] += count
    quotas = dict[Cell, int]()
    for kind, quota in equal_quotas(kinds, size).items():
        own = {cell: count for cell, count in there.items() if cell[0] == kind}
        quotas |= _in_proportion(own, quota)
    return {cell: quota for cell, quota in quotas.items() if quota}


def _in_proportion(counts: Mapping[Cell, int], total: int) -> dict[Cell, int]:
    """Whole shares of `total`, at most the sum of the counts, in proportion to them: the largest remainders go up."""
    whole = max(1, sum(counts.values()))
    shares = {cell: divmod(count * total, whole) for cell, count in counts.items()}
    left = total - sum(share for share, _ in shares.values())
    up = set(sorted(shares, key=lambda cell: (-shares[cell][1], cell))[:left])
    return {cell: share + (cell in up) for cell, (share, _) in shares.items()}


def take(ordered: Sequence[ScoredCandidate], quotas: Mapping[Cell, int]) -> list[ScoredCandidate]:
    """The first pairs of each cell.

    Raises:
        ValueError: a cell has fewer than its quota.
    """
    left, taken = Counter(quotas), list[ScoredCandidate]()
    for one in ordered:
        if left[cell_of(one)] > 0:
            left[cell_of(one)] -= 1
            taken.append(one)
    if short := +left:
        (kind, tokens), count = min(short.items())
        raise ValueError(f"kind {kind!r} at {tokens} tokens: {count} pairs too few")
    return taken


def take_even(ordered: Sequence[ScoredCandidate], quotas: Mapping[Cell, int]) -> list[ScoredCandidate]:
    """As `take`, but with as many answers of yes as of no in each cell, as the export of a run selects."""
    cells: dict[Cell, list[ScoredCandidate]] = defaultdict(list)
    for one in ordered:
        cells[cell_of(one)].append(one)
    balanced = list[ScoredCandidate]()
    for cell, quota in quotas.items():
        balanced += [cells[cell][position] for position in balanced_yes_no(_polarities(cells[cell]), quota)]
    return take(balanced, quotas)


def yes_share(chosen: Sequence[ScoredCandidate]) -> float | None:
    """Share of yes among the pairs that are answered yes or no; None where there are none."""
    signs = [sign for sign in _polarities(chosen) if sign]
    return signs.count(1) / len(signs) if signs else None


def _polarities(pairs: Sequence[ScoredCandidate]) -> list[int]:
    return [polarity([one.candidate.answer]) for one in pairs]
