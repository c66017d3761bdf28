"""What a run is: its command, version, date, devices, options that differ from its experiment file, and W&B's run."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from callbacks.wandb_run import wandb_run_of
from lightning_c3l.distributed import collectives
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.runs.credentials import without_credentials


class RunFacts(Callback):
    """Writes the part `run` of summary.json, for reports and lists of runs.

    A resumed run keeps its first date; command, options and devices are replaced once the start has been accepted.

    Args:
        command: words of the command.
        changed: options that differ from the experiment file, by their names.
    """

    def __init__(self, command: Sequence[str], changed: dict[str, Any]) -> None:
        # the page shows them
        self._command, self._changed = shlex.join(without_credentials(command)), without_credentials(changed)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it into a new run folder."""
        if collectives.is_rank_zero() and "run" not in RunStore(trainer.default_root_dir).summary():
            self._tell(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write it for the start that resumes a run."""
        if collectives.is_rank_zero():
            self._tell(trainer)

    def _tell(self, trainer: Trainer) -> None:
        store = RunStore(trainer.default_root_dir)
        now: dict[str, Any] = {"command": self._command, "version": version("lightning_c3l"), "changed": self._changed}
        began = {"started": datetime.now(UTC).isoformat(timespec="seconds")}
        logger = wandb_run_of(trainer)
        now["wandb"] = None if logger is None else logger.where
        device = trainer.strategy.root_device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        store.update_summary(
            run={**began, **store.summary().get("run", {}), **now, "devices": f"{trainer.world_size} x {name}"}
        )
