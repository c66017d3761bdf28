"""Exposure bias, measured: what follows the model's own written beginning against a truth-made one.

A written pair is cut after "Answer:"; what follows is the answer. Beginnings that the model wrote itself are compared
with beginnings made from the truth: the negative log-likelihood of the true answer (nats an answer), and how often
the sampled answer is right; on attributes that the training images show and on those that they hide.
"""

import copy
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from callbacks.protocols import is_round_run
from callbacks.replay import ReplayRounds
from data_modules.truth import Asked, Truth
from lightning_c3l.generation import Read
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.module import C3LModule
from lightning_c3l.prompts import load_templates
from lightning_c3l.scoring import score_pairs
from lightning_c3l.store import RunStore

BEGINNING = "Question: {question}\nAnswer:"


@dataclass(frozen=True)
class Continued:
    """A beginning and what followed: `nll` of the true answer, and whether the sampled one was right."""

    asked: Asked
    nll: float
    right: bool


class ExposureBias(Callback):
    """Measures the starting and the tuned model after training, where the truth is known.

    Args:
        measure: off leaves the measurement out.
        control: train a second time on the same stored groups without the contrastive term, and measure that too.
    """

    def __init__(self, measure: bool = True, control: bool = False) -> None:
        self.measure, self.control = measure, control

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All conditions into summary.json."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if not self.measure or not is_round_run(pl_module, data) or not isinstance(pl_module, C3LModule):
            return
        if data.truth is None or data.source("held_out") is None:
            return
        source, keys = data.source("held_out")
        tuned_name = f"tuned, lambda {pl_module.loss.contrastive_weight:g}"
        figures = {tuned_name: measure(pl_module, keys, source.read, data.truth)}
        with pl_module.lvlm.reference():
            figures = {"starting model": measure(pl_module, keys, source.read, data.truth), **figures}
        if self.control and pl_module.loss.contrastive_weight > 0 and trainer.world_size == 1:
            rank_zero_info("control: training again on the stored rounds with lambda 0")
            control = self._train_control(trainer, pl_module)
            figures["tuned, lambda 0"] = measure(control, keys, source.read, data.truth)
        RunStore(trainer.default_root_dir).update_summary(exposure_bias=figures)

    def _train_control(self, trainer: Trainer, module: C3LModule) -> C3LModule:
        """The same run on the same groups without the contrastive term."""
        control = C3LModule(
            module.lvlm.fresh(), module.writing, replace(module.loss, contrastive_weight=0.0), module.optimization
        )
        control.seed = module.seed
        rounds = len(RunStore(trainer.default_root_dir).rounds())
        Trainer(
            accelerator="cuda" if module.device.type == "cuda" else "cpu",
            devices=1,
            max_epochs=trainer.max_epochs,
            accumulate_grad_batches=trainer.accumulate_grad_batches,
            gradient_clip_val=trainer.gradient_clip_val,
            precision=trainer.precision,
            reload_dataloaders_every_n_epochs=1,
            default_root_dir=trainer.default_root_dir,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=[ReplayRounds(trainer.default_root_dir, max(1, (trainer.max_epochs or 1) // rounds))],
        ).fit(control, datamodule=copy.copy(trainer.datamodule))  # type: ignore[attr-defined]
        return control.to(module.device)


def measure(module: C3LModule, keys: Sequence[str], read: Read, truth: Truth) -> dict[str, float | None]:
    """Figures of one model; own beginnings without a true answer count as not right and have no likelihood."""
    kinds = {instruction.kind: instruction.text for instruction in load_templates(module.writing.templates)}
    written = module.write(keys, read, module.seed * 1009 + 104_729, "exposure: write")
    resolved = [truth.resolve(one.image, one.question) for one in written if not one.rejected]
    answerable = [
        replace(asked, kind=one.instruction.kind)
        for one, asked in zip([one for one in written if not one.rejected], resolved, strict=True)
        if asked is not None
    ]
    own = continue_all(module, answerable, kinds, read, truth)
    reference = continue_all(module, truth.questions(keys), kinds, read, truth)
    figures: dict[str, float | None] = {}
    for part, wanted in (("", (True, False, None)), ("seen ", (True,)), ("unseen ", (False,))):
        mine = [one for one in own if one.asked.seen in wanted]
        theirs = [one for one in reference if one.asked.seen in wanted]
        figures[f"{part}nll, own"] = _mean([one.nll for one in mine])
        figures[f"{part}nll, reference"] = _mean([one.nll for one in theirs])
        figures[f"{part}truth, own"] = _mean([float(one.right) for one in mine])
        figures[f"{part}truth, reference"] = _mean([float(one.right) for one in theirs])
    figures["truth, own"] = sum(one.right for one in own) / len(written) if written else None
    return figures


def continue_all(
    module: C3LModule, asked: Sequence[Asked], kinds: dict[str, str], read: Read, truth: Truth
) -> list[Continued]:
    """Likelihood and sampled continuation of each beginning."""
    out, size = list[Continued](), module.writing.batch_size
    drawing = replace(module.writing.sampling, samples=1)
    with module.outside_steps():
        for start in range(0, len(asked), size):
            out.extend(_continue(module, asked[start : start + size], kinds, read, truth, drawing))
    return out


def _continue(
    module: C3LModule, asked: Sequence[Asked], kinds: dict[str, str], read: Read, truth: Truth, drawing: Sampling
) -> list[Continued]:
    images = [read(one.image) for one in asked]
    prompts = [kinds[one.kind] for one in asked]
    begun = [BEGINNING.format(question=one.question) for one in asked]
    whole = [f"{beginning} {one.answer}" for beginning, one in zip(begun, asked, strict=True)]
    # log p(answer | beginning) = log p(beginning and answer) - log p(beginning)
    pairs = [[(p, b), (p, w)] for p, b, w in zip(prompts, begun, whole, strict=True)]
    tokens = score_pairs(module.lvlm, images, pairs)
    sums = (tokens.logp * tokens.mask).sum(dim=1).view(-1, 2)
    nll = (sums[:, 0] - sums[:, 1]).tolist()
    texts = module.lvlm.generate(images, prompts, drawing, module.seed, begun)
    return [
        Continued(one, loss, truth.judge(one.image, one.question, text[0].split("\n")[0]) == "right")
        for one, loss, text in zip(asked, nll, texts, strict=True)
    ]


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
