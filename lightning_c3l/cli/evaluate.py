"""`evaluate`: scores of an answer file of a benchmark, by every protocol that it can serve."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from lightning_c3l.cli.options import parse_options
from lightning_c3l.evaluation.benchmarks import choose, load
from lightning_c3l.evaluation.benchmarks.answers import AnswerFile, read_answers
from lightning_c3l.evaluation.benchmarks.base import Benchmark
from lightning_c3l.evaluation.benchmarks.evaluation import Evaluation, evaluate
from lightning_c3l.evaluation.benchmarks.review_scores import evaluate_reviews
from lightning_c3l.evaluation.benchmarks.tables import evaluation_tables
from lightning_c3l.report.terminal import console
from lightning_c3l.runs.atomic import require_writable, write_json_atomic
from lightning_c3l.runs.digests import sha256_of_files


@dataclass(frozen=True)
class EvaluateOptions:
    """Score an answer file of a benchmark, with intervals, by every protocol that it can serve or by one.

    Example:
        c3l evaluate pope --questions runs/scenes-benchmarks/pope --answers runs/pope/version_0/answers.jsonl

    Attributes:
        benchmark: the benchmark: `pope`, `seed`, `mmbench`, `llava_w`, or `module.Class` of your own
            (docs/extending/benchmark.md).
        questions: the benchmark's files, or their folder.
        answers: answer file, or one for each split.
        reviews: for `llava_w`: a judge's reviews, one file for each round of it.
        protocol: protocols to score by; all that the file can serve unless given.
        blind: answers that were given without images (for `llava_w` reviews of them), as the baseline.
        against: answers of another LVLM (for `llava_w` reviews of them), for a paired test.
        partial: leave out questions without an answer, which are an error otherwise.
        json: print the figures as JSON to standard output.
        out: file for the figures as JSON.
    """

    benchmark: str
    questions: list[Path] = field(default_factory=list)
    answers: list[Path] = field(default_factory=list)
    reviews: list[Path] = field(default_factory=list)
    protocol: list[str] = field(default_factory=list)
    blind: list[Path] = field(default_factory=list)
    against: list[Path] = field(default_factory=list)
    partial: bool = False
    json: bool = False
    out: Path | None = None


def main(arguments: list[str]) -> int:
    """Run the verb `evaluate`; returns its exit status."""
    options = parse_options("evaluate", EvaluateOptions, arguments)
    benchmark = choose("benchmark", options.benchmark)
    _check_out(options, benchmark)
    evaluation = _of_reviews(options) if benchmark.name == "llava_w" else _of_answers(options, benchmark)
    if options.questions:
        hashes = {str(path): sha256_of_files([path]) for path in benchmark.files(options.questions)}
        evaluation = replace(evaluation, files={**evaluation.files, "questions": hashes})
    console(stderr=True).print(evaluation_tables(evaluation))
    document = evaluation.as_json()
    if options.out:
        write_json_atomic(options.out, document)
    if options.json:
        print(json.dumps(document, indent=2, allow_nan=False))
    return 0


def _check_out(options: EvaluateOptions, benchmark: Benchmark) -> None:
    """Refuse to write over what is read.

    Raises:
        ValueError: names the file.
    """
    if not options.out:
        return
    require_writable(options.out)
    questions = benchmark.files(options.questions) if options.questions else []
    given = (options.answers, options.reviews, options.blind, options.against, questions)
    if options.out.resolve() in {path.resolve() for paths in given for path in paths}:
        raise ValueError(f"--out {options.out} is one of the files that are read; name another")


def _of_answers(options: EvaluateOptions, benchmark: Benchmark) -> Evaluation:
    if not options.answers or options.reviews:
        raise ValueError(f"{benchmark.name} is scored from --answers, without --reviews")
    return evaluate(
        benchmark,
        benchmark.read_questions(options.questions) if options.questions else None,
        read_answers(options.answers, benchmark),
        protocols=options.protocol or None,
        blind=_answers(options.blind, benchmark),
        against=_answers(options.against, benchmark),
        partial=options.partial,
    )


def _answers(paths: list[Path], benchmark: Benchmark) -> AnswerFile | None:
    return read_answers(paths, benchmark) if paths else None


def _of_reviews(options: EvaluateOptions) -> Evaluation:
    if not options.reviews:
        raise ValueError("llava_w is scored from a judge's reviews: --reviews, one file per round")
    found = evaluate_reviews(
        load("llava_w").read_questions(options.questions) if options.questions else None,
        options.reviews,
        protocols=options.protocol or None,
        blind=options.blind,
        against=options.against,
        partial=options.partial,
    )
    if not options.answers:
        return found
    answers = read_answers(options.answers, "llava_w")
    return replace(found, model=answers.model, files={"answers": answers.hashes, **found.files})
