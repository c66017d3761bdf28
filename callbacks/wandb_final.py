"""Figures and files of a run's end on W&B."""

from lightning import Callback, LightningModule, Trainer

from callbacks.order import Order
from callbacks.wandb_rounds import of_round, swept
from callbacks.wandb_run import wandb_run_of
from lightning_c3l.report.final import final_figures
from lightning_c3l.rounds.scalars import state_scalars
from lightning_c3l.rounds.store import RunStore

_DATA_SET = ("vlit.json", "vlit.parquet", "vlit.card.md")


class WandbFinal(Callback):
    """Logs what a run is compared by, which is measured after its last training, and uploads what it made.

    The last round is made before that: what it shows is in `round/...` alone.
    """

    order = Order.WANDB

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the state after the last training, the figures of the run, and its files."""
        logger = wandb_run_of(trainer)
        if logger is None or not trainer.is_global_zero:
            return
        store = RunStore(trainer.default_root_dir)
        number, final = max(store.rounds(), default=-1) + 1, final_figures(store.summary())
        if state := state_scalars(store, number):
            # of the state that was exported, which need not be the last one
            logger.log({"round": number, **of_round(state), **swept(final)})
        logger.summarize({f"final/{name}": value for name, value in final.items()})
        logger.log_files("dataset", [store.folder / name for name in _DATA_SET])
        logger.log_files("adapter", [store.folder / "adapter"], copy=False)
        logger.log_files("report", [store.folder / "report.html"])

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the data set that `predict` wrote, and its figures."""
        logger = wandb_run_of(trainer)
        if logger is None or not trainer.is_global_zero:
            return
        store = RunStore(trainer.default_root_dir)
        logger.summarize({f"final/{name}": value for name, value in final_figures(store.summary()).items()})
        logger.log_files("dataset", [store.folder / name for name in _DATA_SET])
