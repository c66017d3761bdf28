"""Figures of a round and of a generator, from scored candidates."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from lightning_c3l.functional.ranking import auroc, rank_correlation
from lightning_c3l.records import READINGS_AND_RIVAL, Candidate, Group, ScoredCandidate, Verdict
from lightning_c3l.rounds.diversity import distinct_rate, kind_entropy
from lightning_c3l.selection.candidates import random_candidates
from lightning_c3l.selection.texts import question_type

Judge = Callable[[str, str, str], Verdict]


def judged(scored: Iterable[ScoredCandidate], judge: Judge | None) -> list[ScoredCandidate]:
    """The candidates with the judge's verdicts; unchanged without a judge."""
    if judge is None:
        return list(scored)
    return [ScoredCandidate(s.candidate, s.scores, s.shuffled, verdict(s.candidate, judge), s.status) for s in scored]


def verdict(candidate: Candidate, judge: Judge) -> Verdict:
    """The judge's verdict; "unparsable" for a rejected candidate."""
    return "unparsable" if candidate.rejected else judge(candidate.image, candidate.question, candidate.answer)


def truth_rate(scored: Sequence[ScoredCandidate]) -> float | None:
    """Share of right candidates among the judged ones; None if none was judged."""
    verdicts = [one.verdict for one in scored if one.verdict is not None]
    return verdicts.count("right") / len(verdicts) if verdicts else None


def truth_by_image(scored: Sequence[ScoredCandidate]) -> dict[str, float]:
    """Share of right candidates among the judged ones of each image, by its key."""
    own = defaultdict[str, list[bool]](list)
    for one in scored:
        if one.verdict is not None:
            own[one.candidate.image].append(one.verdict == "right")
    return {image: sum(right) / len(right) for image, right in own.items()}


def writer_figures(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """How many of the generated candidates can be parsed, and how diverse they are."""
    parsed = [one for one in candidates if not one.rejected]
    types = Counter(question_type(one.question) for one in parsed)
    return {
        "candidates": len(candidates),
        "parsed_rate": len(parsed) / len(candidates) if candidates else 0.0,
        "kind_entropy": kind_entropy(list(types.elements())),
        "distinct_rate": distinct_rate([(one.image, one.question) for one in parsed]),
        "kind_shares": {name: count / len(parsed) for name, count in sorted(types.items())},
        "rejected": dict(Counter(one.rejected for one in candidates if one.rejected).most_common()),
    }


def round_figures(
    scored: Sequence[ScoredCandidate], groups: Sequence[Group], reading: str, seed: int
) -> dict[str, Any]:
    """Figures of one round for the rounds table; those of the truth only if candidates were judged.

    Args:
        scored: all candidates of the round.
        groups: its pseudo-labels.
        reading: reading of S(I2C) that chose them.
        seed: of the random control.
    """
    parsed = [one for one in scored if one.scores is not None]
    positives = [group.positive for group in groups]
    scores = [getattr(one.scores, reading) for one in parsed]
    tokens = [float(one.scores.tokens) for one in parsed if one.scores]
    figures: dict[str, Any] = {
        "images": len({one.candidate.image for one in scored}),
        "groups": len(groups),
        **writer_figures([one.candidate for one in scored]),
        "i2c_mean": mean(scores),
        "i2c_positive_mean": mean([getattr(one.scores, reading) for one in positives]),
        "i2c_shuffled_mean": mean([one.shuffled for one in parsed if one.shuffled is not None]),
        "image_contrast": image_contrast(scored),
        "answer_tokens": mean(tokens),
        "length_correlation": rank_correlation(scores, tokens) if len(parsed) > 1 else None,
    }
    if any(one.verdict is not None for one in scored):
        figures |= {
            "truth_rate": truth_rate(scored),
            "positive_truth_rate": truth_rate(positives),
            "random_truth_rate": truth_rate(random_candidates(parsed, positives, seed)),
        }
    return figures


def image_contrast(scored: Sequence[ScoredCandidate]) -> float | None:
    """Relative difference of S(I2C) with the right image and with another one.

    Returns:
        (r - s) / (|r| + |s|) of the mean `answer` readings r and s: 1 if another image says nothing about an answer,
        0 if it says as much; None if no candidate was scored with both.
    """
    both = [(one.scores.answer, one.shuffled) for one in scored if one.scores and one.shuffled is not None]
    right, other = mean([answer for answer, _ in both]), mean([shuffled for _, shuffled in both])
    if right is None or other is None or right == other == 0:
        return None
    return (right - other) / (abs(right) + abs(other))


def reading_auroc(scored: Sequence[ScoredCandidate]) -> dict[str, Any]:
    """AUROC of each reading, and of plain confidence, at telling right pairs from the others."""
    parsed = [one for one in scored if one.scores is not None and one.verdict is not None]
    labels = [one.verdict == "right" for one in parsed]
    tables = [asdict(one.scores) for one in parsed if one.scores is not None]
    out: dict[str, Any] = {name: auroc([t[name] for t in tables], labels) for name in READINGS_AND_RIVAL}
    return {**out, "n": len(parsed)}


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of no values."""
    return statistics.fmean(values) if values else None
