"""`judge`: a judge's reviews of answers to open questions, and the scores that follow from them."""

import sys
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path

from lightning_c3l.cli.class_names import SHORT_NAMES
from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.options import parse_options
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.evaluation.benchmarks.answers import read_answers, reasoning_counts, reasoning_notes
from lightning_c3l.evaluation.benchmarks.review_scores import evaluate_reviews
from lightning_c3l.evaluation.benchmarks.tables import evaluation_tables
from lightning_c3l.evaluation.judging.choose import JudgeChoice, make_judge
from lightning_c3l.evaluation.judging.reviews import pair_answers, write_reviews
from lightning_c3l.report.terminal import console
from lightning_c3l.runs.atomic import require_writable

_BENCHMARK = "llava_w"


@dataclass(frozen=True)
class JudgeOptions:
    """Let a judge compare answers to LLaVA-Bench's questions with the references; the same command resumes.

    Example:
        c3l judge --questions llava-bench --answers answers.jsonl --out reviews.jsonl --judge-class SceneJudge

    Attributes:
        questions: folder of the benchmark's files: questions, context and reference answers.
        answers: file with the answers of one LVLM.
        out: file of reviews to write, as JSON lines.
        both_orders: judge each pair a second time, with the candidate first.
        cache: folder of the judge's replies; beside `--out` unless given.
        judge: which judge.
    """

    _: KW_ONLY
    questions: Path
    answers: Path
    out: Path
    both_orders: bool = False
    cache: Path | None = None
    judge: JudgeChoice = field(default_factory=JudgeChoice)


def main(arguments: list[str]) -> int:
    """Run the verb `judge`; returns its exit status."""
    options = parse_options("judge", JudgeOptions, arguments)
    cache = options.cache or options.out.with_name(options.out.name + ".replies")
    _check_paths(options, cache)
    questions = benchmarks.load(_BENCHMARK).read_questions([options.questions])
    answers = read_answers([options.answers], _BENCHMARK)
    pairs = pair_answers(questions, answers)
    choice = options.judge
    if choice.judge_checkpoint is not None:
        quieten()
    judge = make_judge(replace(choice, judge_class=SHORT_NAMES.get(str(choice.judge_class), choice.judge_class)), cache)
    try:
        reviews = judge.review(pairs, options.both_orders)
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130
    write_reviews(options.out, reviews)
    found = replace(evaluate_reviews(questions, [options.out]), model=answers.model)
    console().print(evaluation_tables(found))
    unparsed = sum(not review.parsed for review in reviews)
    for note in reasoning_notes(reasoning_counts(answers.answers)):
        print(f"note: {note}")
    without = f", {unparsed} without ratings" if unparsed else ""
    print(f"{len(reviews)} reviews by {judge.name} in {options.out}{without}")
    return 0


def _check_paths(options: JudgeOptions, cache: Path) -> None:
    """Refuse paths that could not be written, before the judge is asked."""
    if options.out.is_dir():
        raise ValueError(f"--out {options.out}: is a folder; give a file")
    require_writable(options.out)
    read = [options.answers, *benchmarks.load(_BENCHMARK).files([options.questions])]
    if options.out.resolve() in [path.resolve() for path in read]:
        raise ValueError(f"--out {options.out}: would replace a file that is read; give another name")
    if cache.exists() and not cache.is_dir():
        raise ValueError(f"--cache {cache}: is not a folder")
