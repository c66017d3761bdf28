"""`adapter/`: what training made, as a folder that the user's own tools load."""

from pathlib import Path

from lightning import Callback, LightningModule, Trainer

from lightning_c3l.atomic import atomic_folder


class AdapterExport(Callback):
    """Writes the adapter (or, under full fine-tuning, the whole model) when training ends well."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save through a temporary name: a half-written folder must not look whole."""
        lvlm = getattr(pl_module, "lvlm", None)
        if lvlm is None or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        with atomic_folder(Path(trainer.default_root_dir) / lvlm.saved_as) as folder:
            lvlm.save(folder)
