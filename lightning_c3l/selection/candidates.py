"""The selection engine on candidates of a round, as `fit` and `predict` export them.

Pairs of one image are near-duplicates where they ask the same question or their words overlap, kinds of instructions
share the size equally, and yes is kept as often as no.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.selection.columns import Columns, ColumnsBuilder, Mask, ScoredRecord, hash_of
from lightning_c3l.selection.control import random_control
from lightning_c3l.selection.duplicates import NearDuplicateRule, drop_near
from lightning_c3l.selection.plan import Selection, SelectionPlan, select_records
from lightning_c3l.selection.pseudo_labels import reading_of, scores_of
from lightning_c3l.selection.scores import RecordScore

# least Jaccard index of the words of two pairs of one image that say nearly the same
NEAR_DUPLICATE = 0.8


@dataclass(frozen=True)
class CandidateSelection:
    """Candidates chosen for a data set, all in input order.

    Attributes:
        chosen: the pairs to export.
        duplicates: pairs that say nearly the same as a better one.
        distinct: all others, the chosen among them.
        columns: all candidates as the rules look at them, those without a pair too.
        selection: what each rule kept and dropped.
    """

    chosen: list[ScoredCandidate]
    duplicates: list[ScoredCandidate]
    distinct: list[ScoredCandidate]
    columns: Columns
    selection: Selection


def select_candidates(
    candidates: Sequence[ScoredCandidate], size: int, reading: str = "answer", near_duplicate: float = NEAR_DUPLICATE
) -> CandidateSelection:
    """Choose the pairs of a data set from scored candidates.

    Args:
        candidates: of any number of images; rejected ones are only counted.
        size: pairs to choose, at least 1; all distinct ones are chosen where there are fewer.
        reading: the score to go by.
        near_duplicate: least Jaccard index of near-duplicates, above 0 and at most 1.

    Returns:
        The selection; records are unchanged.

    Raises:
        ValueError: a candidate that is not rejected has no scores, a score is not finite, the reading is unknown, or
            an option is out of its range.
    """
    plan = SelectionPlan(
        near_duplicates=near_duplicate, one_per_question=True, top_k=size, balance="kinds", all_pairs=True
    )
    rejected = [one.scores is None and bool(one.candidate.rejected) for one in candidates]
    scores = [None if out else reading_of(one, reading) for one, out in zip(candidates, rejected, strict=True)]
    columns = _columns(candidates, scores, texts=True)
    found = select_records(columns, plan, allow_empty=True)
    return CandidateSelection(
        chosen=_those(candidates, found.chosen),
        duplicates=_those(candidates, columns.scored & ~found.eligible),
        distinct=_those(candidates, found.eligible),
        columns=columns,
        selection=found,
    )


def deduplicate(ordered: Sequence[ScoredCandidate], threshold: float = NEAR_DUPLICATE) -> list[ScoredCandidate]:
    """Drop each pair that is a near-duplicate of an earlier one about the same image which is kept.

    Args:
        ordered: scored candidates, those to prefer first.
        threshold: least Jaccard index of near-duplicates, above 0 and at most 1.

    Returns:
        The pairs kept, in the same order.

    Raises:
        ValueError: a candidate has no scores.
    """
    columns = _columns(ordered, [-float(position) for position in range(len(ordered))], texts=True)
    rule = NearDuplicateRule(threshold, one_per_question=True, all_pairs_up_to=None)
    return _those(ordered, drop_near(columns, columns.scored, rule))


def random_candidates(
    candidates: Sequence[ScoredCandidate], chosen: Sequence[ScoredCandidate], seed: int
) -> list[ScoredCandidate]:
    """The random control of a choice: as many pairs of each kind and length in tokens, whatever their scores.

    Args:
        candidates: scored candidates, the chosen ones among them.
        chosen: the choice to match.
        seed: of the draw; the same seed and candidates give the same pairs.

    Returns:
        The pairs drawn, in input order.

    Raises:
        ValueError: a candidate has no scores, or a chosen one is not among the candidates.
    """
    wanted = {id(one) for one in chosen}
    mask = np.array([id(one) in wanted for one in candidates], np.bool_)
    if int(mask.sum()) != len(chosen):
        raise ValueError(f"{len(chosen) - int(mask.sum())} of the chosen pairs are not among the candidates")
    columns = _columns(candidates, [0.0] * len(candidates))
    return _those(candidates, random_control(columns, columns.scored, mask, seed, exact_lengths=True))


def _columns(candidates: Sequence[ScoredCandidate], scores: Sequence[float | None], texts: bool = False) -> Columns:
    """The candidates as columns; None is the score of a rejected one."""
    builder = ColumnsBuilder(texts, "words" if texts else None)
    for position, (one, score) in enumerate(zip(candidates, scores, strict=True)):
        candidate = one.candidate
        builder.add(
            ScoredRecord(
                number=position + 1,
                score=RecordScore(math.nan, 0, f"rejected: {candidate.rejected}")
                if score is None
                else RecordScore(score, scores_of(one).tokens),
                kind=candidate.instruction.kind,
                images=hash_of([candidate.image]),
                messages=(("user", candidate.question), ("assistant", candidate.answer)),
            )
        )
    return builder.finish()


def _those(candidates: Sequence[ScoredCandidate], mask: Mask) -> list[ScoredCandidate]:
    return [candidates[position] for position in np.flatnonzero(mask).tolist()]
