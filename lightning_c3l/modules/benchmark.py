"""`EvaluationModule`: an LVLM's answers to a benchmark's questions, on any number of ranks and resumable."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from lightning_c3l.distributed import collectives
from lightning_c3l.evaluation.benchmarks.base import Answer, Question
from lightning_c3l.evaluation.benchmarks.evaluation import Evaluation
from lightning_c3l.evaluation.judging.base import Judge, Review
from lightning_c3l.evaluation.predict import PredictionConfig, answer_from_row, predict_chunk
from lightning_c3l.evaluation.results import BenchmarkData, BenchmarkResults
from lightning_c3l.lvlm.base import InferenceLVLM
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.external import ExternalGenerator, ServableLVLM
from lightning_c3l.lvlm.samples import QuestionChunk
from lightning_c3l.modules.base import TrainedWeightsModule
from lightning_c3l.rounds.tasks import digest
from lightning_c3l.runs.digests import trained_digest
from lightning_c3l.runs.row_files import Row
from lightning_c3l.runs.row_jobs import RowJob

# folder in the run folder: rows as they are made
PARTS = "answers.parts"
# prefix of weights that only training needs
_FOR_TRAINING = "contrastive."


class EvaluationModule(TrainedWeightsModule):
    """Answers a benchmark's questions in `test`, and scores the answers.

    Args:
        lvlm: the LVLM. With `--ckpt_path` of a run, it needs the adapter options of that run.
        batch_size: questions at the same time; halved if memory runs out.
        max_new_tokens: longest answer, in tokens.
        text: whether to generate an answer, greedily.
        losses: whether to compute the mean negative log-likelihood of each option, which `rank` of SEED-Bench needs.
        judge: judge that compares the answers with reference answers, if the benchmark has them.
        generator: generates the answers with the LVLM's weights, such as `ServedGenerator` on inference servers; null
            leaves it to the LVLM.

    Attributes:
        results: all answers; None before they are there.
        reviews: the judge's, if any.
        evaluation: their figures, in rank zero; None if nothing can be scored.

    Raises:
        ValueError: `batch_size` or `max_new_tokens` below 1, or neither `text` nor `losses`.
    """

    # `Trainer` sets nothing of a test by chance; the command line sets it in every module
    seed = 0

    lvlm: InferenceLVLM

    def __init__(
        self,
        lvlm: InferenceLVLM,
        batch_size: int = 8,
        max_new_tokens: int = 64,
        text: bool = True,
        losses: bool = False,
        judge: Judge | None = None,
        generator: ExternalGenerator | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.lvlm, self.judge, self.generator = lvlm, judge, generator
        self._generating = ExitStack()
        # as the modules that train call it, so that their checkpoints fit
        self.network = lvlm.network
        self.config = PredictionConfig(max_new_tokens, text, losses)
        self.batch_size = BatchSize(batch_size, "batch_size")
        self.results: BenchmarkResults | None = None
        self.reviews: list[Review] = []
        self.evaluation: Evaluation | None = None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that all weights that were trained come back; what only training needs is left out.

        Raises:
            ValueError: naming the first weight that does not fit.
        """
        if "state_dict" in checkpoint:
            weights = checkpoint["state_dict"]
            stored = {name: value for name, value in weights.items() if not name.startswith(_FOR_TRAINING)}
            if not stored:
                raise ValueError("ckpt_path: the checkpoint holds no weight of an LVLM")
            checkpoint["state_dict"] = stored
            if all(parameter.requires_grad for parameter in self.network.parameters()):
                # no adapter: weights that a run kept frozen are not in its file and stay those of the LVLM's checkpoint
                for name, parameter in self.named_parameters():
                    parameter.requires_grad_(name in stored)
        super().on_load_checkpoint(checkpoint)

    def setup(self, stage: str) -> None:
        """Hand the datamodule the row job: it begins where its loader is built, after the weights have been loaded."""
        data: BenchmarkData = self.trainer.datamodule  # type: ignore[attr-defined]
        folder = Path(self.trainer.default_root_dir) / PARTS
        self.job = data.job = RowJob(folder, lambda: self._made_with(data), restart="another --run.version")

    def on_test_start(self) -> None:
        """Train nothing, so that image features can be cached, and hand the weights to the generator."""
        self.network.requires_grad_(False)
        if self.generator is not None and self.config.text:
            self._generating.enter_context(self.inference_context())
            self._generating.enter_context(self.generator.serving(cast(ServableLVLM, self.lvlm)))

    def _made_with(self, data: BenchmarkData) -> dict[str, Any]:
        generated_by = {} if self.generator is None else self.generator.identity()
        return {
            **generated_by,
            "benchmark": data.benchmark.name,
            "questions": data.questions.digest,
            "count": len(data.selected),
            "blind": data.blind,
            "prompts": digest([data.prompt(question) for question in data.selected]),
            "model": self.lvlm.fingerprint,
            "dtype": str(self.lvlm.dtype),
            "precision": str(self.trainer.precision),
            # without a checkpoint they are those of the model
            "weights": trained_digest(self) if self.trainer.ckpt_path else None,
            "chat_template": digest([self.lvlm.chat_template]),
            "max_new_tokens": self.config.max_new_tokens,
            "text": self.config.text,
            "losses": self.config.losses,
        }

    def test_step(self, chunk: QuestionChunk, batch_idx: int) -> None:
        """Answer a chunk and store its rows at once."""
        self.job.append(predict_chunk(self.lvlm, chunk, self.config, self.batch_size, self.generator))
        self.job.sync()

    def on_test_epoch_end(self) -> None:
        """Collect all answers, have them judged, and score them."""
        self._generating.close()
        self.job.finish()
        data: BenchmarkData = self.trainer.datamodule  # type: ignore[attr-defined]
        folder = Path(self.trainer.default_root_dir)
        trained = self.trainer.ckpt_path
        model = f"{self.lvlm.name} + {trained}" if trained else self.lvlm.name
        results = BenchmarkResults(data, self._answers(data.selected), model, folder)

        def write() -> list[Review]:
            results.write()
            return results.review(self.judge)

        self.results, self.reviews = results, collectives.on_rank_zero(write)
        figures = {name: metric.to(self.device).compute() for name, metric in results.headlines(self.reviews)}
        # equal on all ranks
        self.log_dict(figures, sync_dist=True)

        def report() -> None:
            self.evaluation = results.report(self.reviews, {name: float(value) for name, value in figures.items()})

        collectives.on_rank_zero(report)

    def _answers(self, questions: Sequence[Question]) -> list[Answer]:
        """The answer to each question, from the rows of all ranks.

        Raises:
            ValueError: if questions were not asked.
            OSError: if rows of another rank are not visible.
        """
        rows = dict[int, Row]()

        def is_complete() -> bool:
            rows.update((int(row["record"]), row) for row in self.job.files.unordered())
            return len(rows) >= len(questions)

        self.job.wait_until(is_complete)
        if len(rows) < len(questions):
            raise ValueError(
                f"{len(questions) - len(rows)} of {len(questions)} questions were not asked: leave "
                "trainer.limit_test_batches and fast_dev_run out, and set data.init_args.limit"
            )
        return [answer_from_row(question.id, rows[number]) for number, question in enumerate(questions, start=1)]
