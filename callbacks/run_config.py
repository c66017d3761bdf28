"""config.yaml of a run, and what a checkpoint must be resumed with."""

from pathlib import Path
from typing import Any

import yaml
from lightning import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.trainer.states import TrainerFn

from data_modules.instruct import InstructionDataModule
from lightning_c3l.atomic import write_text_atomic
from lightning_c3l.resuming import configuration_of, require_same_run

# of a checkpoint
_KEY = "c3l_run"


class RunConfig(SaveConfigCallback):
    """Writes config.yaml, and keeps in each checkpoint the configuration, the base model and the data it belongs to.

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

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the one of an earlier start: the answers that are there have been accepted."""
        super().setup(trainer, pl_module, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace the one of an earlier start: its records have been accepted."""
        super().setup(trainer, pl_module, "predict")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Into the run folder, wherever the loggers write."""
        write_text_atomic(Path(trainer.default_root_dir) / self.config_filename, self._dumped())

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep what the checkpoint belongs to."""
        checkpoint[_KEY] = {"configuration": self._dumped(), **_contents(trainer, pl_module)}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse to train on with another base model, with other data or, for a file alone, with other options.

        Checkpoints of earlier versions say nothing of it and are accepted.

        Raises:
            ValueError: naming the option and both values.
        """
        known: dict[str, Any] = checkpoint.get(_KEY) or {}
        if trainer.state.fn != TrainerFn.FITTING:
            return
        path = str(trainer.ckpt_path)
        for option, now in _contents(trainer, pl_module).items():
            before = known.get(option)
            if before is not None and before["digest"] != now["digest"]:
                raise ValueError(
                    f"{option}: {now['name']} (digest {now['digest']}) is not what this run was begun with: "
                    f"{before['name']} (digest {before['digest']}); give that to go on, or begin a new run without "
                    "--ckpt_path"
                )
        # of a run folder's own checkpoint the command line has compared them, before anything was loaded
        if "configuration" in known and configuration_of(path) is None:
            require_same_run(yaml.safe_load(known["configuration"]), yaml.safe_load(self._dumped()), path)

    def _dumped(self) -> str:
        return str(self.parser.dump(self.config, skip_none=False))


def _contents(trainer: Trainer, module: Any) -> dict[str, dict[str, str]]:
    """Name and digest of what a run rests on, by option."""
    lvlm, data = getattr(module, "lvlm", None), trainer.datamodule  # type: ignore[attr-defined]
    found = dict[str, dict[str, str]]()
    if lvlm is not None:
        found["model.lvlm.path"] = {"name": lvlm.name, "digest": lvlm.fingerprint}
    if isinstance(data, InstructionDataModule) and data.digest:
        found["data.path"] = {"name": data.location, "digest": data.digest}
    return found
