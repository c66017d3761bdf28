"""Exposure bias: what follows the model's own prefix compared with what follows a prefix made from the truth.

A candidate is cut after "Answer:"; what follows is the answer. Prefixes that the model generated itself are compared
with prefixes made from the truth: the negative log-likelihood of the true answer (nats an answer), and how often
the sampled answer is right; on attributes that the training images show and on those that they hide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from callbacks.control_training import can_train_control, train_control
from callbacks.i2c_reweighting import I2CReweighting
from callbacks.measuring import measured_once, origin, share_out
from callbacks.order import Order
from lightning_c3l.lvlm.base import GenerationRequest
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.report.progress import stage
from lightning_c3l.rounds.engine import RoundEngine
from lightning_c3l.rounds.figures import mean
from lightning_c3l.rounds.generation import ImageChunk, Read
from lightning_c3l.rounds.run import RoundRun, engine_of
from lightning_c3l.rounds.scoring import score_pairs
from lightning_c3l.rounds.store import DamagedRound
from lightning_c3l.rounds.templates import load_templates
from lightning_c3l.rounds.truth import Asked, Truth, statement_share

BEGINNING = "Question: {question}\nAnswer:"
# part of summary.json
_PART = "exposure_bias"


@dataclass(frozen=True)
class Continued:
    """A prefix and what followed: `nll` of the true answer, and the share of right statements of the sampled one."""

    asked: Asked
    nll: float
    right: float


class ExposureBias(Callback):
    """Measures the starting and the tuned model after training, if the truth is known.

    Args:
        measure: whether to measure exposure bias.
        control: whether to train a second time on the same groups without the contrastive term, and measure that too.
    """

    order = Order.EXPOSURE

    def __init__(self, measure: bool = True, control: bool = False) -> None:
        self.measure, self.control = measure, control

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write all conditions to summary.json, except those that an earlier start of this run has measured."""
        run = RoundRun.of(trainer, pl_module) if self.measure else None
        if run is None or not isinstance(pl_module, C3LModule):
            return
        if (truth := run.data.truth) is None or run.data.source("held_out") is None:
            return
        source, keys = run.source("held_out")
        images, weight = ImageChunk(keys, source.read), pl_module.loss.contrastive_weight
        tuned, made_with = f"tuned, lambda {weight:g}", origin(run.engine, keys, weight, trainer.global_step)

        def starting() -> dict[str, float | None]:
            with pl_module.lvlm.reference():
                return measure(run.engine, images, truth)

        def control() -> dict[str, float | None]:
            rank_zero_info("control: training again on the stored rounds with lambda 0")
            return measure(engine_of(train_control(trainer, pl_module)), images, truth)

        measured_once(run.store, _PART, "starting model", made_with, starting)
        measured_once(run.store, _PART, tuned, made_with, lambda: measure(run.engine, images, truth))
        if self._has_control(trainer, pl_module.loss):
            try:
                measured_once(run.store, _PART, "tuned, lambda 0", made_with, control)
            except DamagedRound as error:
                rank_zero_warn(f"control: left out, since it would train on all rounds: {error}")

    def _has_control(self, trainer: Trainer, loss: LossConfig) -> bool:
        if not self.control or not loss.contrasts or trainer.global_step == 0:
            return False
        if loss.nll_weight == 0:
            rank_zero_info("control: left out, since the loss has no other term than the contrastive one")
            return False
        if (rounds := I2CReweighting.of(trainer)) is not None and rounds.restart_adapter:
            rank_zero_info("control: left out, since it cannot begin each round from the start (i2c.restart_adapter)")
            return False
        if not can_train_control(trainer):
            name = type(trainer.strategy).__name__
            rank_zero_info(f"control: left out, since {name} does not leave the whole model in each process")
            return False
        return True


def measure(engine: RoundEngine, images: ImageChunk, truth: Truth) -> dict[str, float | None]:
    """Figures of one model; every rank must call it.

    Own prefixes without a true answer count as not right and have no likelihood.

    Args:
        engine: with the model.
        images: held-out images.
        truth: of their world.
    """
    kinds = {instruction.kind: instruction.text for instruction in load_templates(engine.config.templates)}
    seed, read = engine.seed * 1009 + 104_729, images.read
    with engine.generating():
        written = share_out(
            images.keys,
            lambda own, start: engine.generate(ImageChunk(own, read, start), seed, "exposure: generate"),
        )
    resolved = [(one, truth.resolve(one.image, one.question)) for one in written if not one.rejected]
    answerable = [replace(asked, kind=one.instruction.kind) for one, asked in resolved if asked is not None]
    own = continue_all(engine, answerable, kinds, read, truth)
    reference = continue_all(engine, truth.questions(images.keys), kinds, read, truth)
    figures: dict[str, float | None] = {}
    for part, wanted in (("", (True, False, None)), ("seen ", (True,)), ("unseen ", (False,))):
        mine = [one for one in own if one.asked.seen in wanted]
        theirs = [one for one in reference if one.asked.seen in wanted]
        figures[f"{part}nll, own"] = mean([one.nll for one in mine])
        figures[f"{part}nll, reference"] = mean([one.nll for one in theirs])
        figures[f"{part}truth, own"] = mean([one.right for one in mine])
        figures[f"{part}truth, reference"] = mean([one.right for one in theirs])
    figures["truth, own"] = sum(one.right for one in own) / len(written) if written else None
    return figures


def continue_all(
    engine: RoundEngine, asked: Sequence[Asked], kinds: dict[str, str], read: Read, truth: Truth
) -> list[Continued]:
    """Likelihood and sampled continuation of each prefix, shared among the ranks.

    Args:
        engine: with the model.
        asked: questions with their true answers.
        kinds: instruction of each kind.
        read: returns the image of a key.
        truth: judges the continuations.
    """

    def generate(own: Sequence[Asked], first: int) -> list[str]:
        return sample_answers(engine, own, kinds, read, engine.seed + first, "exposure: continue")

    def score(own: Sequence[Asked], _: int) -> list[float]:
        out, size = list[float](), engine.config.batch_size
        with stage("exposure: score", "prefixes", len(own)) as progress:
            for start in range(0, len(own), size):
                out.extend(_answer_nll(engine, own[start : start + size], kinds, read))
                progress.update(min(size, len(own) - start))
        return out

    with engine.generating():
        texts = share_out(asked, generate)
    with engine.inference():
        losses = share_out(asked, score)
    return [
        Continued(one, nll, statement_share(truth, one.image, one.question, text))
        for one, nll, text in zip(asked, losses, texts, strict=True)
    ]


def sample_answers(
    engine: RoundEngine, asked: Sequence[Asked], kinds: Mapping[str, str], read: Read, seed: int, title: str
) -> list[str]:
    """A sampled answer behind the prefix of each question; inside `generating()`.

    Args:
        engine: with the model.
        asked: questions.
        kinds: instruction of each kind.
        read: returns the image of a key.
        seed: of the first answer; the others have the seeds behind it.
        title: of the progress that is shown.
    """
    out, size, sampling = list[str](), engine.requests_at_once, replace(engine.config.sampling, samples=1)
    with stage(title, "prefixes", len(asked)) as progress:
        for start in range(0, len(asked), size):
            batch = asked[start : start + size]
            requests = [
                GenerationRequest(kinds[one.kind], read(one.image), seed + number, _prefix(one))
                for number, one in enumerate(batch, start)
            ]
            out.extend(text.split("\n")[0] for (text,) in engine.generator.generate(requests, sampling))
            progress.update(len(batch))
    return out


def _prefix(asked: Asked) -> str:
    return BEGINNING.format(question=asked.question)


def _answer_nll(engine: RoundEngine, asked: Sequence[Asked], kinds: dict[str, str], read: Read) -> list[float]:
    """Negative log-likelihood of each true answer behind its prefix, in nats."""
    # log p(answer | prefix) = log p(prefix and answer) - log p(prefix)
    pairs = [[(kinds[one.kind], _prefix(one)), (kinds[one.kind], f"{_prefix(one)} {one.answer}")] for one in asked]
    tokens = score_pairs(engine.lvlm, [read(one.image) for one in asked], pairs)
    # a small difference of large sums
    sums = (tokens.logp_image * tokens.mask).double().sum(dim=1).view(-1, 2)
    return (sums[:, 0] - sums[:, 1]).tolist()
