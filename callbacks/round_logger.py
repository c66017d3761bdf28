"""Each round to every logger; W&B gets more of it than figures."""

from functools import partial
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from callbacks.metrics_file import MetricsFile
from callbacks.order import Order
from callbacks.report import image_or_none
from callbacks.wandb_rounds import round_values
from callbacks.wandb_run import WandbRunLogger, wandb_run_of
from lightning_c3l.rounds.run import RoundRun
from lightning_c3l.rounds.scalars import round_scalars
from lightning_c3l.rounds.store import DamagedRound, RunStore


class RoundLogger(Callback):
    """Logs each finished round once, as `round/<figure>`; W&B shows its histograms and some candidates too."""

    order = Order.LOG

    def __init__(self) -> None:
        self._logged = -1

    def state_dict(self) -> dict[str, Any]:
        """Last round that was logged."""
        return {"logged": self._logged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A resumed run does not log a round twice."""
        self._logged = state_dict["logged"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the metrics file the step from which the run resumes, which is known now."""
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile) and trainer.is_global_zero:
                logger.go_on_from(trainer.global_step)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The rounds are made in hooks in which a module cannot log; this is the next one in which loggers work."""
        if not trainer.is_global_zero or not trainer.loggers:
            return
        store = RunStore(trainer.default_root_dir)
        for number in [n for n in store.rounds() if n > self._logged]:
            self._logged = number
            try:
                self._log(trainer, pl_module, number)
            except DamagedRound as error:
                rank_zero_warn(f"{error}; not all of the round is logged")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A round at which the guard stopped has no epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def _log(self, trainer: Trainer, module: LightningModule, number: int) -> None:
        scalars = round_scalars(RunStore(trainer.default_root_dir), number)
        named = {f"round/{name}": value for name, value in scalars.items()}
        for logger in trainer.loggers:
            if not isinstance(logger, WandbRunLogger):
                logger.log_metrics(named, step=trainer.global_step)
        found, run = wandb_run_of(trainer), RoundRun.of(trainer, module)
        if found is not None and run is not None:
            found.log(round_values(run.store, number, scalars, partial(image_or_none, run)))
