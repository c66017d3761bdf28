"""The gallery of a page: which pairs are shown, and what is shown of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.records import ScoredCandidate, Scores
from lightning_c3l.report.candidate_columns import CandidateColumns
from lightning_c3l.report.figures import first_and_last
from lightning_c3l.report.token_values import TokenValues

# what the token values of a pair belong to: source and key of the image, question and answer
PairKey = tuple[str, str, str, str]
# name of the exported data set among the rounds
DATA_SET = "data set"
# source of its images; those of the rounds are of the source that a reader takes unless told
FRESH = "fresh"
MEANINGS = {
    "best": "The pairs that owe most to their image.",
    "worst": "The pairs that owe least to their image, or that it contradicts.",
    "borderline": "The closest decisions: pairs next to each other in score that were treated differently.",
    "rejected": "Texts without a usable pair.",
    "prior": "What the model answers without the image, or about another one: negatives of their groups.",
}


@dataclass(frozen=True)
class GalleryPair:
    """One card of a gallery; texts are shown as they are, whatever they hold.

    Attributes:
        image: key of its image.
        section: why it is shown: best, worst, borderline, rejected ...
        round: the round that it is from, or `DATA_SET`; empty where there are no rounds.
        kind: kind of its instruction, or of its question.
        status: what became of it.
        question: the question.
        answer: the answer.
        instruction: the prompt that it was generated with.
        scores: all readings; None where it has none.
        shuffled: the `answer` reading with another image.
        verdict: whether it is true, where that is known.
        tokens: what each token owes to the image.
        text: the text as generated, where it is not question and answer alone.
        reason: why it has its status.
        name: of the record or text within its set.
        source: of its image, where a run has several.
        reading: the score that it was selected by, which the card shows first.
    """

    image: str
    section: str
    round: str = ""
    kind: str = ""
    status: str = ""
    question: str = ""
    answer: str = ""
    instruction: str = ""
    scores: Scores | None = None
    shuffled: float | None = None
    verdict: str = ""
    tokens: TokenValues | None = None
    text: str = ""
    reason: str = ""
    name: str = ""
    source: str = ""
    reading: str = "answer"

    @property
    def key(self) -> PairKey:
        """What its token values belong to."""
        return self.source, self.image, self.question, self.answer


@dataclass(frozen=True)
class GalleryCounts:
    """How many pairs of a round are shown."""

    best: int = 8
    worst: int = 8
    borderline: int = 8
    rejected: int = 6
    prior: int = 6


class Gallery:
    """Pairs in the order in which they are shown, and what they can be filtered by.

    Args:
        pairs: in any order; rounds and sections are shown in the order of their first pairs, each round in one place.
        meanings: one sentence about each section.
    """

    def __init__(self, pairs: Sequence[GalleryPair], meanings: Mapping[str, str] = MEANINGS) -> None:
        self.pairs, self.meanings = pairs, meanings

    def filters(self) -> dict[str, tuple[str, list[str]]]:
        """Label and values of what can be filtered by and differs among the pairs, by field."""
        labels = {"round": "round", "section": "shown as", "kind": "kind", "status": "status", "verdict": "truth"}
        values = {name: list(dict.fromkeys(getattr(one, name) for one in self.pairs)) for name in labels}
        return {
            name: (label, [value for value in values[name] if value])
            for name, label in labels.items()
            if len(values[name]) > 1
        }

    def rounds(self) -> list[tuple[str, list[tuple[str, list[GalleryPair]]]]]:
        """Pairs by round and, within it, by section."""
        rounds = dict[str, dict[str, list[GalleryPair]]]()
        for one in self.pairs:
            rounds.setdefault(one.round, {}).setdefault(one.section, []).append(one)
        return [(round, list(sections.items())) for round, sections in rounds.items()]

    @property
    def has_tokens(self) -> bool:
        """Whether any pair has a heat map."""
        return any(one.tokens is not None for one in self.pairs)


def with_tokens(pairs: Iterable[GalleryPair], values: Mapping[PairKey, TokenValues]) -> list[GalleryPair]:
    """The pairs, each with its token values where they are known."""
    return [replace(one, tokens=values.get(one.key)) for one in pairs]


def shown_pairs(
    rounds: Mapping[int, CandidateColumns],
    exported: Sequence[GalleryPair] = (),
    answers: Mapping[int, Sequence[ScoredCandidate]] = MappingProxyType({}),
) -> list[GalleryPair]:
    """The pairs that the page about a run shows: those of its first and last rounds, then those of its data set.

    Args:
        rounds: the generated texts of each round with their scores.
        exported: see `exported_pairs`.
        answers: further answers to the questions of each round, with their status.
    """
    pairs = list[GalleryPair]()
    for number in first_and_last(rounds):
        pairs += gallery_pairs(rounds[number], number)
        pairs += prior_pairs(answers.get(number, ()), number, rounds[number].reading)
    return [*pairs, *exported]


def exported_pairs(exported: Sequence[ScoredCandidate], reading: str) -> list[GalleryPair]:
    """The pairs of a data set that the page about a run shows; nothing else of its candidates is held afterwards.

    Args:
        exported: the candidates of the data set, with their status.
        reading: the score that they were selected by.
    """
    return gallery_pairs(CandidateColumns.of(exported, reading), DATA_SET, FRESH)


def gallery_pairs(
    columns: CandidateColumns,
    round: int | str,
    source: str = "",
    counts: GalleryCounts = GalleryCounts(),  # frozen
) -> list[GalleryPair]:
    """The best, the worst, the borderline and the rejected pairs of a round or of a data set; none is shown twice.

    Args:
        columns: all candidates, with their status.
        round: its number, or `DATA_SET`.
        source: of their images, where the run has several.
        counts: how many of each.

    Returns:
        The best from the best down, the worst from the worst up, the borderline ones two by two, and rejected texts of
        different reasons.
    """
    is_data_set = round == DATA_SET
    # what repeats a pair of a data set is not in the set
    distinct = (columns.first > 0) & ~columns.with_status("duplicate") if is_data_set else columns.first == 2
    best, worst = columns.best_and_worst(distinct, max(counts.best, counts.worst))
    # few pairs are divided in halves
    total = int(distinct.sum())
    half = (total + 1) // 2
    shown = {
        "best": _read(columns, best[: min(counts.best, half)]),
        "worst": _read(columns, worst[::-1][: min(counts.worst, total - half)]),
    }
    close = columns.close_of_kinds() if is_data_set else columns.close
    shown["borderline"] = _borderline(columns, close, counts.borderline, [*shown["best"], *shown["worst"]])
    shown["rejected"] = _read(columns, _by_reason(columns, counts.rejected))
    pairs = [_pair(one, section, str(round), source) for section, own in shown.items() for one in own]
    return [replace(one, reading=columns.reading) for one in pairs]


def _read(columns: CandidateColumns, positions: Iterable[int]) -> list[ScoredCandidate]:
    return [columns.candidates[int(position)] for position in positions]


def prior_pairs(
    answers: Iterable[ScoredCandidate],
    round: int,
    reading: str,
    counts: GalleryCounts = GalleryCounts(),  # frozen
) -> list[GalleryPair]:
    """The first negatives among the further answers of a round, one of each image.

    Args:
        answers: of the round, with their status.
        round: its number.
        reading: the score that they were selected by.
        counts: how many.
    """
    first = dict[str, ScoredCandidate]()
    for one in answers:
        if one.status == "negative":
            first.setdefault(one.candidate.image, one)
        if len(first) == counts.prior:
            break
    return [replace(_pair(one, "prior", str(round), ""), reading=reading) for one in first.values()]


def _borderline(
    columns: CandidateColumns, close: NDArray[np.int64], count: int, taken: Iterable[ScoredCandidate]
) -> list[ScoredCandidate]:
    """The pairs nearest to a threshold of the selection.

    Args:
        columns: the candidates.
        close: positions of two candidates each, the closest decisions first, `[M, 2]`.
        count: how many.
        taken: pairs that are shown elsewhere.

    Returns:
        At most `count`, the closest decisions first, the better candidate of each first.
    """
    shown, found = set(map(_said, taken)), list[ScoredCandidate]()
    for positions in close:
        if len(found) + 2 > count:
            break
        both = _read(columns, positions)
        if not (said := set(map(_said, both))) & shown:
            shown |= said
            found += both
    return found


def _said(one: ScoredCandidate) -> tuple[str, str, str]:
    return one.candidate.image, one.candidate.question, one.candidate.answer


def _by_reason(columns: CandidateColumns, count: int) -> list[int]:
    """The first rejected text of each reason, then the second of each, and so on."""
    turns = (own[index] for index in range(count) for own in columns.examples.values() if index < len(own))
    return list(islice(turns, count))


def _pair(one: ScoredCandidate, section: str, round: str, source: str) -> GalleryPair:
    candidate = one.candidate
    return GalleryPair(
        image=candidate.image,
        section=section,
        round=round,
        kind=candidate.instruction.kind,
        status=one.status,
        question=candidate.question,
        answer=candidate.answer,
        instruction=candidate.instruction.text,
        scores=one.scores,
        shuffled=one.shuffled,
        verdict=one.verdict or "",
        text=candidate.text,
        reason=candidate.rejected,
        name=f"{candidate.origin or 'text'} {candidate.sample}",
        source=source,
    )
