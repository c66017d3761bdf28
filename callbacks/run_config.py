"""config.yaml of a run, and what a checkpoint must be resumed with."""

from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from lightning import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.trainer.states import TrainerFn

from data_modules.instruction_tuning import InstructionDataModule
from lightning_c3l.runs.atomic import write_text_atomic
from lightning_c3l.runs.config_file import dump_yaml
from lightning_c3l.runs.resuming import configuration_of, require_same_run

# of a checkpoint
_KEY = "c3l_run"
# groups of options that training does not depend on
_AFTER_TRAINING = ("run", "exposure", "export", "report")


class SaveRunConfig(SaveConfigCallback):
    """Writes config.yaml, and keeps in each checkpoint the configuration and the data it belongs to.

    A run folder that has a config.yaml keeps it until this start has been accepted: a start that is refused leaves the
    folder as it was.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it into a new run folder."""
        file = Path(trainer.default_root_dir) / self.config_filename
        if not trainer.strategy.broadcast(file.exists()):
            super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the one of an earlier start: the checkpoint and the round have been accepted."""
        super().setup(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Where no step was left to train, replace what counts after training; all else is as it was trained with."""
        if stage != "fit" or self.already_saved or not trainer.is_global_zero:
            return
        file = Path(trainer.default_root_dir) / self.config_filename
        kept, now = (yaml.safe_load(text) for text in (file.read_text(encoding="utf-8"), self._dumped))
        kept.update({group: now[group] for group in _AFTER_TRAINING if group in now})
        if "fresh" in now["data"]["init_args"]:
            kept["data"]["init_args"]["fresh"] = now["data"]["init_args"]["fresh"]
        write_text_atomic(file, dump_yaml(kept))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the one of an earlier start: the answers that are there have been accepted."""
        super().setup(trainer, pl_module, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the one of an earlier start: its records have been accepted."""
        super().setup(trainer, pl_module, "predict")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Into the run folder, wherever the loggers write."""
        write_text_atomic(Path(trainer.default_root_dir) / self.config_filename, self._dumped)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep what the checkpoint belongs to."""
        checkpoint[_KEY] = {"configuration": self._dumped, "data": _data(trainer)}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse to train on with other data or, for a file alone, with other options; the module checks the base.

        Checkpoints of earlier versions say nothing of it and are accepted.

        Raises:
            ValueError: naming the option and both values.
        """
        known: dict[str, Any] = checkpoint.get(_KEY) or {}
        if trainer.state.fn != TrainerFn.FITTING:
            return
        path, data = str(trainer.ckpt_path), _data(trainer)
        before = known.get("data")
        if data is not None and before is not None and before["digest"] != data["digest"]:
            raise ValueError(
                f"data.path: {data['path']} (digest {data['digest']}) is not what this run was begun with: "
                f"{before['path']} (digest {before['digest']}); give that, or begin a new run without --ckpt_path"
            )
        # of a run folder's own checkpoint the command line has compared them, before anything was loaded
        if "configuration" in known and configuration_of(path) is None:
            require_same_run(yaml.safe_load(known["configuration"]), yaml.safe_load(self._dumped), path)

    @cached_property
    def _dumped(self) -> str:
        config = self.config.clone()
        # said for one start: a run that is begun from this file neither goes on in this folder nor makes a round again
        config.i2c.restart_round = False
        folder = Path(config.trainer.default_root_dir).resolve()
        if config.ckpt_path and Path(config.ckpt_path).resolve().parent.parent == folder:
            config.ckpt_path = None
        # jsonargparse checks all options again, which takes longer than to write a checkpoint
        return str(self.parser.dump(config, skip_none=False))


def _data(trainer: Trainer) -> dict[str, str] | None:
    """Records that are tuned on, where they can tell; a round keeps its own images."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, InstructionDataModule) or not data.digest:
        return None
    return {"path": data.location, "digest": data.digest}
