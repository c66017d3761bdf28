"""Training that is interrupted and resumed by a real Trainer, against the same training without a break."""

import os
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from PIL import Image
from torch import Tensor, nn

from data_modules.instruction_tuning import InstructionDataModule
from data_modules.rounds import RoundDataModule
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.modules.base import TrainedWeightsModule
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.records import Candidate, Group, Instruction, ScoredCandidate
from tests.helpers.ranks import run_ranks

GROUPS = 10


class Killed(Exception):
    """The interruption."""


class Toy(LightningModule):
    """A linear layer with dropout that notes which groups it saw, and its losses."""

    seed = 3

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer, self.dropout = nn.Linear(GROUPS, 1), nn.Dropout(0.5)
        self.seen, self.losses = list[list[str]](), list[float]()

    def encode(self, samples: list[GroupSample]) -> list[str]:
        return [sample.question for sample in samples]

    def setup(self, stage: str) -> None:
        self.trainer.datamodule.collate_with(self.encode, self.seed)  # type: ignore[attr-defined]

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        from lightning_c3l.modules.c3l import (
            C3LModule,  # here, since transformers takes seconds that most tests can spare
        )

        C3LModule.on_train_batch_start(self, batch, batch_idx)  # type: ignore[arg-type]  # asks for what any has

    def training_step(self, batch: list[str], batch_idx: int) -> Tensor:
        rows = nn.functional.one_hot(torch.tensor([int(name.split()[1]) for name in batch]), GROUPS).float()
        loss: Tensor = (self.layer(self.dropout(1 + rows)) - 1).square().mean()
        self.seen.append(batch)
        self.losses.append(float(loss.detach()))
        return loss

    def predict_step(self, batch: list[str], batch_idx: int) -> None:
        self.seen.append(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.05)


class Rounds(Callback):
    """Hands over a round of its own for each epoch, as `I2CReweighting` does, and saves before each."""

    def __init__(self, count: int, last: Path | None = None) -> None:
        self.count, self.last, self.number = count, last, 0

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.number = state_dict["number"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._hand_over(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.number = trainer.current_epoch + 1
        if self.last is not None:
            trainer.save_checkpoint(self.last)
            raise Killed
        self._hand_over(trainer)

    def _hand_over(self, trainer: Trainer) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        data.set_round(self.number, [_group(self.number, number) for number in range(self.count)], {})


class KillAt(Callback):
    """Saves after so many batches of the run, and ends it."""

    def __init__(self, batches: int, path: Path) -> None:
        self.batches, self.path = batches, path

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == self.batches:
            trainer.save_checkpoint(self.path)
            raise Killed


def _group(epoch: int, number: int) -> Group:
    def scored(sample: int) -> ScoredCandidate:
        name = f"{epoch} {number}"
        one = Candidate("red.png", Instruction("kind", "Write."), sample, f"{name}\n{sample}", name, "a")
        return ScoredCandidate(one)

    return Group(scored(1), (scored(0),), 1.0, 1.0)


def data(folder: Path, size: int = 2, workers: int = 0) -> RoundDataModule:
    (folder / "images").mkdir(exist_ok=True)
    if not (folder / "images" / "red.png").exists():
        Image.new("RGB", (4, 4), "red").save(folder / "images" / "red.png")
    return RoundDataModule(str(folder / "images"), batch_size=size, num_workers=workers)


def fit(
    folder: Path, module: LightningModule, datamodule: LightningDataModule, *callbacks: Callback, **options: Any
) -> None:
    """A run of two epochs unless told otherwise; an interruption ends it quietly."""
    path = options.pop("ckpt_path", None)
    given = {"accelerator": "cpu", "max_epochs": 2, "default_root_dir": str(folder), **options}
    trainer = Trainer(
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **given,
    )
    with suppress(Killed):
        trainer.fit(module, datamodule=datamodule, ckpt_path=path)


def names(batches: list[list[str]]) -> list[str]:
    return [name for batch in batches for name in batch]


def weights(module: LightningModule) -> Tensor:
    return torch.cat([value.detach().flatten() for value in module.parameters()])


@pytest.mark.parametrize(
    ("batches", "accumulate", "workers"),
    [(1, 1, 0), (3, 1, 2), (4, 1, 0), (6, 1, 0), (8, 1, 2), (2, 2, 0), (4, 2, 2), (7, 2, 0)],
)
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path, batches: int, accumulate: int, workers: int) -> None:
    def run(module: Toy, *extra: Callback, **options: Any) -> None:
        loaded = data(tmp_path, workers=workers)
        fit(tmp_path, module, loaded, Rounds(GROUPS), *extra, accumulate_grad_batches=accumulate, **options)

    whole, first, rest = Toy(), Toy(), Toy()
    run(whole)
    run(first, KillAt(batches, tmp_path / "last.ckpt"))
    torch.rand(7)
    run(rest, ckpt_path=tmp_path / "last.ckpt")
    assert len(whole.seen) == 10
    assert len(first.seen) == batches
    assert first.seen + rest.seen == whole.seen
    assert first.losses + rest.losses == whole.losses
    assert torch.equal(weights(rest), weights(whole))


def test_a_checkpoint_before_a_round_goes_on_with_the_next_epoch(tmp_path: Path) -> None:
    whole, first, rest = Toy(), Toy(), Toy()
    fit(tmp_path, whole, data(tmp_path), Rounds(GROUPS))
    fit(tmp_path, first, data(tmp_path), Rounds(GROUPS, tmp_path / "last.ckpt"))
    fit(tmp_path, rest, data(tmp_path), Rounds(GROUPS), ckpt_path=tmp_path / "last.ckpt")
    assert len(first.seen) == 5
    assert first.seen + rest.seen == whole.seen
    assert first.losses + rest.losses == whole.losses


@pytest.mark.parametrize(("sizes", "batches"), [((2, 3), 1), ((2, 3), 4), ((4, 1), 2), ((1, 4), 7)])
def test_another_batch_size_goes_on_at_the_same_draw(tmp_path: Path, sizes: tuple[int, int], batches: int) -> None:
    whole, first, rest = Toy(), Toy(), Toy()
    fit(tmp_path, whole, data(tmp_path), Rounds(GROUPS))
    fit(tmp_path, first, data(tmp_path, sizes[0]), Rounds(GROUPS), KillAt(batches, tmp_path / "last.ckpt"))
    fit(tmp_path, rest, data(tmp_path, sizes[1]), Rounds(GROUPS), ckpt_path=tmp_path / "last.ckpt")
    assert names(first.seen + rest.seen) == names(whole.seen)


class Records:
    """Seven records that are their own numbers."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, number: int) -> Any:
        return number


class Tuned(Toy):
    """Trains on such records."""

    def encode(self, samples: list[Any]) -> list[str]:
        return [f"0 {number}" for number in samples]


@pytest.mark.parametrize(("batches", "size"), [(1, 2), (3, 2), (5, 2), (7, 2), (2, 1), (1, 5)])
def test_instruction_tuning_goes_on_too(tmp_path: Path, batches: int, size: int) -> None:
    def records(size: int = 2) -> InstructionDataModule:
        return InstructionDataModule(records=Records(), batch_size=size)

    whole, first, rest = Tuned(), Tuned(), Tuned()
    fit(tmp_path, whole, records())
    fit(tmp_path, first, records(), KillAt(batches, tmp_path / "last.ckpt"))
    fit(tmp_path, rest, records(size), ckpt_path=tmp_path / "last.ckpt")
    assert names(first.seen + rest.seen) == names(whole.seen)
    if size == 2:
        assert first.losses + rest.losses == whole.losses


class Scheduled(Toy, TrainedWeightsModule):
    """The same, optimised as the modules of this project are."""

    def __init__(self, optimization: OptimizerConfig) -> None:
        super().__init__()
        self.lvlm = SimpleNamespace(name="toy", fingerprint="0")  # type: ignore[assignment]
        self.optimization = optimization

    def configure_optimizers(self) -> Any:
        return self.optimization.configure(self.parameters(), lambda: int(self.trainer.estimated_stepping_batches))


class Turned(Callback):
    """Gives the optimizer other settings before a step: what a resumed run shall do, without a checkpoint."""

    def __init__(self, step: int, optimization: OptimizerConfig) -> None:
        self.step, self.optimization = step, optimization

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        for group, decay in zip(trainer.optimizers[0].param_groups, (self.optimization.weight_decay, 0), strict=True):
            if (step := trainer.global_step) >= self.step:
                rate = self.optimization.learning_rate * self.optimization.share(step, lambda: 10)
                group.update(lr=rate, betas=(0.9, self.optimization.beta2), weight_decay=decay)


@pytest.mark.parametrize("batches", [3, 6])
def test_another_optimization_is_really_applied(tmp_path: Path, batches: int) -> None:
    old = OptimizerConfig(learning_rate=0.05, schedule="cosine", warmup_steps=2)
    new = OptimizerConfig(learning_rate=0.01, schedule="cosine", warmup_steps=8, weight_decay=0.3, beta2=0.9)
    whole, first, rest = Scheduled(old), Scheduled(old), Scheduled(new)
    fit(tmp_path, whole, data(tmp_path), Rounds(GROUPS), Turned(batches, new))
    fit(tmp_path, first, data(tmp_path), Rounds(GROUPS), KillAt(batches, tmp_path / "last.ckpt"))
    fit(tmp_path, rest, data(tmp_path), Rounds(GROUPS), ckpt_path=tmp_path / "last.ckpt")
    assert len(whole.losses) == 10
    assert first.losses + rest.losses == pytest.approx(whole.losses, abs=1e-6)
    assert torch.allclose(weights(rest), weights(whole), atol=1e-6)


def test_lightning_says_nothing_about_a_loader_that_cannot_be_resumed(tmp_path: Path) -> None:
    fit(tmp_path, Toy(), data(tmp_path), Rounds(GROUPS), KillAt(2, tmp_path / "last.ckpt"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(tmp_path, Toy(), data(tmp_path), Rounds(GROUPS), ckpt_path=tmp_path / "last.ckpt")
    assert not [one for one in caught if "resum" in str(one.message) or "draws other" in str(one.message)]


def _on_two(rank: int, folder: str) -> None:
    """Both halves of the interrupted runs below that two ranks make, each rank's names left in a file."""
    os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", MASTER_ADDR="127.0.0.1")
    home = Path(folder)
    options: dict[str, Any] = {"devices": 2, "strategy": "ddp"}
    for name, extra, resumed in (
        ("whole", [], None),
        ("first", [KillAt(2, home / "two.ckpt")], None),
        ("rest", [], home / "one.ckpt"),
        ("few", [], None),
    ):
        module, count = Toy(), 5 if name == "few" else GROUPS
        fit(home, module, data(home, 1), Rounds(count), *extra, ckpt_path=resumed, **options)
        torch.save((module.seen, weights(module)), home / f"{name}-{rank}.pt")
    module = Toy()
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, **options)
    trainer.predict(module, datamodule=data(home), return_predictions=False)
    torch.save(module.seen, home / f"predicted-{rank}.pt")


def test_another_number_of_processes(tmp_path: Path) -> None:
    alone, first, rest = Toy(), Toy(), Toy()
    fit(tmp_path, alone, data(tmp_path, 2), Rounds(GROUPS))
    fit(tmp_path, first, data(tmp_path, 1), Rounds(GROUPS), KillAt(3, tmp_path / "one.ckpt"))
    run_ranks(_on_two, str(tmp_path))
    fit(tmp_path, rest, data(tmp_path, 1), Rounds(GROUPS), ckpt_path=tmp_path / "two.ckpt")

    def both(name: str) -> tuple[list[list[list[str]]], list[Tensor]]:
        found = [torch.load(tmp_path / f"{name}-{rank}.pt") for rank in range(2)]
        return [seen for seen, _ in found], [value for _, value in found]

    (one, other), (mine, theirs) = both("whole")
    assert [[*a, *b] for a, b in zip(one, other, strict=True)] == alone.seen
    assert torch.equal(mine, theirs)

    everything = Counter(names(alone.seen))
    two_then_one = names([batch for own in both("first")[0] for batch in own]) + names(rest.seen)
    assert Counter(two_then_one) == everything
    # three of ten drawn: two ranks share seven, and the odd one is in both
    one_then_two = Counter(names(first.seen) + names([batch for own in both("rest")[0] for batch in own]))
    assert sum(one_then_two.values()) == sum(everything.values()) + 1
    assert set(one_then_two) == set(everything)

    (one, other), (mine, theirs) = both("few")
    assert len(one) == len(other) == 6
    assert all(len(batch) == 1 for batch in one + other)
    assert torch.equal(mine, theirs)

    assert [torch.load(tmp_path / f"predicted-{rank}.pt") for rank in range(2)] == 2 * [[["red.png"]]]


def test_a_llava_with_dropout_goes_on_to_the_letter(tmp_path: Path, tiny_checkpoint: Path) -> None:
    from lightning_c3l.lvlm.huggingface import LoRA
    from lightning_c3l.modules.c3l import C3LModule
    from tests.helpers.tiny import load_tiny

    class Noting(C3LModule):
        losses: list[float]

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = super().training_step(batch, batch_idx)
            self.losses.append(float(loss.detach()))
            return loss

    def run(*extra: Callback, **options: Any) -> Noting:
        lvlm = load_tiny(tiny_checkpoint, replace(LoRA(rank=2, alpha=4), dropout=0.3))
        torch.manual_seed(0)
        module = Noting(lvlm, optimization=OptimizerConfig(1e-2, schedule="cosine", warmup_steps=2))
        module.losses = []
        fit(tmp_path, module, data(tmp_path), Rounds(5), *extra, **options)
        return module

    whole = run()
    first = run(KillAt(2, tmp_path / "last.ckpt"))
    rest = run(ckpt_path=tmp_path / "last.ckpt")
    assert len(whole.losses) == 6
    assert first.losses + rest.losses == pytest.approx(whole.losses, abs=1e-6)
    assert torch.allclose(weights(rest), weights(whole), atol=1e-6)
