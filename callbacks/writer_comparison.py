"""Compares the starting and the tuned model: candidates about held-out images, and plain question answering."""

from collections.abc import Sequence
from typing import Any

from lightning import Callback, LightningModule, Trainer

from callbacks.measuring import measured_once, origin, share_out
from callbacks.order import Order
from callbacks.round_images import require_measured
from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.progress import stage
from lightning_c3l.rounds.engine import RoundEngine
from lightning_c3l.rounds.figures import (
    judged,
    mean,
    mean_by_image,
    statement_shares,
    truth_by_image,
    truth_rate,
    writer_figures,
)
from lightning_c3l.rounds.generation import ImageChunk, Read
from lightning_c3l.rounds.run import RoundRun
from lightning_c3l.rounds.truth import Asked, Truth, statement_share


class WriterComparison(Callback):
    """Measures the model before the first round and after the last epoch, with the same seed.

    The ranks share the images and the questions; the figures do not depend on the number of ranks.

    Args:
        answer_tokens: maximum length of an answer in plain question answering, in tokens.
    """

    order = Order.COMPARISON

    def __init__(self, answer_tokens: int = 16) -> None:
        self.answer_tokens = answer_tokens
        self._run: RoundRun | None = None
        self._base: dict[str, Any] | None = None
        # source and digests of the images that the starting writer was measured on
        self._images: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """Figures of the starting model, which a resumed run no longer has at hand."""
        return {"base": self._base, "images": self._images}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self._base, self._images = state_dict["base"], state_dict.get("images", {})

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The starting model; on resume, the images that it was measured on must be there.

        Raises:
            ValueError: they are not, or it was not measured.
        """
        self._run = run = RoundRun.of(trainer, pl_module)
        if run is None:
            return
        if self._base is None:
            self._base = self._measured(run, "base")
        elif run.data.source("held_out") is not None:
            if not self._base:
                raise ValueError(
                    "data.held_out: the starting writer was not measured when the run began; leave it out with "
                    "--data.held_out null"
                )
            if self._images:
                require_measured(self._images, run.data, "--data.held_out null")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the tuned model."""
        if (run := self._run) is not None:
            # the starting model once more, for a run that is resumed in another folder
            both = {"base": self._base, "tuned": self._measured(run, "tuned")}
            collectives.on_rank_zero(lambda: self._tell(run, both))

    def _tell(self, run: RoundRun, both: dict[str, Any]) -> None:
        run.store.update_summary(writers=both)
        run.store.note_images("held_out", self._images.get("digests", {}))

    def _measured(self, run: RoundRun, name: str) -> dict[str, Any]:
        """Figures of the model as it is now; those in summary.json if it was measured before."""
        if run.data.source("held_out") is None:
            return {}
        if not self._images:
            self._images = {"source": "held_out", "digests": run.data.digests("held_out")}
        keys = list(self._images["digests"])
        asked = run.data.truth.questions(keys) if run.data.truth is not None else []
        questions = [[one.image, one.question] for one in asked]
        made_with = origin(run.engine, keys, questions, self.answer_tokens)
        progress = "starting writer" if name == "base" else "tuned writer"
        return measured_once(run.store, "writers", name, made_with, lambda: self._measure(run, keys, asked, progress))

    def _measure(self, run: RoundRun, keys: Sequence[str], asked: Sequence[Asked], progress: str) -> dict[str, Any]:
        read, seed = run.source("held_out")[0].read, run.engine.seed * 1009 + 7919
        # around all of it, so that a rank without images enters it too
        with run.engine.generating():
            candidates = share_out(
                keys, lambda own, start: run.engine.generate(ImageChunk(own, read, start), seed, progress)
            )
            figures = writer_figures(candidates)
            if run.data.truth is None:
                return figures
            accuracy = self.accuracy(run.engine, asked, read, run.data.truth)
        scored = list(judged((ScoredCandidate(one) for one in candidates), run.data.truth.judge))
        shares = statement_shares(candidates, run.data.truth)
        rates = {
            "truth_rate": truth_rate(scored),
            "statement_truth": mean(shares),
            "qa_accuracy": accuracy,
            "by_image": truth_by_image(scored),
            "statements_by_image": mean_by_image(candidates, shares),
        }
        return {**rates, **figures, "questions": len(asked)}

    def accuracy(self, engine: RoundEngine, asked: Sequence[Asked], read: Read, truth: Truth) -> float:
        """Share of right statements in the greedy answers, mean over the questions; every rank must call it.

        Args:
            engine: answers them, inside `generating()`.
            asked: questions with their true answers.
            read: returns the image of a key.
            truth: judges the answers.
        """
        size, greedy = engine.requests_at_once, Sampling(1, self.answer_tokens, 0.0)

        def answer(own: Sequence[Asked], first: int) -> list[float]:
            right = list[float]()
            with stage("answer held-out questions", "questions", len(own)) as progress:
                for start in range(0, len(own), size):
                    batch = own[start : start + size]
                    texts = engine.answers([one.image for one in batch], [one.question for one in batch], read, greedy)
                    right += [
                        statement_share(truth, one.image, one.question, text)
                        for one, text in zip(batch, texts, strict=True)
                    ]
                    progress.update(len(batch))
            return right

        right = share_out(asked, answer)
        return sum(right) / len(right) if right else 0.0
