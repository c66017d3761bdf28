"""The gallery of a page: which pairs are shown, and what is shown of them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from lightning_c3l.functional.finite import finite
from lightning_c3l.records import Instruction, ScoredCandidate, Scores
from lightning_c3l.report.figures import first_and_last
from lightning_c3l.report.token_values import TokenValues

# what the token values of a pair belong to: source and key of the image, question and answer
PairKey = tuple[str, str, str, str]
# what makes two candidates the same pair: image, question and answer
_Key = tuple[str, str, str]
# name of the exported data set among the rounds
DATA_SET = "data set"
# source of its images; those of the rounds are of the source that a reader takes unless told
FRESH = "fresh"
MEANINGS = {
    "best": "The pairs that owe most to their image.",
    "worst": "The pairs that owe least to their image, or that it contradicts.",
    "borderline": "The closest decisions: pairs next to each other in score that were treated differently.",
    "rejected": "Texts without a usable pair.",
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
    candidates_by_round: Mapping[int, Sequence[ScoredCandidate]],
    exported: Sequence[ScoredCandidate] = (),
    reading: str = "answer",
) -> list[GalleryPair]:
    """The pairs that the page about a run shows: those of its first and last rounds, then those of its data set.

    Args:
        candidates_by_round: the generated texts of each round with their scores.
        exported: the candidates of the data set, with their status.
        reading: the score that pairs were selected by.
    """
    pairs = [
        pair
        for number in first_and_last(candidates_by_round)
        for pair in gallery_pairs(candidates_by_round[number], number, reading)
    ]
    return [*pairs, *gallery_pairs(exported, DATA_SET, reading, FRESH)]


def gallery_pairs(
    candidates: Sequence[ScoredCandidate],
    round: int | str,
    reading: str = "answer",
    source: str = "",
    counts: GalleryCounts = GalleryCounts(),  # frozen
) -> list[GalleryPair]:
    """The best, the worst, the borderline and the rejected pairs of a round or of a data set; none is shown twice.

    Args:
        candidates: all of them, with their status.
        round: its number, or `DATA_SET`.
        reading: the score that pairs were selected by.
        source: of their images, where the run has several.
        counts: how many of each.

    Returns:
        The best from the best down, the worst from the worst up, the borderline ones two by two, and rejected texts of
        different reasons.
    """
    distinct = dict[_Key, ScoredCandidate]()
    for one in candidates:
        # what repeats a pair of a data set is not in the set
        is_repeated = round == DATA_SET and one.status == "duplicate"
        if _score(one, reading) is not None and not is_repeated:
            distinct.setdefault(_key(one), one)
    ordered = sorted(distinct.values(), key=lambda one: _score(one, reading) or 0.0, reverse=True)
    # few pairs are divided in halves
    half = (len(ordered) + 1) // 2
    best = ordered[: min(counts.best, half)]
    worst = ordered[max(half, len(ordered) - counts.worst) :][::-1]
    taken = {_key(one) for one in (*best, *worst)}
    sections = {
        "best": best,
        "worst": worst,
        "borderline": borderline(candidates, round == DATA_SET, reading, counts.borderline, taken),
        "rejected": _by_reason(candidates, counts.rejected),
    }
    pairs = [_pair(one, section, str(round), source) for section, own in sections.items() for one in own]
    return [replace(one, reading=reading) for one in pairs]


def borderline(
    candidates: Iterable[ScoredCandidate],
    is_data_set: bool,
    reading: str,
    count: int,
    taken: Iterable[_Key] = (),
) -> list[ScoredCandidate]:
    """The pairs nearest to a threshold of the selection: neighbours in score whose status differs.

    In a round these are a positive and its runner-up, or a negative and a text within the margin, of one group; in a
    data set the last pair kept and the first left out of one kind.

    Args:
        candidates: with their status.
        is_data_set: whether they are those of a data set, not of a round.
        reading: the score that pairs were selected by.
        count: how many.
        taken: pairs that are shown elsewhere.

    Returns:
        At most `count` candidates, the closest decisions first, the better candidate of each first.
    """
    home = (lambda one: one.candidate.instruction.kind) if is_data_set else _group_of(candidates := list(candidates))
    groups = defaultdict[object, list[tuple[float, ScoredCandidate]]](list)
    for one in candidates:
        score = _score(one, reading)
        if score is not None and one.status not in ("duplicate", "rejected"):
            groups[home(one)].append((score, one))
    close = list[tuple[float, int, ScoredCandidate, ScoredCandidate]]()
    for own in groups.values():
        own.sort(key=lambda pair: pair[0], reverse=True)
        for (above, better), (below, worse) in pairwise(own):
            if better.status != worse.status:
                close.append((above - below, len(close), better, worse))
    shown, found = set(taken), list[ScoredCandidate]()
    for *_, better, worse in sorted(close, key=lambda item: item[:2]):
        if len(found) + 2 > count:
            break
        if not {_key(better), _key(worse)} & shown:
            shown |= {_key(better), _key(worse)}
            found += [better, worse]
    return found


def _group_of(candidates: Sequence[ScoredCandidate]) -> Callable[[ScoredCandidate], object]:
    """The group of a candidate: its (image, instruction), or its image where groups were made by image."""

    def group(one: ScoredCandidate) -> tuple[str, Instruction]:
        return one.candidate.image, one.candidate.instruction

    positives = {group(one) for one in candidates if one.status == "positive"}
    return lambda one: group(one) if group(one) in positives else one.candidate.image


def _by_reason(candidates: Iterable[ScoredCandidate], count: int) -> list[ScoredCandidate]:
    """The first rejected text of each reason, then the second of each, and so on."""
    by_reason = defaultdict[str, list[ScoredCandidate]](list)
    for one in candidates:
        if one.candidate.rejected and len(by_reason[one.candidate.rejected]) < count:
            by_reason[one.candidate.rejected].append(one)
    turns = (own[index] for index in range(count) for own in by_reason.values() if index < len(own))
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
        name=f"text {candidate.sample}",
        source=source,
    )


def _key(one: ScoredCandidate) -> _Key:
    return one.candidate.image, one.candidate.question, one.candidate.answer


def _score(one: ScoredCandidate, reading: str) -> float | None:
    return None if one.scores is None else finite(getattr(one.scores, reading))
