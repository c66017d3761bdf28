"""Round figures to every logger."""

from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from callbacks.metrics_file import MetricsFile
from callbacks.order import Order
from lightning_c3l.rounds.store import DamagedRound, RunStore


class RoundLogger(Callback):
    """Logs each finished round once, as `round/<figure>`."""

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
            try:
                figures = store.read_figures(number)
            except DamagedRound as error:
                rank_zero_warn(f"{error}; its figures are not logged")
                self._logged = number
                continue
            scalars = {f"round/{k}": v for k, v in figures.items() if isinstance(v, int | float)}
            scalars |= {f"round/kind_{k}": v for k, v in figures.get("kind_shares", {}).items()}
            scalars |= {f"round/seconds_{k}": v for k, v in figures.get("seconds", {}).items()}
            for logger in trainer.loggers:
                logger.log_metrics(scalars, step=trainer.global_step)
            self._logged = number

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A round at which the guard stopped has no epoch."""
        self.on_train_epoch_start(trainer, pl_module)
