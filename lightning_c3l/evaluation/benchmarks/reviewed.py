"""What a judge's reviews make of the answers to LLaVA-Bench in the wild."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.evaluation.benchmarks.base import QuestionSet
from lightning_c3l.evaluation.benchmarks.cells import file_hash, short
from lightning_c3l.evaluation.benchmarks.evaluation import AGAINST, BLIND, Compared, Evaluation, Protocolled
from lightning_c3l.evaluation.benchmarks.llava_w import KIND, LlavaW
from lightning_c3l.evaluation.benchmarks.names import headline_name
from lightning_c3l.evaluation.judging.base import Review
from lightning_c3l.evaluation.judging.reviews import read_reviews
from lightning_c3l.evaluation.metrics.relative import of_sums, relative_score
from lightning_c3l.functional.significance import bootstrap_interval, paired_interval

_PROTOCOL_NOTES = {
    "reference": (
        "a reply without two numbers counts as -1 and -1; the mean of several files is that of their scores with one "
        "decimal, as published",
    ),
    "strict": ("a reply without two numbers is left out",),
}


@dataclass(frozen=True)
class Round:
    """All reviews of one file: one judge, once over the questions, in one order of the answers or in both.

    Attributes:
        path: the file.
        judge: who wrote them; empty where the file does not say.
        reviews: in the order of the file.
    """

    path: Path
    judge: str
    reviews: tuple[Review, ...]

    @property
    def ids(self) -> set[str]:
        """Questions that were reviewed."""
        return {review.id for review in self.reviews}


def evaluate_reviews(
    questions: QuestionSet | None,
    reviews: Sequence[Path],
    *,
    protocols: Sequence[str] | None = None,
    blind: Sequence[Path] = (),
    against: Sequence[Path] = (),
    partial: bool = False,
) -> Evaluation:
    """Score reviews: of each file, and the mean over files of one judge.

    Args:
        questions: what must be reviewed; None takes the first file's.
        reviews: a file for each round of the judge.
        protocols: `reference` or `strict`; None takes both.
        blind: the same of answers given without pictures, by the same judge.
        against: the same of another LVLM's answers, by the same judge.
        partial: leave out questions that are not reviewed.

    Raises:
        OSError: a file cannot be read.
        ValueError: names the file and what does not fit.
    """
    benchmark = LlavaW()
    for protocol in protocols or ():
        if protocol not in benchmark.protocols:
            raise ValueError(f"llava_w has no protocol {protocol!r}; it has {', '.join(benchmark.protocols)}")
    rounds = [_read(path, questions) for path in reviews]
    given = {BLIND: blind, AGAINST: against}
    others = {role: [_read(path, questions) for path in paths] for role, paths in given.items() if paths}
    everywhere = [*rounds, *(one for other in others.values() for one in other)]
    ids = _shared([*rounds, *others.get(BLIND, ())], questions, partial)
    known = {role: [name for name in ids if all(name in one.ids for one in other)] for role, other in others.items()}
    if against and not known[AGAINST]:
        raise ValueError(f"{rounds[0].path} and {others[AGAINST][0].path} review no question in common")
    judges = list(dict.fromkeys(one.judge for one in everywhere))
    if others and len(judges) > 1:
        raise ValueError(f"reviews of different judges cannot be compared: {', '.join(map(_name, judges))}")
    chosen = protocols or benchmark.protocols
    files = {"reviews": _hashes(reviews), **{role: _hashes(given[role]) for role in others}}
    return Evaluation(
        benchmark.name,
        chosen[0],
        {protocol: _protocolled(protocol, rounds, others, ids, known) for protocol in chosen},
        files,
        {"reviews": sum(len(one.reviews) for one in rounds), "scored": len(ids), "rounds": len(rounds)},
        version=questions.digest if questions else "",
        notes=(*_notes(rounds, judges), *_rival_note(ids, others.get(AGAINST, ()))),
    )


def _read(path: Path, questions: QuestionSet | None) -> Round:
    found = read_reviews(path)
    judges = list(dict.fromkeys(review.judge for review in found))
    if len(judges) > 1:
        raise ValueError(f"{path}: reviews of several judges ({', '.join(map(_name, judges))}); give each its own file")
    known = {question.id: question for question in questions.questions} if questions else {}
    unknown = [review.id for review in found if questions and review.id not in known]
    if unknown and questions:
        raise ValueError(
            f"{path} reviews question {short(unknown[0])} that {questions.source} has not: "
            "another version of the questions?"
        )
    return Round(path, judges[0], tuple(found))


def _shared(rounds: Sequence[Round], questions: QuestionSet | None, partial: bool) -> list[str]:
    """Questions to score: those of the benchmark, which every file must have, or with `partial` those that each has."""
    wanted = [one.id for one in questions.questions] if questions else list(dict.fromkeys(_ids(rounds)))
    if not partial:
        for one in rounds:
            missing = [name for name in wanted if name not in one.ids]
            if missing:
                raise ValueError(
                    f"{one.path}: {len(missing)} of {len(wanted)} questions are not reviewed, {short(missing[0])} is "
                    "the first; --partial scores the others alone"
                )
    left = [name for name in wanted if all(name in one.ids for one in rounds)]
    if not left:
        raise ValueError(f"{rounds[0].path}: no question that every file reviews")
    return left


def _ids(rounds: Sequence[Round]) -> Iterable[str]:
    return (review.id for one in rounds for review in one.reviews)


def _protocolled(
    protocol: str,
    rounds: Sequence[Round],
    others: Mapping[str, Sequence[Round]],
    ids: Sequence[str],
    known: Mapping[str, Sequence[str]],
) -> Protocolled:
    kept = [_kept(one, protocol, ids) for one in rounds]
    comparable = len({one.judge for one in rounds}) == 1
    part = np.concatenate([_sums(reviews, ids) for reviews in kept], axis=1)
    scores = [_score(reviews) for reviews in kept]
    mean = sum(scores) / len(scores)
    return Protocolled(
        headline_name("llava_w", protocol),
        (_as_published(scores) if protocol == "reference" else mean) if comparable else None,
        bootstrap_interval([part], _mean_ratio) if comparable else None,
        sum(map(len, kept)),
        sum(_failures(one, ids) for one in rounds),
        {"unrounded": mean, "judge": _name(rounds[0].judge)} if comparable else {},
        _tables(rounds, kept, ids, comparable),
        {role: _compared(protocol, rounds, other, known[role]) for role, other in others.items()},
        _PROTOCOL_NOTES[protocol],
    )


def _kept(one: Round, protocol: str, ids: Sequence[str]) -> list[Review]:
    """Reviews that count."""
    wanted = set(ids)
    return [review for review in one.reviews if review.id in wanted and (protocol == "reference" or review.parsed)]


def _failures(one: Round, ids: Sequence[str]) -> int:
    wanted = set(ids)
    return sum(not review.parsed for review in one.reviews if review.id in wanted)


def _sums(reviews: Sequence[Review], ids: Sequence[str]) -> NDArray[np.float64]:
    """Marks of candidate and reference for each question, summed over the orders, `[Q, 2]`."""
    places = {name: place for place, name in enumerate(ids)}
    sums = np.zeros((len(ids), 2))
    for review in reviews:
        sums[places[review.id]] += review.candidate, review.reference
    return sums


def _mean_ratio(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the rounds of each one's score, from totals `[..., 1, 2 R]`."""
    pairs = totals[..., 0, :].reshape(*totals.shape[:-2], -1, 2)
    means: NDArray[np.float64] = of_sums(pairs[..., 0], pairs[..., 1]).mean(-1)
    return means


def _as_published(scores: Sequence[float]) -> float:
    """A round's score; of several the mean of what the benchmark's evaluation prints, which has one decimal."""
    return scores[0] if len(scores) == 1 else sum(round(score, 1) for score in scores) / len(scores)


def _score(reviews: Sequence[Review]) -> float:
    marks = np.array([(review.candidate, review.reference) for review in reviews]).reshape(-1, 2)
    return relative_score(marks[:, 0], marks[:, 1])


def _tables(
    rounds: Sequence[Round], kept: Sequence[Sequence[Review]], ids: Sequence[str], comparable: bool
) -> dict[str, dict[str, dict[str, Any]]]:
    """By file; by kind and order over all files of one judge, or of each file apart where judges differ."""
    alike = len({one.path.name for one in rounds}) < len(rounds)
    files: dict[str, dict[str, Any]] = {
        str(one.path) if alike else one.path.name: {
            "score": _score(reviews),
            "n": len(reviews),
            "parse_failures": _failures(one, ids),
            "judge": _name(one.judge),
        }
        for one, reviews in zip(rounds, kept, strict=True)
    }
    if comparable:
        return {"file": files, **_by(KIND, kept), **_by("order", kept)}
    tables = {"file": files}
    for one, reviews in zip(rounds, kept, strict=True):
        tables |= {f"{name} in {one.path}": table for name, table in _by(KIND, [reviews]).items()}
    return tables


def _by(field: str, kept: Sequence[Sequence[Review]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Score of each kind, or of each order: the mean over the rounds; no table where there is only one."""
    values = sorted({getattr(review, field) for reviews in kept for review in reviews})
    if len(values) < 2 and field == "order":
        return {}
    table = {}
    for value in values:
        own = [[review for review in reviews if getattr(review, field) == value] for reviews in kept]
        table[value] = {"score": sum(map(_score, own)) / len(own), "n": sum(map(len, own))}
    return {field: table}


def _compared(protocol: str, ours: Sequence[Round], theirs: Sequence[Round], ids: Sequence[str]) -> Compared:
    """Both sides on the same questions: by `strict` those whose every review could be read, on both sides."""
    unread = {review.id for one in (*ours, *theirs) for review in one.reviews if not review.parsed}
    shared = [name for name in ids if protocol == "reference" or name not in unread]
    sides = [[_kept(one, protocol, shared) for one in side] for side in (ours, theirs)]
    scores = [sum(map(_score, side)) / len(side) for side in sides]
    parts = [np.concatenate([_sums(reviews, shared) for reviews in side], axis=1) for side in sides]
    interval = paired_interval(parts[:1], parts[1:], _mean_ratio) if shared else (float("nan"), float("nan"))
    figures = {"parse_failures": sum(_failures(one, ids) for one in theirs), "tables": _by(KIND, sides[1])}
    return Compared(scores[1], scores[0] - scores[1], interval, None, len(shared), figures)


def _notes(rounds: Sequence[Round], judges: Sequence[str]) -> tuple[str, ...]:
    notes = [f"judge: {', '.join(map(_name, judges))}; never compare across judges"]
    if len({one.judge for one in rounds}) > 1:
        notes.append("the files are of different judges: each stands alone, and there is no mean")
    return tuple(notes)


def _rival_note(ids: Sequence[str], against: Sequence[Round]) -> list[str]:
    """How many questions are compared, where the rival was not asked the same ones."""
    theirs = set[str]().union(*(one.ids for one in against))
    both = sum(all(name in one.ids for one in against) for name in ids)
    if not against or both == len(ids) == len(theirs):
        return []
    return [f"{AGAINST}: compared on the {both} questions that both review, of {len(ids)} here and {len(theirs)} there"]


def _name(judge: str) -> str:
    return judge or "not named in the file"


def _hashes(paths: Sequence[Path]) -> dict[str, str]:
    return {str(path): file_hash([path]) for path in paths}
