"""Exposure bias, measured: what follows the model's own written beginning against a truth-made one.

A written pair is cut after "Answer:"; what follows is the answer. Beginnings that the model wrote itself are compared
with beginnings made from the truth: the negative log-likelihood of the true answer (nats an answer), and how often
the sampled answer is right; on attributes that the training images show and on those that they hide.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from callbacks.control_training import can_train_control, train_control
from callbacks.measuring import measured_once, origin, share_out
from lightning_c3l.lvlm.base import GenerationRequest
from lightning_c3l.modules.c3l import C3LModule
from lightning_c3l.rounds.generation import Read
from lightning_c3l.rounds.protocols import is_round_run
from lightning_c3l.rounds.scoring import score_pairs
from lightning_c3l.rounds.store import DamagedRound, RunStore
from lightning_c3l.rounds.templates import load_templates
from lightning_c3l.rounds.truth import Asked, Truth

BEGINNING = "Question: {question}\nAnswer:"
# part of summary.json
_PART = "exposure_bias"


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
        """All conditions into summary.json; what an earlier start of this run measured there is not measured again."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if not self.measure or not is_round_run(pl_module, data) or not isinstance(pl_module, C3LModule):
            return
        if data.truth is None or data.source("held_out") is None:
            return
        source, keys = data.source("held_out")
        store, weight = RunStore(trainer.default_root_dir), pl_module.loss.contrastive_weight
        tuned, made_with = f"tuned, lambda {weight:g}", origin(pl_module, keys, weight, trainer.global_step)

        def figures_of(module: C3LModule) -> dict[str, float | None]:
            return measure(module, keys, source.read, data.truth)

        def starting() -> dict[str, float | None]:
            with pl_module.lvlm.reference():
                return figures_of(pl_module)

        measured_once(store, _PART, "starting model", made_with, starting)
        measured_once(store, _PART, tuned, made_with, lambda: figures_of(pl_module))
        if self._has_control(trainer, weight):
            try:
                measured_once(
                    store,
                    _PART,
                    "tuned, lambda 0",
                    made_with,
                    lambda: figures_of(self._train_control(trainer, pl_module)),
                )
            except DamagedRound as error:
                rank_zero_warn(f"control: left out, since it would train on all rounds: {error}")

    def _has_control(self, trainer: Trainer, contrastive_weight: float) -> bool:
        if not self.control or contrastive_weight == 0 or trainer.global_step == 0:
            return False
        if not can_train_control(trainer):
            name = type(trainer.strategy).__name__
            rank_zero_info(f"control: left out, since {name} does not leave the whole model in each process")
            return False
        return True

    def _train_control(self, trainer: Trainer, module: C3LModule) -> C3LModule:
        rank_zero_info("control: training again on the stored rounds with lambda 0")
        return train_control(trainer, module)


def measure(module: C3LModule, keys: Sequence[str], read: Read, truth: Truth) -> dict[str, float | None]:
    """Figures of one model; own beginnings without a true answer count as not right and have no likelihood."""
    kinds = {instruction.kind: instruction.text for instruction in load_templates(module.writing.templates)}
    seed = module.seed * 1009 + 104_729
    with module.outside_steps():
        written = share_out(keys, lambda own, first: module.write(own, read, seed, "exposure: write", first))
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
    """Likelihood and sampled continuation of each beginning, shared out over the processes."""

    def work(own: Sequence[Asked], first: int) -> list[Continued]:
        out, size = list[Continued](), module.writing.batch_size
        for start in range(0, len(own), size):
            seeds = [module.seed + first + number for number in range(start, len(own))]
            out.extend(_continue(module, own[start : start + size], kinds, read, truth, seeds[:size]))
        return out

    with module.outside_steps():
        return share_out(asked, work)


def _continue(
    module: C3LModule,
    asked: Sequence[Asked],
    kinds: dict[str, str],
    read: Read,
    truth: Truth,
    seeds: Sequence[int],
) -> list[Continued]:
    images = [read(one.image) for one in asked]
    prompts = [kinds[one.kind] for one in asked]
    begun = [BEGINNING.format(question=one.question) for one in asked]
    whole = [f"{beginning} {one.answer}" for beginning, one in zip(begun, asked, strict=True)]
    # log p(answer | beginning) = log p(beginning and answer) - log p(beginning)
    pairs = [[(p, b), (p, w)] for p, b, w in zip(prompts, begun, whole, strict=True)]
    tokens = score_pairs(module.lvlm, images, pairs)
    # a small difference of large sums
    sums = (tokens.logp * tokens.mask).double().sum(dim=1).view(-1, 2)
    nll = (sums[:, 0] - sums[:, 1]).tolist()
    requests = [GenerationRequest(*one) for one in zip(prompts, images, seeds, begun, strict=True)]
    texts = module.lvlm.generate(requests, replace(module.writing.sampling, samples=1))
    return [
        Continued(one, loss, truth.judge(one.image, one.question, text[0].split("\n")[0]) == "right")
        for one, loss, text in zip(asked, nll, texts, strict=True)
    ]


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
