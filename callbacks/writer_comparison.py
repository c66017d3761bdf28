"""The starting and the tuned writer on the same held-out images, and their plain question answering."""

from collections.abc import Sequence
from typing import Any

from lightning import Callback, LightningModule, Trainer

from callbacks.measuring import measured_once, origin, share_out
from callbacks.round_images import require_measured
from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.rounds.figures import judged, truth_rate, writer_figures
from lightning_c3l.rounds.generation import Read
from lightning_c3l.rounds.protocols import is_round_run
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.rounds.truth import Asked


class WriterComparison(Callback):
    """Measures the writer before the first round and after the last epoch, with the same seed.

    The processes share the images and the questions; the figures do not depend on how many there are.

    Args:
        answer_tokens: longest answer in question answering, in tokens.
    """

    def __init__(self, answer_tokens: int = 16) -> None:
        self.answer_tokens = answer_tokens
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
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if not is_round_run(pl_module, data):
            return
        if self._base is None:
            self._base = self._measured(trainer, pl_module, "base")
        elif data.source("held_out") is not None:
            if not self._base:
                raise ValueError(
                    "data.held_out: the starting writer was not measured when the run began; leave it out with "
                    "--data.held_out null"
                )
            if self._images:
                require_measured(self._images, data, "--data.held_out null")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The tuned model."""
        if is_round_run(pl_module, trainer.datamodule):  # type: ignore[attr-defined]
            tuned = self._measured(trainer, pl_module, "tuned")
            store, both = RunStore(trainer.default_root_dir), {"base": self._base, "tuned": tuned}
            # the first one once more, for a run that goes on in another folder
            collectives.by_first(lambda: store.update_summary(writers=both))

    def _measured(self, trainer: Trainer, module: Any, name: str) -> dict[str, Any]:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if data.source("held_out") is None:
            return {}
        if not self._images:
            self._images = {"source": "held_out", "digests": data.digests("held_out")}
        keys = list(self._images["digests"])
        asked = data.truth.questions(keys) if data.truth is not None else []
        made_with = origin(module, keys, [[one.image, one.question] for one in asked], self.answer_tokens)

        def measure() -> dict[str, Any]:
            return self._measure(module, data, asked, {"base": "starting writer"}.get(name, "tuned writer"))

        return measured_once(RunStore(trainer.default_root_dir), "writers", name, made_with, measure)

    def _measure(self, module: Any, data: Any, asked: Sequence[Asked], progress: str) -> dict[str, Any]:
        source, keys = data.source("held_out")[0], list(self._images["digests"])
        seed = module.seed * 1009 + 7919
        # around all of it, so that a process without images comes here too
        with module.outside_steps():
            candidates = share_out(keys, lambda own, first: module.write(own, source.read, seed, progress, first))
            figures = writer_figures(candidates)
            if data.truth is None:
                return figures
            accuracy = self.accuracy(module, asked, source.read, data.truth)
        scored = judged([ScoredCandidate(one) for one in candidates], data.truth.judge)
        return {"truth_rate": truth_rate(scored), "qa_accuracy": accuracy, **figures, "questions": len(asked)}

    def accuracy(self, module: Any, asked: Sequence[Asked], read: Read, truth: Any) -> float:
        """Share of questions whose likeliest answer is judged right."""
        size, greedy = module.writing.batch_size, Sampling(1, self.answer_tokens, 0.0)

        def answer(own: Sequence[Asked], first: int) -> list[bool]:
            right = list[bool]()
            for start in range(0, len(own), size):
                batch = own[start : start + size]
                written = module.answers([one.image for one in batch], [one.question for one in batch], read, greedy)
                right += [
                    truth.judge(one.image, one.question, answer) == "right"
                    for one, answer in zip(batch, written, strict=True)
                ]
            return right

        right = share_out(asked, answer)
        return sum(right) / len(right) if right else 0.0
