"""All answers to a benchmark as one file, the judge's reviews of them, and their score."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from torchmetrics import Metric

from lightning_c3l.distributed import collectives
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.evaluation.benchmarks.answers import answer_row, read_answers
from lightning_c3l.evaluation.benchmarks.base import Answer, Benchmark, Question, QuestionSet, headline_name
from lightning_c3l.evaluation.benchmarks.evaluation import Evaluation, evaluate
from lightning_c3l.evaluation.benchmarks.pope import SPLITS
from lightning_c3l.evaluation.benchmarks.review_scores import evaluate_reviews
from lightning_c3l.evaluation.benchmarks.tables import evaluation_tables
from lightning_c3l.evaluation.judging.base import Judge, Review
from lightning_c3l.evaluation.judging.reviews import pair_answer, write_reviews
from lightning_c3l.evaluation.metrics.headlines import ChoiceAccuracy, CircularAccuracy, RelativeScore, YesNoF1
from lightning_c3l.report.terminal import console
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic
from lightning_c3l.runs.row_jobs import RowJob

# whose answers are worth what a judge says
JUDGED = "llava_w"
# the headline by benchmark; it takes what `ScoredBenchmark.metric_inputs` gives, or the judge's marks
METRICS: Mapping[str, Callable[[], Metric]] = {
    "pope": partial(YesNoF1, len(SPLITS)),
    "seed": ChoiceAccuracy,
    "mmbench": CircularAccuracy,
    JUDGED: RelativeScore,
}
# of the run folder
ANSWERS, BLIND_ANSWERS = "answers.jsonl", "answers-blind.jsonl"
REVIEWS, EVALUATION = "reviews.jsonl", "evaluation.json"


class Questions(Protocol):
    """The datamodule, as far as it is asked."""

    benchmark: Benchmark
    questions: QuestionSet
    asked: Sequence[Question]
    blind: bool
    job: RowJob | None

    def prompt(self, question: Question) -> str:
        """What is asked."""


@dataclass(frozen=True)
class Answered:
    """A benchmark's answers, one to each question that was asked.

    Attributes:
        data: the questions.
        answers: in their order.
        model_id: who answered.
        folder: of the run.
    """

    data: Questions
    answers: Sequence[Answer]
    model_id: str
    folder: Path

    @property
    def file(self) -> Path:
        """The answer file."""
        return self.folder / (BLIND_ANSWERS if self.data.blind else ANSWERS)

    def write(self) -> None:
        """Write the answer file, a row for each question, all or none."""
        rows = (
            answer_row(one, answer, self.data.prompt(one), self.model_id, self.data.blind, self.data.questions.digest)
            for one, answer in zip(self.data.asked, self.answers, strict=True)
        )
        write_text_atomic(self.file, "".join(json.dumps(row) + "\n" for row in rows))

    def judged(self, judge: Judge) -> list[Review]:
        """A judge's reviews of the answers, which are written too."""
        pairs = zip(self.data.asked, self.answers, strict=True)
        reviews = judge.review([pair_answer(question, answer) for question, answer in pairs])
        write_reviews(self.folder / REVIEWS, reviews)
        return reviews

    def headlines(self, reviews: Sequence[Review]) -> Iterator[tuple[str, Metric]]:
        """The headline figure by each protocol that the answers can serve, of this process's share of them."""
        name = self.data.benchmark.name
        pairs = list(zip(self.data.asked, self.answers, strict=True))
        for protocol in self.data.benchmark.protocols:
            metric = METRICS[name]()
            if name == JUDGED:
                if not reviews:
                    continue
                given = [one for one in reviews if protocol == "reference" or one.parsed][_share()]
                marks = np.array([(one.candidate, one.reference) for one in given]).reshape(-1, 2)
                metric.update(marks[:, 0], marks[:, 1])
            else:
                scoring = benchmarks.load_scored(name)
                if all(getattr(one, scoring.required_field(protocol)) is None for one in self.answers):
                    continue
                metric.update(*scoring.metric_inputs(pairs[_share()], protocol))
            yield headline_name(name, protocol), metric

    def score(self, reviews: Sequence[Review], headlines: Mapping[str, float]) -> None:
        """Write all figures, and show them."""
        self._say_what_failed()
        print(f"answers in {self.file}", flush=True)
        if (found := self._evaluated(reviews)) is None:
            return
        write_json_atomic(self.folder / EVALUATION, found.as_json())
        about = {"benchmark": found.benchmark, "blind": self.data.blind, "model": self.model_id, "n": len(self.answers)}
        RunStore(self.folder).update_summary(evaluation={**about, **headlines})
        console().print(evaluation_tables(found))

    def _evaluated(self, reviews: Sequence[Review]) -> Evaluation | None:
        """None where somebody else has to say what the answers are worth."""
        benchmark, asked = self.data.benchmark, self.data.questions
        partial = len(self.data.asked) < len(asked.questions)
        if benchmark.name == JUDGED:
            if reviews:
                return evaluate_reviews(asked, [self.folder / REVIEWS], partial=partial)
            words = f"--questions {asked.source} --answers {self.file} --out {self.folder / REVIEWS} --judge-model NAME"
            print(f"a judge says what they are worth:\n  python -m lightning_c3l judge {words}", flush=True)
            return None
        if not all(question.truth for question in asked.questions):
            print("the question file has no right answers, so nothing is scored", flush=True)
            return None
        return evaluate(benchmark, asked, read_answers([self.file], benchmark.name), partial=partial)

    def _say_what_failed(self) -> None:
        failed = [answer for answer in self.answers if answer.problem]
        if failed:
            first = f"the first is {failed[0].id}: {failed[0].problem}"
            print(f"{len(failed)} questions have no answer and count as wrong, {first}", flush=True)


def _share() -> slice:
    """Every n-th of something is this process's."""
    return slice(collectives.rank(), None, collectives.world())
