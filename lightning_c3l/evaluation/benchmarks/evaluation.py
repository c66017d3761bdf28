"""Figures of answer files: every protocol that they can serve, with intervals, a blind run and a rival beside them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_c3l.evaluation.benchmarks import scorable
from lightning_c3l.evaluation.benchmarks.answers import AnswerFile
from lightning_c3l.evaluation.benchmarks.base import Benchmark, QuestionSet
from lightning_c3l.evaluation.benchmarks.matching import Matched, match
from lightning_c3l.evaluation.benchmarks.names import headline_name
from lightning_c3l.evaluation.benchmarks.scored import Scored, ScoredBenchmark
from lightning_c3l.functional.significance import SAMPLES, SEED, bootstrap_interval, mcnemar, paired_interval

# the two other answer files that may stand beside the one that is evaluated
BLIND, AGAINST = "blind", "against"
_NEEDS = {
    "text": "what the LVLM wrote (`text`) for each question",
    "hit": "`hit` and `log` of VLMEvalKit's judged MMBench, one row a base question",
    "losses": "`losses`, the mean negative log-likelihood a token of each option, for each question",
}


@dataclass(frozen=True)
class Compared:
    """Another answer file on the same questions.

    Attributes:
        headline: its own figure, on the questions that both have.
        difference: ours less its own.
        interval: 95 % of the difference, by a paired bootstrap.
        p: exact McNemar test on right and wrong; None where nothing is right or wrong.
        n: units that both have.
        figures: its own, as those of the evaluated file.
    """

    headline: float
    difference: float
    interval: tuple[float, float]
    p: float | None
    n: int
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class Protocolled:
    """Figures by one protocol.

    Attributes:
        metric: name of the headline figure.
        headline: that figure, None where there is none.
        interval: its 95 % interval.
        n: answers.
        parse_failures: answers that could not be read.
        figures: further ones over everything.
        tables: by table, category and name.
        others: `blind` and `against`, where given.
        notes: what a reader must know.
        meaning: what the headline is, where its name does not say it.
    """

    metric: str
    headline: float | None
    interval: tuple[float, float] | None
    n: int
    parse_failures: int
    figures: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]]
    others: Mapping[str, Compared] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    meaning: str = ""


@dataclass(frozen=True)
class Evaluation:
    """All that is known of an answer file.

    Attributes:
        benchmark: its name.
        headline: the protocol whose headline stands for the benchmark.
        protocols: figures by protocol.
        files: SHA-256 of the files of each role (`answers`, `questions`, `blind`, ...), by name; for `questions` that
            were read elsewhere the digest of the set.
        counts: rows, questions, repeats, empty answers and so on.
        model: name of the LVLM, empty where no file says it.
        version: digest of the question set, empty where there is none.
        notes: what a reader must know.
    """

    benchmark: str
    headline: str
    protocols: Mapping[str, Protocolled]
    files: Mapping[str, Mapping[str, str]]
    counts: Mapping[str, int]
    model: str = ""
    version: str = ""
    notes: tuple[str, ...] = ()

    @property
    def value(self) -> float | None:
        """The headline figure."""
        return self.protocols[self.headline].headline

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values; a figure that is no number is None. Shares are in [0, 1], llava_w in percent."""
        first = self.protocols[self.headline]
        document = {
            "benchmark": self.benchmark,
            "model": self.model,
            "headline": {
                "protocol": self.headline,
                "metric": first.metric,
                "meaning": first.meaning,
                "value": first.headline,
                "interval": first.interval,
                "n": first.n,
            },
            "interval": {"level": 0.95, "method": "percentile bootstrap", "resamples": SAMPLES, "seed": SEED},
            "files": self.files,
            "questions_version": self.version,
            "counts": self.counts,
            "protocols": {name: vars(one) for name, one in self.protocols.items()},
            "notes": self.notes,
        }
        plain = _plain(document)
        assert isinstance(plain, dict)
        return plain


def evaluate(
    benchmark: Benchmark,
    questions: QuestionSet | None,
    answers: AnswerFile,
    *,
    protocols: Sequence[str] | None = None,
    blind: AnswerFile | None = None,
    against: AnswerFile | None = None,
    partial: bool = False,
) -> Evaluation:
    """Score an answer file; of llava_w see `reviewed.evaluate_reviews`.

    Args:
        benchmark: whose answers they are.
        questions: its questions; None takes those that the answers carry.
        answers: the file.
        protocols: their names; None takes all that the file can serve.
        blind: answers of a run without pictures.
        against: answers of another LVLM.
        partial: leave out questions without an answer.

    Raises:
        ValueError: names what does not fit, or what a protocol needs.
    """
    scoring = scorable(benchmark.name)
    matched = match(scoring, questions, answers, partial)
    asked = matched.questions
    others = {role: file for role, file in ((BLIND, blind), (AGAINST, against)) if file is not None}
    matches = {
        role: match(scoring, asked, file, partial, carried=questions is None, shared=role == AGAINST)
        for role, file in others.items()
    }
    chosen = protocols or served(scoring, answers)
    found = {}
    for protocol in chosen:
        check_served(scoring, answers, protocol)
        beside, left_out = {}, list[str]()
        for role, file in others.items():
            if protocols or protocol in served(scoring, file):
                check_served(scoring, file, protocol)
                beside[role] = _compared(scoring, protocol, matched, matches[role])
            else:
                left_out.append(f"{file.source} cannot serve {protocol}: it needs {_NEEDS[scoring.needs(protocol)]}")
        found[protocol] = _protocolled(scoring, protocol, matched, beside, left_out)
    headline, choice = (chosen[0], []) if protocols else _headline(scoring, found)
    return Evaluation(
        benchmark.name,
        headline,
        found,
        _files(questions, {"answers": answers, **others}),
        matched.counts,
        answers.model,
        asked.digest,
        (*choice, *_of_blindness(answers, blind), *matched.notes, *_other_notes(matched, matches)),
    )


def _headline(benchmark: ScoredBenchmark, found: Mapping[str, Protocolled]) -> tuple[str, list[str]]:
    """The protocol whose figure stands for the benchmark, and a note where that is no matter of course.

    Of SEED-Bench it is the one that reads the most answers, the first of several: `letter` would be near 0 for an LVLM
    that answers in sentences. POPE's `reference` reads silence as yes, so there the number says nothing.
    """
    if benchmark.name != "seed":
        return next(iter(found)), []
    first = min(found, key=lambda protocol: found[protocol].parse_failures)
    read = {protocol: one.n - one.parse_failures for protocol, one in found.items()}
    if len(set(read.values())) == 1:
        return first, []
    rest = ", ".join(f"{protocol} {count}" for protocol, count in read.items() if protocol != first)
    return first, [f"the headline is by {first}, which reads the most answers: {read[first]} ({rest})"]


def served(benchmark: ScoredBenchmark, file: AnswerFile) -> list[str]:
    """Protocols that an answer file can serve.

    Raises:
        ValueError: there are none; says what the default one needs.
    """
    found = [protocol for protocol in benchmark.protocols if _lacking(benchmark, file, protocol) == 0]
    if not found:
        check_served(benchmark, file, benchmark.protocols[0])
    return found


def check_served(benchmark: ScoredBenchmark, file: AnswerFile, protocol: str) -> None:
    """Refuse a protocol that a file has not what it takes for.

    Raises:
        ValueError: says what is needed.
    """
    if protocol not in benchmark.protocols:
        raise ValueError(f"{benchmark.name} has no protocol {protocol!r}; it has {', '.join(benchmark.protocols)}")
    if lacking := _lacking(benchmark, file, protocol):
        raise ValueError(
            f"{file.source} cannot serve {protocol}, which needs {_NEEDS[benchmark.needs(protocol)]}: "
            f"{lacking} of {len(file.rows)} rows have none"
        )


def _lacking(benchmark: ScoredBenchmark, file: AnswerFile, protocol: str) -> int:
    """Rows without what a protocol reads. A row that says why it has nothing lacks nothing, but not all rows may."""
    field_ = benchmark.needs(protocol)
    held = [getattr(answer, field_) is not None for answer in file.answers]
    if not any(held):
        return len(held)
    return sum(not one and not answer.problem for one, answer in zip(held, file.answers, strict=True))


def _protocolled(
    benchmark: ScoredBenchmark, protocol: str, matched: Matched, beside: dict[str, Compared], left_out: list[str]
) -> Protocolled:
    scored = benchmark.score(matched.pairs, protocol)
    return Protocolled(
        headline_name(benchmark.name, protocol),
        scored.headline,
        bootstrap_interval(scored.parts, scored.figure),
        scored.n,
        scored.unparsable,
        scored.figures,
        scored.tables,
        beside,
        (*benchmark.notes(matched.pairs, protocol), *left_out),
        scored.meaning,
    )


def _compared(benchmark: ScoredBenchmark, protocol: str, ours: Matched, theirs: Matched) -> Compared:
    """Both sides on the questions that both have, in the same order."""
    shared = {question.id for question, _ in ours.pairs} & {question.id for question, _ in theirs.pairs}
    if not shared:
        raise ValueError("the two answer files have no question in common")
    sides: list[Scored] = []
    for side in (ours, theirs):
        sides.append(benchmark.score([pair for pair in side.pairs if pair[0].id in shared], protocol))
    left, right = sides
    p = mcnemar(left.right, right.right) if left.right is not None and right.right is not None else None
    return Compared(
        right.headline,
        left.headline - right.headline,
        paired_interval(left.parts, right.parts, left.figure),
        p,
        len(left.right) if left.right is not None else left.n,
        {"parse_failures": right.unparsable, **right.figures, "tables": right.tables},
    )


def _files(questions: QuestionSet | None, files: Mapping[str, AnswerFile]) -> dict[str, dict[str, str]]:
    found = {role: file.hashes for role, file in files.items()}
    return {**found, "questions": {questions.source: questions.digest}} if questions else found


def _of_blindness(answers: AnswerFile, blind: AnswerFile | None) -> list[str]:
    notes = ["the answers were given without pictures"] if answers.blind else []
    if blind is not None and blind.blind is False:
        notes.append(f"{blind.source} is named as the blind run, but its rows say that pictures were shown")
    return notes


def _other_notes(ours: Matched, matches: Mapping[str, Matched]) -> list[str]:
    notes = [f"{role}: {note}" for role, matched in matches.items() if role != AGAINST for note in matched.notes]
    if (theirs := matches.get(AGAINST)) is not None:
        both = len({question.id for question, _ in ours.pairs} & {question.id for question, _ in theirs.pairs})
        if not both == len(ours.pairs) == theirs.answered:
            notes.append(
                f"{AGAINST}: compared on the {both} questions that both files answer, of {len(ours.pairs)} here and "
                f"{theirs.answered} there"
            )
        notes += [f"{AGAINST}: {note}" for note in theirs.notes]
    return notes


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Compared | Protocolled):
        return _plain(vars(value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
