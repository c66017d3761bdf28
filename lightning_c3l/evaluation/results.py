"""Results of a `test` run: the answer file, the judge's reviews, and the scores."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from torchmetrics import MeanMetric, Metric

from lightning_c3l.distributed import collectives
from lightning_c3l.distributed.program import command_line
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.evaluation.benchmarks.answers import answer_row, read_answers
from lightning_c3l.evaluation.benchmarks.base import (
    Answer,
    Benchmark,
    Question,
    QuestionSet,
    headline_name,
    score_pairs,
)
from lightning_c3l.evaluation.benchmarks.evaluation import Evaluation, evaluate
from lightning_c3l.evaluation.benchmarks.pope import SPLITS
from lightning_c3l.evaluation.benchmarks.review_scores import evaluate_reviews
from lightning_c3l.evaluation.benchmarks.tables import evaluation_tables
from lightning_c3l.evaluation.judging.base import Judge, Review
from lightning_c3l.evaluation.judging.reviews import pair_answer, write_reviews
from lightning_c3l.evaluation.metrics.headlines import ChoiceAccuracy, CircularAccuracy, RelativeScore, YesNoF1
from lightning_c3l.evaluation.result_files import ANSWERS, BLIND_ANSWERS, EVALUATION, JUDGED, REVIEWS
from lightning_c3l.report.terminal import console
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic
from lightning_c3l.runs.row_jobs import RowJob

# the headline by benchmark of ours; it takes `ScoredBenchmark.metric_inputs`, or the judge's ratings
METRICS: Mapping[str, Callable[[], Metric]] = {
    "pope": partial(YesNoF1, len(SPLITS)),
    "seed": ChoiceAccuracy,
    "mmbench": CircularAccuracy,
    JUDGED: RelativeScore,
}


class BenchmarkData(Protocol):
    """What is needed of the datamodule.

    Attributes:
        benchmark: the benchmark.
        questions: all of its questions.
        selected: the questions that are asked.
        blind: whether they are asked without images.
        job: stores the rows; set by the module.
    """

    benchmark: Benchmark
    questions: QuestionSet
    selected: Sequence[Question]
    blind: bool
    job: RowJob | None

    def prompt(self, question: Question) -> str:
        """Return the prompt for a question."""


@dataclass(frozen=True)
class BenchmarkResults:
    """Answers to all selected questions, and what follows from them.

    Attributes:
        data: the questions.
        answers: in their order.
        model_id: name of the LVLM.
        folder: the run folder.
    """

    data: BenchmarkData
    answers: Sequence[Answer]
    model_id: str
    folder: Path

    @property
    def file(self) -> Path:
        """The answer file."""
        return self.folder / (BLIND_ANSWERS if self.data.blind else ANSWERS)

    @property
    def pairs(self) -> list[tuple[Question, Answer]]:
        """Questions with their answers."""
        return list(zip(self.data.selected, self.answers, strict=True))

    def write(self) -> None:
        """Write the answer file, one row per question, all or none.

        Raises:
            ValueError: no question could be answered.
        """
        if all(answer.problem for answer in self.answers):
            first = self.answers[0]
            raise ValueError(f"no question could be answered; the first, {first.id}: {first.problem}")
        data = self.data
        rows = (
            answer_row(question, answer, data.prompt(question), self.model_id, data.blind, data.questions.digest)
            for question, answer in self.pairs
        )
        write_text_atomic(self.file, "".join(json.dumps(row) + "\n" for row in rows))

    def review(self, judge: Judge | None) -> list[Review]:
        """Let a judge compare the answers with the references, and write its reviews; none if the benchmark has none.

        Raises:
            JudgeError: some reviews could not be obtained.
        """
        if judge is None or self.data.benchmark.name != JUDGED:
            return []
        reviews = judge.review([pair_answer(question, answer) for question, answer in self.pairs])
        write_reviews(self.folder / REVIEWS, reviews)
        return reviews

    def headlines(self, reviews: Sequence[Review]) -> Iterator[tuple[str, Metric]]:
        """Yield the headline by each protocol that the answers can serve, updated with this rank's share of them."""
        benchmark, name = self.data.benchmark, self.data.benchmark.name
        share = slice(collectives.rank(), None, collectives.world())
        for protocol in benchmark.protocols:
            metric = METRICS.get(name, MeanMetric)()
            if name == JUDGED:
                if not reviews:
                    continue
                counted = [one for one in reviews if protocol == "reference" or one.parsed][share]
                ratings = np.array([(one.candidate, one.reference) for one in counted]).reshape(-1, 2)
                metric.update(ratings[:, 0], ratings[:, 1])
            else:
                scoring = benchmarks.load_scored(benchmark)
                if all(getattr(answer, scoring.required_field(protocol)) is None for answer in self.answers):
                    continue
                if name in METRICS:
                    metric.update(*scoring.metric_inputs(self.pairs[share], protocol))
                else:  # the same value from every rank
                    metric.update(score_pairs(scoring, self.pairs, protocol).headline)
            yield headline_name(benchmark, protocol), metric

    def report(self, reviews: Sequence[Review], headlines: Mapping[str, float]) -> Evaluation | None:
        """Compute all figures, write and print them.

        Args:
            reviews: of the answers, if a judge compared them.
            headlines: the logged figures, for the run's summary.

        Returns:
            The figures; None if nothing can be scored.
        """
        if failed := [answer for answer in self.answers if answer.problem]:
            first = f"the first is {failed[0].id}: {failed[0].problem}"
            print(f"{len(failed)} questions have no answer and count as wrong, {first}", flush=True)
        print(f"answers in {self.file}", flush=True)
        benchmark, questions = self.data.benchmark, self.data.questions
        partial = len(self.data.selected) < len(questions.questions)
        if benchmark.name == JUDGED and not reviews:
            options = f"--questions {questions.source} --answers {self.file} --out {self.folder / REVIEWS}"
            command = command_line(f"judge {options} --judge-model NAME")
            print(f"the answers need a judge's reviews:\n  {command}", flush=True)
            return None
        if benchmark.name == JUDGED:
            evaluation = evaluate_reviews(questions, [self.folder / REVIEWS], partial=partial)
            evaluation = replace(evaluation, model=self.model_id)
        elif all(question.truth for question in questions.questions):
            evaluation = evaluate(benchmark, questions, read_answers([self.file], benchmark), partial=partial)
        else:
            print("the question file has no right answers, so nothing is scored", flush=True)
            return None
        write_json_atomic(self.folder / EVALUATION, evaluation.as_json())
        run = {
            "benchmark": evaluation.benchmark,
            "questions": questions.digest,
            "blind": self.data.blind,
            "model": self.model_id,
        }
        RunStore(self.folder).update_summary(evaluation={**run, "n": len(self.answers), **headlines})
        console().print(evaluation_tables(evaluation))
        return evaluation
