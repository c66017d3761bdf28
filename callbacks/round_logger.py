"""Round figures to every logger; the only file that imports wandb."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wandb
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from callbacks.metrics_file import MetricsFile
from callbacks.order import Order
from lightning_c3l.rounds.store import DamagedRound, RunStore


def wandb_logger(project: str, name: str, folder: Path) -> WandbLogger:
    """A W&B logger that never asks and never waits: offline unless the user is logged in.

    Args:
        project: project on the server, with its entity before a slash where it is not the user's default one.
        name: name of the run there.
        folder: run folder; W&B's own files go below it.
    """
    logged_in = bool(os.environ.get("WANDB_API_KEY")) or _stored_key()
    mode = os.environ.get("WANDB_MODE") or ("online" if logged_in else "offline")
    os.environ.setdefault("WANDB_SILENT", "true")
    # what could not be sent in the last minute can be sent later, by `wandb sync`
    settings = wandb.Settings(init_timeout=20, finish_timeout=60, silent=True, console="off")
    entity, _, project = project.rpartition("/")
    return DispensableWandbLogger(
        project=project, entity=entity or None, name=name, save_dir=folder, mode=mode, settings=settings
    )


class DispensableWandbLogger(WandbLogger):
    """Logs to W&B for as long as that works; a run must not end, or wait, because W&B does."""

    _lost = False

    @property
    def experiment(self) -> Any:
        """W&B's run, offline where the server cannot be reached."""
        try:
            return super().experiment
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            rank_zero_warn(f"W&B cannot be reached, this run is logged offline: {reason}")
            self._wandb_init["mode"] = "offline"
            return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log metrics if W&B still answers."""
        self._try(lambda: super(DispensableWandbLogger, self).log_metrics(metrics, step))

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Log hyperparameters if W&B still answers."""
        self._try(lambda: super(DispensableWandbLogger, self).log_hyperparams(params))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Finish W&B's run; a failed run must write no more into its folder, which may be removed."""

        def end() -> None:
            super(DispensableWandbLogger, self).finalize(status)
            if status == "failed" and self._experiment is not None:
                self._experiment.finish(exit_code=1)

        self._try(end)

    def _try(self, call: Callable[[], None]) -> None:
        if self._lost:
            return
        try:
            call()
        except Exception as error:
            self._lost = True
            rank_zero_warn(f"W&B no longer answers, the run goes on without it: {type(error).__name__}: {error}")


def _stored_key() -> bool:
    """Whether `wandb login` left a key; only its presence is looked at."""
    netrc = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        return "api.wandb.ai" in netrc.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


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
