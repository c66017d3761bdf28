"""Figures of answer files by every protocol that they can serve, with intervals and comparisons with other files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lightning_c3l.evaluation.benchmarks import load_scored
from lightning_c3l.evaluation.benchmarks.answers import AnswerFile
from lightning_c3l.evaluation.benchmarks.base import Benchmark, QuestionSet, ScoredBenchmark, headline_name, score_pairs
from lightning_c3l.evaluation.benchmarks.matching import MatchedAnswers, match_answers
from lightning_c3l.functional.finite import jsonable
from lightning_c3l.functional.significance import SAMPLES, SEED, bootstrap_interval, mcnemar, paired_interval

# roles of the two other answer files that the evaluated one may be compared with
BLIND, AGAINST = "blind", "against"
_REQUIREMENTS = {
    "text": "the generated text (`text`) for each question",
    "hit": "`hit` and `log` of VLMEvalKit's judged MMBench, one row per base question",
    "losses": "`losses`, the mean negative log-likelihood per token of each option, for each question",
}


@dataclass(frozen=True)
class Comparison:
    """Another answer file on the same questions.

    Attributes:
        headline: its figure, on the questions that both have.
        difference: the evaluated file's figure minus `headline`.
        interval: 95 % of the difference, by a paired bootstrap.
        p: exact McNemar test on right and wrong; None if nothing is right or wrong.
        n: units that both have.
        figures: its other figures.
    """

    headline: float
    difference: float
    interval: tuple[float, float]
    p: float | None
    n: int
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class ProtocolResult:
    """Figures by one protocol.

    Attributes:
        metric: name of the headline figure.
        headline: that figure, None if there is none.
        interval: its 95 % interval.
        n: number of answers.
        parse_failures: answers that could not be read.
        figures: further figures over all answers.
        tables: by table, category and name.
        others: `blind` and `against`, if given.
        notes: remarks for a reader of the figures.
        meaning: what the headline is, if its name does not say it.
    """

    metric: str
    headline: float | None
    interval: tuple[float, float] | None
    n: int
    parse_failures: int
    figures: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]]
    others: Mapping[str, Comparison] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    meaning: str = ""


@dataclass(frozen=True)
class Evaluation:
    """All figures of an answer file.

    Attributes:
        benchmark: its name.
        headline: the protocol whose headline stands for the benchmark.
        protocols: figures by protocol.
        files: SHA-256 of the files of each role (`answers`, `questions`, `blind`, ...), by name; for `questions` that
            were read elsewhere the digest of the set.
        counts: rows, questions, repeats, empty answers and so on.
        model: name of the LVLM, empty if no file has it.
        version: digest of the question set, empty if there is none.
        notes: remarks for a reader of the figures.
    """

    benchmark: str
    headline: str
    protocols: Mapping[str, ProtocolResult]
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
        """Return JSON values; a figure that is not finite is None. Shares are in [0, 1], llava_w in percent."""
        first = self.protocols[self.headline]
        return {
            "benchmark": self.benchmark,
            "model": self.model,
            "headline": {
                "protocol": self.headline,
                "metric": first.metric,
                "meaning": first.meaning,
                "value": jsonable(first.headline),
                "interval": jsonable(first.interval),
                "n": first.n,
            },
            "interval": {"level": 0.95, "method": "percentile bootstrap", "resamples": SAMPLES, "seed": SEED},
            "files": jsonable(self.files),
            "questions_version": self.version,
            "counts": jsonable(self.counts),
            "protocols": jsonable(self.protocols),
            "notes": list(self.notes),
        }


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
    """Score an answer file; for llava_w see `review_scores.evaluate_reviews`.

    Args:
        benchmark: the benchmark.
        questions: its questions; None takes those in the answer file.
        answers: the answer file.
        protocols: their names; None takes all that the file can serve.
        blind: answers of a run without images.
        against: answers of another LVLM.
        partial: leave out questions without an answer.

    Returns:
        The figures by each protocol.

    Raises:
        ValueError: names what does not fit, or what a protocol needs.
    """
    scoring = load_scored(benchmark)
    matched = match_answers(scoring, questions, answers, partial)
    others = {role: file for role, file in ((BLIND, blind), (AGAINST, against)) if file is not None}
    matches = {
        role: match_answers(scoring, matched.questions, file, partial, questions is None, shared=role == AGAINST)
        for role, file in others.items()
    }
    results = {}
    for protocol in protocols or _served_protocols(scoring, answers):
        _require_served(scoring, answers, protocol)
        compared, left_out = {}, list[str]()
        for role, file in others.items():
            if protocols or protocol in _served_protocols(scoring, file):
                _require_served(scoring, file, protocol)
                compared[role] = _compare(scoring, protocol, matched, matches[role])
            else:
                needed = _REQUIREMENTS[scoring.required_field(protocol)]
                left_out.append(f"{file.source} cannot serve {protocol}: it needs {needed}")
        results[protocol] = _result(scoring, protocol, matched, compared, left_out)
    headline, notes = (protocols[0], list[str]()) if protocols else _choose_headline(scoring, results)
    if answers.blind:
        notes.append("the answers were given without images")
    if blind is not None and blind.blind is False:
        notes.append(f"{blind.source} is given as the blind run, but its rows say that images were shown")
    files = {role: file.hashes for role, file in {"answers": answers, **others}.items()}
    if questions:
        files["questions"] = {questions.source: questions.digest}
    return Evaluation(
        benchmark.name,
        headline,
        results,
        files,
        matched.counts,
        answers.model,
        matched.questions.digest,
        (*notes, *matched.notes, *_comparison_notes(matched, matches)),
    )


def _choose_headline(benchmark: ScoredBenchmark, results: Mapping[str, ProtocolResult]) -> tuple[str, list[str]]:
    """The protocol whose figure stands for the benchmark, and a note if that is not the default one's.

    For SEED-Bench it is the first protocol that reads the most answers: `letter` would be near 0 for an LVLM that
    answers in sentences. POPE's `reference` reads an empty answer as yes, so the number of answers read says nothing.
    """
    if benchmark.name != "seed":
        return next(iter(results)), []
    first = min(results, key=lambda protocol: results[protocol].parse_failures)
    read = {protocol: one.n - one.parse_failures for protocol, one in results.items()}
    if len(set(read.values())) == 1:
        return first, []
    rest = ", ".join(f"{protocol} {count}" for protocol, count in read.items() if protocol != first)
    return first, [f"the headline is by {first}, which reads the most answers: {read[first]} ({rest})"]


def _served_protocols(benchmark: ScoredBenchmark, file: AnswerFile) -> list[str]:
    """Protocols that an answer file can serve, at least one."""
    served = [protocol for protocol in benchmark.protocols if _rows_without(benchmark, file, protocol) == 0]
    if not served:
        _require_served(benchmark, file, benchmark.protocols[0])
    return served


def _require_served(benchmark: ScoredBenchmark, file: AnswerFile, protocol: str) -> None:
    if protocol not in benchmark.protocols:
        raise ValueError(f"{benchmark.name} has no protocol {protocol!r}; it has {', '.join(benchmark.protocols)}")
    if lacking := _rows_without(benchmark, file, protocol):
        raise ValueError(
            f"{file.source} cannot serve {protocol}, which needs {_REQUIREMENTS[benchmark.required_field(protocol)]}: "
            f"{lacking} of {len(file.rows)} rows have none"
        )


def _rows_without(benchmark: ScoredBenchmark, file: AnswerFile, protocol: str) -> int:
    """Number of rows without the field that a protocol reads. A row may give a problem instead, but not every row."""
    name = benchmark.required_field(protocol)
    given = [getattr(answer, name) is not None for answer in file.answers]
    if not any(given):
        return len(given)
    return sum(not one and not answer.problem for one, answer in zip(given, file.answers, strict=True))


def _result(
    benchmark: ScoredBenchmark,
    protocol: str,
    matched: MatchedAnswers,
    others: Mapping[str, Comparison],
    left_out: Sequence[str],
) -> ProtocolResult:
    score = score_pairs(benchmark, matched.pairs, protocol)
    return ProtocolResult(
        headline_name(benchmark, protocol),
        score.headline,
        bootstrap_interval(score.parts, score.figure),
        score.n,
        score.unparsable,
        score.figures,
        score.tables,
        others,
        (*benchmark.notes(matched.pairs, protocol), *left_out),
        score.meaning or benchmark.headline.replace("_", " "),
    )


def _compare(benchmark: ScoredBenchmark, protocol: str, ours: MatchedAnswers, theirs: MatchedAnswers) -> Comparison:
    """Score both sides on the questions that both have, in the same order."""
    shared = ours.ids & theirs.ids
    if not shared:
        raise ValueError("the two answer files have no question in common")
    left, right = (
        score_pairs(benchmark, [pair for pair in side.pairs if pair[0].id in shared], protocol)
        for side in (ours, theirs)
    )
    p = mcnemar(left.right, right.right) if left.right is not None and right.right is not None else None
    return Comparison(
        right.headline,
        left.headline - right.headline,
        paired_interval(left.parts, right.parts, left.figure),
        p,
        len(left.right) if left.right is not None else left.n,
        {"parse_failures": right.unparsable, **right.figures, "tables": right.tables},
    )


def _comparison_notes(ours: MatchedAnswers, matches: Mapping[str, MatchedAnswers]) -> list[str]:
    notes = list[str]()
    for role, theirs in matches.items():
        both = len(ours.ids & theirs.ids)
        if role == AGAINST and not both == len(ours.pairs) == theirs.answered:
            notes.append(
                f"{AGAINST}: compared on the {both} questions that both files answer, of {len(ours.pairs)} here and "
                f"{theirs.answered} there"
            )
        notes += [f"{role}: {note}" for note in theirs.notes]
    return notes
