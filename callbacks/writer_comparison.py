"""The starting and the tuned writer on the same held-out images, and their plain question answering."""

from collections.abc import Sequence
from typing import Any

from lightning import Callback, LightningModule, Trainer

from callbacks.protocols import is_round_run
from data_modules.truth import Asked
from lightning_c3l.generation import Read
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.metrics.rounds import judged, truth_rate, writer_figures
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.store import RunStore


class WriterComparison(Callback):
    """Measures the writer before the first round and after the last epoch, with the same seed.

    Args:
        answer_tokens: longest answer in question answering, in tokens.
    """

    def __init__(self, answer_tokens: int = 16) -> None:
        self.answer_tokens = answer_tokens
        self._base: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Figures of the starting model, which a resumed run no longer has at hand."""
        return {"base": self._base}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self._base = state_dict["base"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The starting model."""
        if self._base is None and is_round_run(pl_module, trainer.datamodule):  # type: ignore[attr-defined]
            self._base = self._measure(trainer, pl_module, "starting writer")
            RunStore(trainer.default_root_dir).update_summary(writers={"base": self._base})

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The tuned model."""
        if is_round_run(pl_module, trainer.datamodule):  # type: ignore[attr-defined]
            tuned = self._measure(trainer, pl_module, "tuned writer")
            RunStore(trainer.default_root_dir).update_summary(writers={"base": self._base, "tuned": tuned})

    def _measure(self, trainer: Trainer, module: Any, name: str) -> dict[str, Any]:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        held_out = data.source("held_out")
        if held_out is None:
            return {}
        source, keys = held_out
        candidates = module.write(keys, source.read, module.seed * 1009 + 7919, name)
        figures = writer_figures(candidates)
        if data.truth is None:
            return figures
        scored = judged([ScoredCandidate(one) for one in candidates], data.truth.judge)
        asked = data.truth.questions(keys)
        return {
            "truth_rate": truth_rate(scored),
            "qa_accuracy": self.accuracy(module, asked, source.read, data.truth),
            **figures,
            "questions": len(asked),
        }

    def accuracy(self, module: Any, asked: Sequence[Asked], read: Read, truth: Any) -> float:
        """Share of questions whose likeliest answer is judged right."""
        size, right = module.writing.batch_size, 0
        greedy = Sampling(1, self.answer_tokens, 0.0)
        for start in range(0, len(asked), size):
            batch = asked[start : start + size]
            written = module.answers([one.image for one in batch], [one.question for one in batch], read, greedy)
            right += sum(
                truth.judge(one.image, one.question, answer) == "right"
                for one, answer in zip(batch, written, strict=True)
            )
        return right / len(asked) if asked else 0.0
