"""Where the run itself has no contrastive term, its control is the same training: all weights must come out alike."""

import os
import signal

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from callbacks.control_training import RunningProcesses, can_train_control, train_control
from callbacks.i2c_reweighting import I2CReweighting
from data_modules.rounds import RoundDataModule
from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.rounds.generation import GenerationConfig
from tests.helpers.ranks import run_ranks
from tests.helpers.tiny import SMALL_LORA, load_tiny


class StopAfter(Callback):
    """As a guard does."""

    def __init__(self, steps: int | None) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer, *_) -> None:
        trainer.should_stop = trainer.global_step == self.steps


def make_run(checkpoint, folder, rank: int = 0, ranks: int = 1, stop: int | None = None) -> tuple[Trainer, C3LModule]:
    """Three epochs on two rounds, trained without the contrastive term."""
    torch.manual_seed(3)
    writing = GenerationConfig(
        "scenes", sampling=Sampling(3, 4, 1.0), begin="Question: Where are the circles?\nAnswer:"
    )
    optimization = OptimizerConfig(learning_rate=0.01, warmup_steps=2)
    lvlm = load_tiny(checkpoint, SMALL_LORA, awake=False)
    module = C3LModule(lvlm, writing, LossConfig(contrastive_weight=0.0), optimization)
    module.seed = 3
    trainer = Trainer(
        accelerator="cpu",
        devices=ranks,
        strategy=DDPStrategy() if ranks > 1 else "auto",
        plugins=[RunningProcesses(0, rank)],
        max_epochs=3,
        gradient_clip_val=1.0,
        accumulate_grad_batches=2,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=[I2CReweighting(epochs_per_round=2), StopAfter(stop)],
    )
    trainer.fit(module, datamodule=RoundDataModule("scenes:count=5,seed=4", batch_size=4 // ranks))
    return trainer, module


def trained(module: C3LModule) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters() if value.requires_grad}


def require_same_training(trainer: Trainer, module: C3LModule) -> None:
    # what the run has drawn must not matter
    torch.rand(5)
    control = train_control(trainer, module)
    assert control.trainer.global_step == trainer.global_step > 0
    again = trained(control)
    for name, value in trained(module).items():
        assert torch.allclose(value, again[name], atol=1e-6), name
    moved = [value.abs().max() for name, value in again.items() if "lora_B" in name]
    assert max(moved) > 0.01


# of two rounds, or stopped inside the second epoch or the second round
@pytest.mark.parametrize("stop", [None, 4, 7])
def test_the_control_trains_as_the_run_did(tiny_checkpoint, tmp_path, stop):
    trainer, module = make_run(tiny_checkpoint, tmp_path, stop=stop)
    assert stop in (None, trainer.global_step)
    require_same_training(trainer, module)


def train_on_ranks(rank: int, argument: str) -> None:
    checkpoint, folder = argument.split("|")
    os.environ["WORLD_SIZE"] = "2"
    trainer, module = make_run(checkpoint, folder, rank, ranks=2)
    children = trainer.strategy.launcher.procs
    require_same_training(trainer, module)
    # the group of the processes is still there, nobody was started, and a launcher's variables are left alone
    assert collectives.gather(rank) == [0, 1]
    assert not children
    assert os.environ["WORLD_SIZE"] == "2"


def test_two_processes_train_the_control_together(tiny_checkpoint, tmp_path):
    run_ranks(train_on_ranks, f"{tiny_checkpoint}|{tmp_path}")


def test_an_interruption_reaches_the_run(tiny_checkpoint, tmp_path, monkeypatch):
    trainer, module = make_run(tiny_checkpoint, tmp_path, stop=1)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(C3LModule, "training_step", interrupt)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_control(trainer, module)
    finally:
        signal.signal(signal.SIGINT, handler)


def test_the_runs_own_handler_of_signals_stays(tiny_checkpoint, tmp_path, monkeypatch):
    trainer, module = make_run(tiny_checkpoint, tmp_path, stop=1)
    seen, step = [], C3LModule.training_step

    def watch(*given):
        seen.append(signal.getsignal(signal.SIGTERM))
        return step(*given)

    monkeypatch.setattr(C3LModule, "training_step", watch)
    before = signal.signal(signal.SIGTERM, own := lambda *_: None)
    try:
        train_control(trainer, module)
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen
    assert set(seen) == {own}


def test_where_no_process_holds_the_whole_model_there_is_no_control():
    assert can_train_control(Trainer(accelerator="cpu", devices=1, logger=False))
    assert can_train_control(Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False))
    sharded = Trainer(accelerator="cpu", devices=2, strategy=ModelParallelStrategy(), logger=False)
    assert not can_train_control(sharded)
