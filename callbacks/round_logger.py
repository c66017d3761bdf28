"""Round figures to every logger but W&B's, which gets more of a round."""

from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from callbacks.metrics_file import MetricsFile
from callbacks.order import Order
from callbacks.wandb_run import WandbRunLogger
from lightning_c3l.functional.finite import finite
from lightning_c3l.report.figures import nested
from lightning_c3l.rounds.store import DamagedRound, RunStore


class RoundLogger(Callback):
    """Logs each finished round once, as `round/<figure>`, to every logger but W&B's."""

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
                scalars = {f"round/{name}": value for name, value in round_scalars(store, number).items()}
            except DamagedRound as error:
                rank_zero_warn(f"{error}; its figures are not logged")
                continue
            for logger in trainer.loggers:
                if not isinstance(logger, WandbRunLogger):
                    logger.log_metrics(scalars, step=trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A round at which the guard stopped has no epoch."""
        self.on_train_epoch_start(trainer, pl_module)


def round_scalars(store: RunStore, number: int) -> dict[str, float]:
    """All numbers of a round by one flat name each, with what the guard says of the state that generated it.

    Raises:
        DamagedRound: the figures are not what was written.
    """
    scalars = dict[str, float]()
    for name, value in store.read_figures(number).items():
        # such as `kind_shares` and `seconds`
        prefix = {"kind_shares": "kind"}.get(name, name)
        several = {f"{prefix}_{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        scalars |= {key: one for key, one in several.items() if finite(one) is not None}
    return {**scalars, **state_scalars(store, number)}


def state_scalars(store: RunStore, number: int) -> dict[str, float]:
    """What the guard says of a state of the model; empty where it has not judged it."""
    states: list[dict[str, Any]] = nested(store.summary(), "guard").get("states") or []
    state = next((one for one in states if one.get("round") == number), {})
    broken = {"limits_broken": len(state["tripped"])} if "tripped" in state else {}
    criterion = finite(state.get("held_out"))
    return {**broken, **({} if criterion is None else {"held_out_criterion": criterion})}
