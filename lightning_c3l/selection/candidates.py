"""The selection engine on candidates of a round, as `fit` and `predict` export them.

Pairs of one image are near-duplicates where they ask the same question or their words overlap, kinds of instructions
share the size equally, and yes is kept as often as no.
"""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.progress import track
from lightning_c3l.selection.columns import Columns, ColumnsBuilder, Mask, ScoredRecord, hash_of, runs
from lightning_c3l.selection.control import random_control
from lightning_c3l.selection.duplicates import NearDuplicateRule, drop_near
from lightning_c3l.selection.plan import Duplicates, Selection, SelectionPlan, find_duplicates, select_records
from lightning_c3l.selection.pseudo_labels import reading_of, scores_of
from lightning_c3l.selection.scores import RecordScore

# least Jaccard index of the words of two pairs of one image that say nearly the same
NEAR_DUPLICATE = 0.8
# candidates whose texts are held at once while duplicates are looked for: those of some whole images
_CHUNK = 4096


@dataclass(frozen=True)
class CandidateSelection:
    """What was chosen of N candidates for a data set.

    Attributes:
        columns: all candidates as the rules look at them, those without a pair too.
        selection: what each rule kept and dropped.
    """

    columns: Columns
    selection: Selection

    @property
    def chosen(self) -> Mask:
        """The pairs to export, [N]."""
        return self.selection.chosen

    @property
    def distinct(self) -> Mask:
        """Pairs that do not say nearly the same as a better one, the chosen among them, [N]."""
        return self.selection.eligible

    @property
    def duplicates(self) -> Mask:
        """Pairs that do, [N]."""
        return self.columns.scored & ~self.selection.eligible

    def kinds(self) -> dict[str, int]:
        """How many pairs of each kind were chosen, by the alphabet."""
        names = self.columns.kinds
        counts = np.bincount(self.columns.kind[self.chosen], minlength=len(names)).tolist()
        return {name: count for name, count in sorted(zip(names, counts, strict=True)) if count}

    def random_control(self, seed: int) -> Mask:
        """As many distinct pairs of each kind and length in tokens as were chosen, whatever their scores, [N].

        Args:
            seed: of the draw; the same seed and candidates give the same pairs.
        """
        return random_control(self.columns, self.distinct, self.chosen, seed, exact_lengths=True)


def select_candidates(
    candidates: Sequence[ScoredCandidate],
    size: int,
    reading: str = "answer",
    near_duplicate: float = NEAR_DUPLICATE,
    **rules: Any,
) -> CandidateSelection:
    """Choose the pairs of a data set from scored candidates.

    Of candidates that are image by image, as those of a round are, a few columns are held and the texts of a few images
    at a time; they are read once then.

    Args:
        candidates: of any number of images; rejected ones are only counted.
        size: pairs to choose, at least 1; all distinct ones are chosen where there are fewer.
        reading: the score to go by.
        near_duplicate: least Jaccard index of near-duplicates, above 0 and at most 1.
        rules: further fields of `SelectionPlan`.

    Returns:
        The selection.

    Raises:
        ValueError: a candidate that is not rejected has no scores, a score is not finite, the reading is unknown, or
            an option is out of its range.
    """
    usual = {"one_per_question": True, "balance": "kinds", "all_pairs": True}
    plan = SelectionPlan(near_duplicates=near_duplicate, top_k=size, **{**usual, **rules})
    columns, duplicates = _image_by_image(candidates, reading, plan)
    if duplicates is None:
        columns = _columns(candidates, (_score(one, reading) for one in candidates))
    return CandidateSelection(columns, select_records(columns, plan, allow_empty=True, duplicates=duplicates))


def deduplicate(ordered: Sequence[ScoredCandidate]) -> list[ScoredCandidate]:
    """Drop each pair that is a near-duplicate of an earlier one about the same image which is kept.

    Args:
        ordered: scored candidates, those to prefer first.

    Returns:
        The pairs kept, in the same order.

    Raises:
        ValueError: a candidate has no scores.
    """
    columns = _columns(ordered, [-float(position) for position in range(len(ordered))])
    rule = NearDuplicateRule(NEAR_DUPLICATE, one_per_question=True, all_pairs_up_to=None)
    kept = drop_near(columns, columns.scored, rule)
    return [one for one, is_kept in zip(ordered, kept, strict=True) if is_kept]


def _image_by_image(
    candidates: Sequence[ScoredCandidate], reading: str, plan: SelectionPlan
) -> tuple[Columns, Duplicates | None]:
    """The candidates as columns without texts, and their duplicates; None if those of an image are not in one place."""
    builder, exact, near = ColumnsBuilder(), array("b"), array("b")
    for chunk in _chunks(track(candidates, "select", "candidates")):
        with_texts = ColumnsBuilder(texts=True, shingles="words")
        for number, one in enumerate(chunk, start=len(exact) + 1):
            record = _record(number, one, _score(one, reading))
            builder.add(record)
            with_texts.add(record)
        found = find_duplicates(with_texts.finish(), plan)
        exact.frombytes(found.exact.tobytes())
        near.frombytes(found.near.tobytes())
    columns = builder.finish()
    images = runs(columns.image)
    if len(images) != len(np.unique(images)):
        return columns, None
    return columns, Duplicates(np.frombuffer(exact, np.bool_), np.frombuffer(near, np.bool_))


def _chunks(candidates: Iterable[ScoredCandidate]) -> Iterator[list[ScoredCandidate]]:
    """Split candidates where the image changes, at most `_CHUNK` and those of one image at once."""
    chunk = list[ScoredCandidate]()
    for _, own in groupby(candidates, key=lambda one: one.candidate.image):
        chunk += own
        if len(chunk) >= _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _score(one: ScoredCandidate, reading: str) -> float | None:
    """The score to go by; None for a rejected candidate."""
    return None if one.scores is None and one.candidate.rejected else reading_of(one, reading)


def _columns(candidates: Sequence[ScoredCandidate], scores: Iterable[float | None]) -> Columns:
    """The candidates as columns with texts; None is the score of a rejected one."""
    builder = ColumnsBuilder(texts=True, shingles="words")
    for position, (one, score) in enumerate(zip(candidates, scores, strict=True)):
        builder.add(_record(position + 1, one, score))
    return builder.finish()


def _record(number: int, one: ScoredCandidate, score: float | None) -> ScoredRecord:
    candidate = one.candidate
    return ScoredRecord(
        number=number,
        score=RecordScore(math.nan, 0, f"rejected: {candidate.rejected}")
        if score is None
        else RecordScore(score, scores_of(one).tokens),
        kind=candidate.instruction.kind,
        images=hash_of([candidate.image]),
        messages=(("user", candidate.question), ("assistant", candidate.answer)),
    )
