"""Scores of a judge's reviews of answers to LLaVA-Bench in the wild."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.evaluation.benchmarks.base import QuestionSet, headline_name
from lightning_c3l.evaluation.benchmarks.evaluation import AGAINST, BLIND, Comparison, Evaluation, ProtocolResult
from lightning_c3l.evaluation.benchmarks.llava_w import KIND, LlavaW
from lightning_c3l.evaluation.benchmarks.rows import quoted
from lightning_c3l.evaluation.judging.base import Review
from lightning_c3l.evaluation.judging.reviews import read_reviews
from lightning_c3l.evaluation.metrics.functional import relative_score, relative_score_of_sums
from lightning_c3l.functional.significance import bootstrap_interval, paired_interval
from lightning_c3l.runs.digests import sha256_of_files

_PROTOCOL_NOTES = {
    "reference": (
        "a reply without two numbers counts as -1 and -1; the mean of several files is that of their scores with one "
        "decimal, as published",
    ),
    "strict": ("a reply without two numbers is left out",),
}


@dataclass(frozen=True)
class ReviewFile:
    """All reviews of one file: one judge, once over the questions, in one order of the answers or in both.

    Attributes:
        path: the file.
        judge: its name for readers.
        reviews: in the order of the file.
    """

    path: Path
    judge: str
    reviews: tuple[Review, ...]

    @property
    def ids(self) -> set[str]:
        """Ids of the reviewed questions."""
        return {review.id for review in self.reviews}

    def counted(self, protocol: str, ids: Sequence[str]) -> list[Review]:
        """Reviews of these questions that count by a protocol."""
        wanted = set(ids)
        return [one for one in self.reviews if one.id in wanted and (protocol == "reference" or one.parsed)]

    def parse_failures(self, ids: Sequence[str]) -> int:
        """Number of unparsable reviews of these questions."""
        wanted = set(ids)
        return sum(not review.parsed for review in self.reviews if review.id in wanted)


def evaluate_reviews(
    questions: QuestionSet | None,
    reviews: Sequence[Path],
    *,
    protocols: Sequence[str] | None = None,
    blind: Sequence[Path] = (),
    against: Sequence[Path] = (),
    partial: bool = False,
) -> Evaluation:
    """Score reviews: each file, and the mean over the files of one judge.

    Args:
        questions: what must be reviewed; None takes the questions of the first file.
        reviews: one file per round of the judge.
        protocols: `reference` or `strict`; None takes both.
        blind: reviews by the same judge of answers without images.
        against: reviews by the same judge of another LVLM's answers.
        partial: leave out questions that are not reviewed.

    Returns:
        The figures by each protocol, in percent.

    Raises:
        OSError: a file cannot be read.
        ValueError: names the file and what does not fit.
    """
    benchmark = LlavaW()
    for protocol in protocols or ():
        if protocol not in benchmark.protocols:
            raise ValueError(f"llava_w has no protocol {protocol!r}; it has {', '.join(benchmark.protocols)}")
    paths = {"reviews": reviews, BLIND: blind, AGAINST: against}
    read = {role: [_read_file(path, questions) for path in own] for role, own in paths.items() if own}
    ours, others = read["reviews"], {role: files for role, files in read.items() if role != "reviews"}
    ids = _common_ids([*ours, *others.get(BLIND, ())], questions, partial)
    shared = {role: [name for name in ids if all(name in one.ids for one in files)] for role, files in others.items()}
    if against and not shared[AGAINST]:
        raise ValueError(f"{ours[0].path} and {others[AGAINST][0].path} review no question in common")
    judges = list(dict.fromkeys(one.judge for files in read.values() for one in files))
    if others and len(judges) > 1:
        raise ValueError(f"reviews by different judges cannot be compared: {', '.join(judges)}")
    notes = [f"judge: {', '.join(judges)}; never compare across judges"]
    if len(judges) > 1:
        notes.append("the files are by different judges: each stands alone, and there is no mean")
    chosen = protocols or benchmark.protocols
    results = {}
    for protocol in chosen:
        compared = {role: _compare(protocol, ours, files, shared[role]) for role, files in others.items()}
        results[protocol] = _result(protocol, ours, ids, compared)
    return Evaluation(
        benchmark.name,
        chosen[0],
        results,
        {role: {str(path): sha256_of_files([path]) for path in paths[role]} for role in read},
        {"reviews": sum(len(one.reviews) for one in ours), "scored": len(ids), "rounds": len(ours)},
        version=questions.digest if questions else "",
        notes=(*notes, *_shared_note(ids, others.get(AGAINST, ()))),
    )


def _read_file(path: Path, questions: QuestionSet | None) -> ReviewFile:
    found = read_reviews(path)
    judges = list(dict.fromkeys(review.judge or "not named in the file" for review in found))
    if len(judges) > 1:
        raise ValueError(f"{path}: contains reviews by several judges ({', '.join(judges)}); use one file for each")
    if questions:
        known = {question.id for question in questions.questions}
        if unknown := [review.id for review in found if review.id not in known]:
            raise ValueError(
                f"{path} reviews question {quoted(unknown[0])}, which is not in {questions.source}: "
                "another version of the questions?"
            )
    return ReviewFile(path, judges[0], tuple(found))


def _common_ids(files: Sequence[ReviewFile], questions: QuestionSet | None, partial: bool) -> list[str]:
    """Questions to score: all, which every file must review, or with `partial` those that each file reviews."""
    reviewed = dict.fromkeys(review.id for one in files for review in one.reviews)
    wanted = [one.id for one in questions.questions] if questions else list(reviewed)
    for one in files:
        missing = [name for name in wanted if name not in one.ids]
        if missing and not partial:
            raise ValueError(
                f"{one.path}: {len(missing)} of {len(wanted)} questions are not reviewed, the first is "
                f"{quoted(missing[0])}; --partial scores only the others"
            )
    common = [name for name in wanted if all(name in one.ids for one in files)]
    if not common:
        raise ValueError(f"{files[0].path}: there is no question that every file reviews")
    return common


def _result(
    protocol: str, files: Sequence[ReviewFile], ids: Sequence[str], others: Mapping[str, Comparison]
) -> ProtocolResult:
    counted = [one.counted(protocol, ids) for one in files]
    comparable = len({one.judge for one in files}) == 1
    scores = [_score(reviews) for reviews in counted]
    mean = sum(scores) / len(scores)
    headline = mean
    if protocol == "reference" and len(scores) > 1:  # the benchmark's evaluation prints scores with one decimal
        headline = sum(round(score, 1) for score in scores) / len(scores)
    return ProtocolResult(
        headline_name(LlavaW(), protocol),
        headline if comparable else None,
        bootstrap_interval([_rating_sums(counted, ids)], _mean_score) if comparable else None,
        sum(map(len, counted)),
        sum(one.parse_failures(ids) for one in files),
        {"unrounded": mean, "judge": files[0].judge} if comparable else {},
        _tables(files, counted, ids, comparable),
        others,
        _PROTOCOL_NOTES[protocol],
    )


def _rating_sums(counted: Sequence[Sequence[Review]], ids: Sequence[str]) -> NDArray[np.float64]:
    """Ratings of candidate and reference for each question, summed over the orders, for each of R files, `[Q, 2 R]`."""
    rows = {name: row for row, name in enumerate(ids)}
    sums = np.zeros((len(ids), 2 * len(counted)))
    for column, reviews in enumerate(counted):
        for review in reviews:
            sums[rows[review.id], 2 * column : 2 * column + 2] += review.candidate, review.reference
    return sums


def _mean_score(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the files' scores, from totals `[..., 1, 2 R]`."""
    sums = totals[..., 0, :].reshape(*totals.shape[:-2], -1, 2)
    means: NDArray[np.float64] = relative_score_of_sums(sums[..., 0], sums[..., 1]).mean(-1)
    return means


def _score(reviews: Sequence[Review]) -> float:
    ratings = np.array([(review.candidate, review.reference) for review in reviews]).reshape(-1, 2)
    return relative_score(ratings[:, 0], ratings[:, 1])


def _tables(
    files: Sequence[ReviewFile], counted: Sequence[Sequence[Review]], ids: Sequence[str], comparable: bool
) -> dict[str, dict[str, dict[str, Any]]]:
    """By file; by kind and order over all files of one judge, or for each file if the judges differ."""
    ambiguous = len({one.path.name for one in files}) < len(files)
    by_file: dict[str, dict[str, Any]] = {
        str(one.path) if ambiguous else one.path.name: {
            "score": _score(reviews),
            "n": len(reviews),
            "parse_failures": one.parse_failures(ids),
            "judge": one.judge,
        }
        for one, reviews in zip(files, counted, strict=True)
    }
    if comparable:
        return {"file": by_file, **_table_by(KIND, counted), **_table_by("order", counted)}
    tables = {"file": by_file}
    for one, reviews in zip(files, counted, strict=True):
        tables |= {f"{name} in {one.path}": table for name, table in _table_by(KIND, [reviews]).items()}
    return tables


def _table_by(field: str, counted: Sequence[Sequence[Review]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Mean score over the files of each kind, or of each order; no table if there is only one order."""
    values = sorted({getattr(review, field) for reviews in counted for review in reviews})
    if len(values) < 2 and field == "order":
        return {}
    table = {}
    for value in values:
        own = [[review for review in reviews if getattr(review, field) == value] for reviews in counted]
        table[value] = {"score": sum(map(_score, own)) / len(own), "n": sum(map(len, own))}
    return {field: table}


def _compare(protocol: str, ours: Sequence[ReviewFile], theirs: Sequence[ReviewFile], ids: Sequence[str]) -> Comparison:
    """Score both sides on the same questions: for `strict` those whose every review could be parsed, on both sides."""
    unparsed = {review.id for one in (*ours, *theirs) for review in one.reviews if not review.parsed}
    shared = [name for name in ids if protocol == "reference" or name not in unparsed]
    left, right = ([one.counted(protocol, shared) for one in side] for side in (ours, theirs))
    scores = [sum(map(_score, side)) / len(side) for side in (left, right)]
    interval = (float("nan"), float("nan"))
    if shared:
        interval = paired_interval([_rating_sums(left, shared)], [_rating_sums(right, shared)], _mean_score)
    figures = {"parse_failures": sum(one.parse_failures(ids) for one in theirs), "tables": _table_by(KIND, right)}
    return Comparison(scores[1], scores[0] - scores[1], interval, None, len(shared), figures)


def _shared_note(ids: Sequence[str], against: Sequence[ReviewFile]) -> list[str]:
    """How many questions are compared, if the other LVLM did not answer the same ones."""
    theirs = set[str]().union(*(one.ids for one in against))
    both = sum(all(name in one.ids for one in against) for name in ids)
    if not against or both == len(ids) == len(theirs):
        return []
    return [f"{AGAINST}: compared on the {both} questions that both review, of {len(ids)} here and {len(theirs)} there"]
