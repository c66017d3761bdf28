"""Exports the trained adapter as `adapter/`, a folder that peft and transformers load."""

from pathlib import Path

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from callbacks.order import Order
from lightning_c3l.distributed import collectives
from lightning_c3l.modules.whole_batch import WholeBatchModule
from lightning_c3l.runs.atomic import atomic_folder


class AdapterExport(Callback):
    """Writes the adapter (or, under full fine-tuning, the whole model) when training ends well, unless no step ran."""

    order = Order.ADAPTER

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the folder under a temporary name and rename it, so that it is complete or absent."""
        if not isinstance(pl_module, WholeBatchModule) or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if trainer.global_step == 0:
            rank_zero_warn(f"no step was trained: no {pl_module.lvlm.saved_as} is written")
            return
        lvlm = pl_module.lvlm
        target = Path(trainer.default_root_dir) / lvlm.saved_as

        def save() -> None:
            with atomic_folder(target) as folder:
                lvlm.save(folder)
            print(f"trained {lvlm.saved_as} in {target}", flush=True)

        with pl_module.whole_weights():
            collectives.on_rank_zero(save)
