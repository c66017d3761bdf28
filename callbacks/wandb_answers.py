"""Answers to a benchmark's questions and their figures on W&B."""

from collections.abc import Iterator, Sequence

from lightning import Callback, LightningModule, Trainer

from callbacks.order import Order
from callbacks.wandb_run import wandb_run_of
from callbacks.wandb_values import Table
from lightning_c3l.evaluation.benchmarks import load_scored
from lightning_c3l.evaluation.benchmarks.base import Benchmark, Pair, figure_name
from lightning_c3l.evaluation.benchmarks.evaluation import Evaluation
from lightning_c3l.evaluation.judging.base import Review
from lightning_c3l.evaluation.result_files import ANSWERS, BLIND_ANSWERS, EVALUATION, JUDGED, REVIEWS
from lightning_c3l.evaluation.shown_answers import right_answers, said, some_pairs
from lightning_c3l.functional.finite import finite
from lightning_c3l.modules.benchmark import EvaluationModule

_FILES = (ANSWERS, BLIND_ANSWERS, EVALUATION, REVIEWS)


class WandbAnswers(Callback):
    """Logs what `test` found: figures with their intervals, a table of answers, and its files.

    The summary has each figure as `test/<benchmark>_<figure>`, and the ends of the headline's 95 % interval with `_low`
    and `_high` after its name.
    """

    order = Order.WANDB

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log them from rank zero."""
        logger = wandb_run_of(trainer)
        if logger is None or not isinstance(pl_module, EvaluationModule) or pl_module.results is None:
            return
        results, evaluation = pl_module.results, pl_module.evaluation
        if evaluation is not None:
            logger.summarize(dict(evaluation_figures(evaluation, results.data.benchmark)))
        benchmark, protocol = results.data.benchmark, None if evaluation is None else evaluation.headline
        if benchmark.name == JUDGED:
            table = reviews_table(results.pairs, pl_module.reviews)
        else:
            table = answers_table(benchmark, results.pairs, protocol)
        logger.log({"answers": table})
        logger.log_files("evaluation", [results.folder / file for file in _FILES])


def evaluation_figures(evaluation: Evaluation, benchmark: Benchmark) -> Iterator[tuple[str, float]]:
    """Finite figures of an evaluation by the names that they have in W&B's summary."""
    for protocol, result in evaluation.protocols.items():
        low, high = result.interval or (None, None)
        headline = {result.metric: result.headline, f"{result.metric}_low": low, f"{result.metric}_high": high}
        others = {"n": result.n, "parse_failures": result.parse_failures, **result.figures}
        named = {figure_name(benchmark, name, protocol): value for name, value in others.items()}
        for name, value in {**headline, **named}.items():
            if (real := finite(value)) is not None:
                yield name, real


def answers_table(benchmark: Benchmark, pairs: Sequence[Pair], protocol: str | None) -> Table:
    """Some answers in the order of their questions, and whether each is right where that is known.

    Args:
        benchmark: asks the questions.
        pairs: questions with their answers.
        protocol: decides whether an answer is right; None if nothing does.
    """
    columns = ["question id", "image", "question", "options", "right answer", "answer", "right"]
    rows = []
    shown = some_pairs(pairs)
    right = [None] * len(shown) if protocol is None else right_answers(load_scored(benchmark), pairs, shown, protocol)
    for (question, answer), is_right in zip(shown, right, strict=True):
        options = "\n".join(f"{letter}. {text}" for letter, text in question.options.items())
        known = is_right if question.truth else None
        rows.append(
            [question.id, question.image, question.text, options, question.truth, said(question, answer), known]
        )
    return Table(columns, rows)


def reviews_table(pairs: Sequence[Pair], reviews: Sequence[Review]) -> Table:
    """Some answers with the judge's ratings of them and of the reference answers.

    Args:
        pairs: questions with their answers.
        reviews: of the answers; none if there was no judge.
    """
    columns = ["question id", "image", "question", "reference", "answer", "rating", "reference's rating"]
    review_of = {review.id: review for review in reviews}
    rows = []
    for question, answer in some_pairs(pairs):
        review = review_of.get(question.id)
        found = (None, None) if review is None or not review.parsed else (review.candidate, review.reference)
        rows.append([question.id, question.image, question.text, question.reference, answer.text, *found])
    return Table(columns, rows)
