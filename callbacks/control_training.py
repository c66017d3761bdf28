"""The control of a run: the same LVLM, trained again on the run's stored groups without the contrastive term."""

import copy
import signal
from dataclasses import replace
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from lightning.pytorch.utilities.seed import isolate_rng

from callbacks.i2c_reweighting import I2CReweighting
from callbacks.replay import ReplayRounds
from callbacks.training_progress import TrainingProgress
from lightning_c3l.modules.c3l import C3LModule


def can_train_control(trainer: Trainer) -> bool:
    """Whether a second training can run in the processes of the first: each of them must hold the whole model."""
    # no isinstance: DeepSpeed's strategy is derived from DDP's
    return type(trainer.strategy) is DDPStrategy or isinstance(trainer.strategy, SingleDeviceStrategy)


def train_control(trainer: Trainer, module: C3LModule) -> C3LModule:
    """Train the control in the processes of a run that has ended; every rank must call it.

    Args:
        trainer: of that run.
        module: what it trained.

    Returns:
        The control, trained for as many steps.
    """
    with isolate_rng():
        # adapters and heads are initialised alike on every rank, whatever the run has drawn before
        torch.manual_seed(module.seed)
        loss = replace(module.loss, contrastive_weight=0.0)
        control = C3LModule(module.lvlm.fresh(), module.writing, loss, module.optimization, module.generator)
        control.seed = module.seed
        again = _trainer_like(trainer)
        try:
            again.fit(control, datamodule=copy.copy(trainer.datamodule))  # type: ignore[attr-defined]
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):
                # Lightning ends the program at Ctrl-C; the run has its own way with it
                raise KeyboardInterrupt from None
            raise
    return control.to(trainer.strategy.root_device)


def _trainer_like(trainer: Trainer) -> Trainer:
    """A trainer for the control on the devices of a run."""
    rounds, folder = I2CReweighting.of(trainer), trainer.default_root_dir
    on_gpu = trainer.strategy.root_device.type == "cuda"
    strategy: Strategy | str = "auto"
    if isinstance(own := trainer.strategy, DDPStrategy):
        strategy = DDPStrategy(process_group_backend=own.process_group_backend, **own._ddp_kwargs)
    return Trainer(
        accelerator=trainer.accelerator,
        strategy=strategy,
        devices=trainer.device_ids if on_gpu else trainer.num_devices,
        num_nodes=trainer.num_nodes,
        plugins=[RunningProcesses(trainer.node_rank, trainer.local_rank)],
        precision=trainer.precision,
        max_epochs=trainer.max_epochs,
        max_steps=trainer.max_steps,
        accumulate_grad_batches=trainer.accumulate_grad_batches,
        gradient_clip_val=trainer.gradient_clip_val,
        gradient_clip_algorithm=trainer.gradient_clip_algorithm,
        reload_dataloaders_every_n_epochs=1,
        # its batches are shared out by the datamodule already
        use_distributed_sampler=False,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=trainer.progress_bar_callback is not None,
        callbacks=[
            ReplayRounds(folder)
            if rounds is None
            else ReplayRounds(folder, rounds.epochs_per_round, rounds.accumulate),
            _SameLength(trainer.global_step),
            *([] if trainer.progress_bar_callback is None else [TrainingProgress("control: train")]),
        ],
    )


class RunningProcesses(LightningEnvironment):
    """The processes that run already: none is started or changed, and no job is requeued.

    Args:
        node_rank: number of this process's node.
        local_rank: number of this process on its node.
    """

    def __init__(self, node_rank: int, local_rank: int) -> None:
        super().__init__()
        self._node_rank, self._local_rank = node_rank, local_rank

    @property
    def creates_processes_externally(self) -> bool:
        """True: they exist already."""
        return True

    def node_rank(self) -> int:
        """Index of the node, as in the run."""
        return self._node_rank

    def local_rank(self) -> int:
        """Index of the process on its node, as in the run."""
        return self._local_rank

    def teardown(self) -> None:
        """Keep the environment variables, which the run still needs."""


class _SameLength(Callback):
    """Ends a training after the number of steps that the run took, and keeps the run's signal handlers."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        # the trainer's own handler talks to the other processes, which may be waiting elsewhere
        self._handler: Any = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the run's handler, which the trainer has replaced."""
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop after as many steps as the run took."""
        if trainer.global_step >= self.steps:
            trainer.should_stop = True
