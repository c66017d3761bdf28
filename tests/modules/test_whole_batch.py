"""The gradient of an optimizer step, however it is cut, against autograd on plain forwards of all records at once."""

import os
from collections.abc import Sequence
from functools import cache
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from data_modules.loading.resumable import ResumableDataModule, ResumableLoader
from lightning_c3l.distributed.fsdp_strategy import FullyShardedStrategy
from lightning_c3l.lvlm.samples import GroupSample, TuningSample
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.modules.instruction_tuning import InstructionTuningModule
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.records import Conversation, Turn
from tests.helpers.ranks import run_ranks
from tests.helpers.tiny import load_tiny, pictures, plain

ANSWERS = ("red", "top left of the picture, beside the blue ring", "two", "there are three of them, all of them small")
WEIGHTS = (0.5, 3.0, 1.0, 0.25)


class Cut(NamedTuple):
    """How an epoch of one optimizer step is cut."""

    total: int
    size: int
    accumulate: int


LOSSES: dict[str, dict[str, Any]] = {
    "rounds": {"form": "representation", "contrastive_weight": 0.3, "temperature": 0.2, "token_weights": "none"},
    # these run the starting model in each step; some batches have no negative
    "dpo": {"form": "dpo", "pooling": "visual", "contrastive_weight": 0.3},
    "parting": {"pooling": "parting", "token_weights": "visual", "reference_kl": 0.5},
}
# small, so that one step leaves the weights in which both gradients are taken as good as unchanged
OPTIMIZATION = OptimizerConfig(learning_rate=1e-12)


def records(count: int) -> list[TuningSample]:
    """Records of very unlike lengths and weights."""
    made = list[TuningSample]()
    for number, image in enumerate(pictures(count)):
        turns = Turn("user", "What is it?"), Turn("assistant", ANSWERS[number % 4])
        made.append((Conversation(str(number), None, turns, weight=WEIGHTS[number * 3 % 4]), image))
    return made


def groups(count: int) -> list[GroupSample]:
    """Groups of one to three candidates."""
    texts = tuple(f"Question: {answer}?\nAnswer: {answer}" for answer in ANSWERS)
    return [
        GroupSample(
            image=image,
            instruction="Write a question.",
            texts=tuple(islice(cycle(texts), number, number + 1 + number % 3)),
            question="What is it?",
            answer=ANSWERS[number % 4],
            weight=WEIGHTS[number * 3 % 4],
        )
        for number, image in enumerate(pictures(count))
    ]


def tuning_objective(module: InstructionTuningModule, samples: Sequence[TuningSample]) -> Tensor:
    """Every target token times its record's weight, divided by the number of tokens."""
    sums, count = list[Tensor](), 0
    for conversation, image in samples:
        logp = plain(module.lvlm, "What is it?", conversation.turns[1].text, cast(Any, image)).logp(closed=True)
        sums.append(-conversation.weight * logp.sum())
        count += len(logp)
    return torch.stack(sums).sum() / count


def rounds_objective(module: C3LModule, samples: Sequence[GroupSample]) -> Tensor:
    """Mean over groups of w (write / 2 + answer / 2) + 0.3 L_con at temperature 0.2."""
    head = module.contrastive.projection

    def represent(hidden: Tensor) -> Tensor:
        z = torch.relu(hidden @ head.weight.T + head.bias).mean(0)
        return z / z.norm()

    losses = list[Tensor]()
    for sample in samples:
        rows = [plain(module.lvlm, sample.instruction, text, sample.image) for text in sample.texts]
        answer = plain(module.lvlm, sample.question, sample.answer, sample.image)
        anchor = represent(rows[0].hidden[: rows[0].start])
        cosines = torch.stack([anchor @ represent(row.hidden[row.start : row.end]) for row in rows]) / 0.2
        nll = -0.5 * rows[0].logp(closed=True).mean() - 0.5 * answer.logp(closed=True).mean()
        losses.append(sample.weight * nll - 0.3 * cosines.log_softmax(0)[0])
    return torch.stack(losses).mean()


def build(kind: str, checkpoint: Path) -> Any:
    torch.manual_seed(3)
    lvlm = load_tiny(checkpoint)
    with torch.no_grad():
        for name, parameter in lvlm.network.named_parameters():
            if parameter.ndim > 1 and "lora_" not in name:
                # the tiny LLaVA's weights are so large that the rounding of float32 moves its gradient by 1e-4
                parameter.mul_(0.3)
    if kind == "tuning":
        return InstructionTuningModule(lvlm, OPTIMIZATION)
    return C3LModule(lvlm, loss=LossConfig(**LOSSES[kind]), optimization=OPTIMIZATION)


@cache
def expected(kind: str, checkpoint: Path, count: int) -> Tensor:
    """Gradient of the whole batch."""
    module = build(kind, checkpoint)
    if kind == "tuning":
        loss = tuning_objective(module, records(count))
    elif kind == "rounds":
        loss = rounds_objective(module, groups(count))
    else:  # tests/modules/test_contrast.py holds it to plain forwards
        loss = module.training_step(module.encode(groups(count)), 0)
    loss.backward()  # type: ignore[no-untyped-call]
    return flat(module)


def flat(module: LightningModule) -> Tensor:
    """The gradient as one vector."""
    found = [parameter.grad for parameter in module.parameters() if parameter.requires_grad]
    return torch.cat([getattr(one, "full_tensor", lambda one=one: one)().flatten() for one in found if one is not None])


class Samples(ResumableDataModule):
    """Samples in their order, in batches of the project's own loader."""

    def __init__(self, samples: Any, size: int) -> None:
        super().__init__(size)
        self.samples = samples

    def train_dataloader(self) -> ResumableLoader:
        order = list(range(len(self.samples)))
        return self.resumable_loader(self.samples, lambda _: order, self.collate())


class Gradients(Callback):
    """The gradient as callbacks see it before each step, and as it is after the last one: clipped."""

    def __init__(self) -> None:
        self.before = list[Tensor]()
        self.used = torch.empty(0)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        self.before.append(flat(pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.used = flat(pl_module)


def run(kind: str, checkpoint: Path, cut: Cut, **options: Any) -> Gradients:
    """One epoch of so many records or groups."""
    found = Gradients()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        accumulate_grad_batches=cut.accumulate,
        callbacks=[found],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    samples = records(cut.total) if kind == "tuning" else groups(cut.total)
    trainer.fit(build(kind, checkpoint), datamodule=Samples(samples, cut.size))
    return found


def differ(one: Tensor, other: Tensor) -> float:
    """Relative difference."""
    return float((one - other).norm() / other.norm())


@pytest.mark.filterwarnings("ignore:trainer.accumulate_grad_batches")
@pytest.mark.parametrize("kind", ["tuning", "rounds"])
def test_a_step_is_that_of_its_whole_batch(kind: str, tiny_checkpoint: Path) -> None:
    # the last two end in a smaller batch, and the last one has too few batches to fill a step
    for cut in (Cut(7, 1, 7), Cut(7, 4, 2), Cut(5, 2, 4)):
        whole = expected(kind, tiny_checkpoint, cut.total)
        found = run(kind, tiny_checkpoint, cut, gradient_clip_val=0.1 * float(whole.norm()))
        (before,) = found.before
        assert differ(before, whole) < 1e-5, cut
        assert differ(found.used, 0.1 * whole) < 1e-5, cut


@pytest.mark.parametrize("kind", ["tuning", "rounds"])
def test_a_step_of_more_batches_than_an_epoch_has_is_said(kind: str, tiny_checkpoint: Path) -> None:
    with pytest.warns(UserWarning, match="accumulate_grad_batches is 3, but this epoch has only 2 batches"):
        run(kind, tiny_checkpoint, Cut(2, 1, 3))


def test_each_step_has_its_own_batch(tiny_checkpoint: Path) -> None:
    """Four groups, two a step; weights stay as good as they were."""
    found, module = run("rounds", tiny_checkpoint, Cut(4, 1, 2)), build("rounds", tiny_checkpoint)
    for number, gradient in enumerate(found.before):
        module.zero_grad()
        rounds_objective(module, groups(4)[2 * number : 2 * number + 2]).backward()  # type: ignore[no-untyped-call]
        assert differ(gradient, flat(module)) < 1e-5
    assert len(found.before) == 2


def test_scaled_losses_of_mixed_precision_are_unscaled_once(tiny_checkpoint: Path) -> None:
    plugin = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))
    found, whole = (
        run("tuning", tiny_checkpoint, Cut(7, 4, 2), plugins=[plugin]),
        expected("tuning", tiny_checkpoint, 7),
    )
    assert differ(found.used, whole) < 0.02  # float16 has three digits


# of two processes: unequal shares; in the second, one process has nothing of its own in the last batch
SHARED = (Cut(7, 2, 2), Cut(5, 1, 3))


# with weights split by FSDP2, and losses that run the starting model in each step
OTHERS = {
    "rounds": (FullyShardedStrategy, SHARED[0]),
    "dpo": (FullyShardedStrategy, SHARED[0]),
    "parting": (DDPStrategy, SHARED[1]),
}


def _on_two(rank: int, folder: str) -> None:
    """A step of each cut; the gradient of each rank is left in a file."""
    os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", MASTER_ADDR="127.0.0.1")
    for kind in ("tuning", "rounds"):
        for number, cut in enumerate(SHARED):
            options: dict[str, Any] = {"devices": 2, "strategy": "ddp", "gradient_clip_val": 0.01}
            found = run(kind, Path(folder) / "checkpoint", cut, **options)
            torch.save((*found.before, found.used), Path(folder) / f"{kind}-{number}-{rank}.pt")
    for kind, (strategy, cut) in OTHERS.items():
        other = run(kind, Path(folder) / "checkpoint", cut, devices=2, strategy=strategy())
        torch.save(other.used, Path(folder) / f"{kind}-{rank}.pt")


def test_two_processes_make_the_same_step(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").symlink_to(tiny_checkpoint)
    run_ranks(_on_two, str(tmp_path))
    for kind, cut in product(("tuning", "rounds"), SHARED):
        whole = expected(kind, tiny_checkpoint, cut.total)
        for rank in range(2):
            before, used = torch.load(tmp_path / f"{kind}-{SHARED.index(cut)}-{rank}.pt")
            assert differ(before, whole) < 1e-5, (kind, cut, rank)
            assert differ(used, 0.01 * whole / whole.norm()) < 1e-5, (kind, cut, rank)
    for (kind, (_, cut)), rank in product(OTHERS.items(), range(2)):
        whole = expected(kind, tiny_checkpoint, cut.total)
        assert differ(torch.load(tmp_path / f"{kind}-{rank}.pt"), whole) < 1e-5, (kind, rank)
