"""Sets of one size and one distribution of kinds and rough answer lengths, selected from generated pairs, as files."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.formats import write_llava_json
from experiments.two_by_two.plan import EVEN, TRUE, WRITERS, ExperimentPlan
from experiments.two_by_two.writers import fresh_images, read_pairs
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.records import ScoredCandidate, VLITRecord
from lightning_c3l.rounds.figures import truth_rate
from lightning_c3l.runs.atomic import atomic_path
from lightning_c3l.selection.candidates import deduplicate
from lightning_c3l.selection.pseudo_labels import PseudoLabelConfig, reading_of, scores_of
from lightning_c3l.selection.quotas import apportion, balanced_yes_no, equal_quotas
from lightning_c3l.selection.texts import polarity

# kind of instruction, and binary digits of the number of tokens of the answer: hardly two long answers are equally long
Cell = tuple[str, int]
# by which rounds choose too
READING = PseudoLabelConfig().reading


def cell_of(pair: ScoredCandidate) -> Cell:
    """The cell of a scored pair."""
    return pair.candidate.instruction.kind, scores_of(pair).tokens.bit_length()


def cell_name(cell: Cell) -> str:
    """A cell for reading, such as `detail, 32 to 63 tokens`."""
    kind, digits = cell
    return f"{kind}, {2 ** (digits - 1)} to {2**digits - 1} tokens"


def best_first(pairs: Sequence[ScoredCandidate]) -> list[ScoredCandidate]:
    """The scored pairs without near-duplicates, the highest S(I2C) first."""
    scored = [pair for pair in pairs if pair.scores is not None]
    return deduplicate(sorted(scored, key=lambda pair: -reading_of(pair, READING)))


def shuffled(pairs: Sequence[ScoredCandidate], seed: int) -> list[ScoredCandidate]:
    """The scored pairs without near-duplicates in random order; which of two stays does not depend on their scores."""
    scored = [pair for pair in pairs if pair.scores is not None]
    stream("blind", seed).shuffle(scored)
    return deduplicate(scored)


def common_quotas(pools: Sequence[Sequence[ScoredCandidate]], size: int) -> dict[Cell, int]:
    """Number of pairs of each cell in every set: kinds in equal shares, lengths in the proportion that all pools allow.

    Args:
        pools: the pairs that each set is selected from.
        size: pairs of a set.

    Returns:
        Quotas by cell; if a pool is short, their sum is less than `size`.
    """
    counts = [Counter(map(cell_of, pool)) for pool in pools]
    available = {cell: min(count[cell] for count in counts) for cell in sorted(set.intersection(*map(set, counts)))}
    kinds = Counter[str]()
    for (kind, _), count in available.items():
        kinds[kind] += count
    quotas = dict[Cell, int]()
    for kind, quota in equal_quotas(kinds, size).items():
        own = [cell for cell in available if cell[0] == kind]
        shares = apportion(np.array([available[cell] for cell in own], np.int64), quota)
        quotas |= {cell: share for cell, share in zip(own, shares, strict=True) if share}
    return quotas


def take(ordered: Sequence[ScoredCandidate], quotas: Mapping[Cell, int]) -> list[ScoredCandidate]:
    """The first pairs of each cell.

    Raises:
        ValueError: a cell has fewer than its quota.
    """
    left, taken = Counter(quotas), list[ScoredCandidate]()
    for pair in ordered:
        if left[cell_of(pair)] > 0:
            left[cell_of(pair)] -= 1
            taken.append(pair)
    if short := +left:
        cell, count = min(short.items())
        raise ValueError(f"{cell_name(cell)}: {count} pairs too few")
    return taken


def take_even(ordered: Sequence[ScoredCandidate], quotas: Mapping[Cell, int]) -> list[ScoredCandidate]:
    """`take` with as many answers of yes as of no in each cell, which is how the export of a run selects."""
    cells: dict[Cell, list[ScoredCandidate]] = defaultdict(list)
    for pair in ordered:
        cells[cell_of(pair)].append(pair)
    balanced = list[ScoredCandidate]()
    for cell, quota in quotas.items():
        signs = [polarity([pair.candidate.answer]) for pair in cells[cell]]
        balanced += [cells[cell][index] for index in balanced_yes_no(signs, quota)]
    return take(balanced, quotas)


def yes_share(pairs: Sequence[ScoredCandidate]) -> float | None:
    """Share of yes among the pairs that are answered yes or no; None if there are none."""
    signs = [sign for pair in pairs if (sign := polarity([pair.candidate.answer]))]
    return signs.count(1) / len(signs) if signs else None


def select_sets(plan: ExperimentPlan, seed: int, folder: Path) -> dict[str, list[ScoredCandidate]]:
    """All sets of a seed, of one size and one distribution of kinds and rough answer lengths.

    Raises:
        ValueError: the pools have nothing in common.
    """
    written = {name: read_pairs(folder, name) for name in (*WRITERS, TRUE)}
    pools = {f"{name}-top": best_first(written[name]) for name in WRITERS}
    pools |= {f"{name}-random": shuffled(written[name], seed) for name in WRITERS}
    pools[TRUE] = shuffled(written[TRUE], seed)
    quotas = common_quotas(list(pools.values()), plan.size)
    if not quotas:
        raise ValueError("the writers have no kind and answer length in common: raise fresh-images or rounds")
    sets = {name: take(pool, quotas) for name, pool in pools.items()}
    return {**sets, EVEN: take_even(pools["tuned-top"], quotas)}


def write_sets(plan: ExperimentPlan, seed: int, folder: Path) -> dict[str, Any]:
    """Select the sets of a seed, write each as LLaVA's JSON with its images, and return the figures of each."""
    sets, images = select_sets(plan, seed, folder), fresh_images(plan, seed)
    for key in list(images.keys()):
        with atomic_path(folder / "images" / key) as path:
            images.read(key).save(path)
    for name, pairs in sets.items():
        records = list[VLITRecord]()
        for number, pair in enumerate(pairs):
            source = {"prompt": pair.candidate.instruction.text, "sample": pair.candidate.sample}
            records.append(VLITRecord.of(number, pair, {"set": name, "seed": seed, **source}))
        write_llava_json(set_file(folder, name), records, str((folder / "images").resolve()))
    return {name: figures_of(pairs) for name, pairs in sets.items()}


def figures_of(pairs: Sequence[ScoredCandidate]) -> dict[str, Any]:
    """What a set is like: its size, pairs by cell, and means over its pairs."""
    cells = sorted(Counter(map(cell_of, pairs)).items())
    return {
        "pairs": len(pairs),
        "cells": {cell_name(cell): count for cell, count in cells},
        "truth_rate": truth_rate(pairs),
        "i2c_mean": sum(reading_of(pair, READING) for pair in pairs) / len(pairs),
        "yes_share": yes_share(pairs),
    }


def set_file(folder: Path, name: str) -> Path:
    """File of a set in the folder of a seed."""
    return folder / "sets" / f"{name}.json"
