"""Which texts the page shows as cards."""

from collections.abc import Iterable

from lightning_c3l.functional.finite import finite
from lightning_c3l.records import Instruction, ScoredCandidate
from lightning_c3l.report.thumbnails import ImageReader as ImageReader
from lightning_c3l.report.thumbnails import inline_image as inline_image

# A positive with its negatives.
PseudoLabels = tuple[ScoredCandidate, list[ScoredCandidate]]


def _score(one: ScoredCandidate) -> float:
    """The `answer` reading, lowest of all where there is no finite one."""
    score = None if one.scores is None else finite(one.scores.answer)
    return float("-inf") if score is None else score


def best_and_worst(
    candidates: Iterable[ScoredCandidate], count: int = 12
) -> tuple[list[ScoredCandidate], list[ScoredCandidate]]:
    """The candidates with the highest and the lowest scores; none is in both.

    Args:
        candidates: of one round; those without a score are left out, and each (image, question, answer) counts once.
        count: how many of each.

    Returns:
        The best from the best down, and the worst from the worst up.
    """
    once: dict[tuple[str, str, str], ScoredCandidate] = {}
    for one in candidates:
        if _score(one) > float("-inf"):
            once.setdefault((one.candidate.image, one.candidate.question, one.candidate.answer), one)
    order = sorted(once.values(), key=_score, reverse=True)
    return order[:count], order[count:][-count:][::-1]


def example_groups(candidates: Iterable[ScoredCandidate], count: int = 3) -> list[PseudoLabels]:
    """The first groups that differ in image and kind, then the first of the others.

    Not the groups with the clearest scores: those would flatter the method.

    Args:
        candidates: of one round.
        count: how many groups.

    Returns:
        A positive with its negatives, best first, for each group that has both.
    """
    chosen: list[PseudoLabels] = []
    others: list[PseudoLabels] = []
    for positive, negatives in _groups(candidates):
        own = positive.candidate
        earlier = [one.candidate for one, _ in chosen]
        new = all(own.image != one.image and own.instruction.kind != one.instruction.kind for one in earlier)
        (chosen if new else others).append((positive, negatives))
    return [*chosen, *others][:count]


def _groups(candidates: Iterable[ScoredCandidate]) -> list[PseudoLabels]:
    """Every group with a positive and at least one negative, negatives from best to worst."""
    members: dict[tuple[str, Instruction], list[ScoredCandidate]] = {}
    for one in candidates:
        members.setdefault((one.candidate.image, one.candidate.instruction), []).append(one)
    positives = {key: one for key, group in members.items() for one in group if one.status == "positive"}
    negatives: dict[tuple[str, Instruction], list[ScoredCandidate]] = {key: [] for key in positives}
    of_image = {key[0]: key for key in positives}
    for key, group in members.items():
        # an instruction without a positive shares that of its image: groups were made by image
        home = key if key in positives else of_image.get(key[0])
        if home is not None:
            negatives[home] += [one for one in group if one.status == "negative"]
    return [(positives[key], sorted(found, key=_score, reverse=True)) for key, found in negatives.items() if found]
