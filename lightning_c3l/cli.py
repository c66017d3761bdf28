"""The LightningCLI: `fit` and `predict` from experiment files."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger

from callbacks.adapter_export import AdapterExport
from callbacks.dataset_export import DatasetExport
from callbacks.exposure_bias import ExposureBias
from callbacks.i2c_reweighting import I2CReweighting
from callbacks.interruption import Interruption
from callbacks.report import RunReport
from callbacks.round_logger import RoundLogger, wandb_logger
from callbacks.writer_comparison import WriterComparison
from lightning_c3l.quiet import quieten

ROUND_CALLBACKS = {
    "i2c": I2CReweighting,
    "comparison": WriterComparison,
    "exposure": ExposureBias,
    "export": DatasetExport,
    "report": RunReport,
}


@dataclass(frozen=True)
class Run:
    """Where a run leaves what it made: `<root>/<name>/version_<n>`.

    Attributes:
        root: folder of all runs.
        name: name of the experiment.
        version: number of the run; the first free one unless given.
        wandb: project that W&B logs to, offline unless you are logged in; null leaves W&B out.
    """

    root: str = "runs"
    name: str = "c3l"
    version: int | None = None
    wandb: str | None = "lightning_c3l"


class Parser(LightningArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what was wrong, without the usage text, and leave."""
        line = " ".join(message.split())
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2)


class C3LCLI(LightningCLI):
    """Adds the run folder, and the callbacks that make the rounds, to what LightningCLI offers."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The Trainer methods that this project has a use for."""
        skipped = {"model", "dataloaders", "datamodule"}
        return {"fit": skipped | {"train_dataloaders", "val_dataloaders"}, "predict": skipped}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Flat flags for what a sweep sets: `--run.name`, `--i2c.margin`, `--export.target_size`."""
        parser.add_argument("--run", type=Run, default=Run())
        for name, callback in ROUND_CALLBACKS.items():
            parser.add_lightning_class_args(callback, name)

    def before_instantiate_classes(self) -> None:
        """Choose the run folder, before anything asks the trainer for it."""
        config = self.config[self.subcommand]
        # a fit goes on where its checkpoint lies; predict only reads one
        folder = run_folder(config.run, config.get("ckpt_path") if self.subcommand == "fit" else None)
        config.trainer.default_root_dir = str(folder)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that logs and keeps checkpoints in the run folder, unless the experiment says otherwise."""
        config = self.config_init[self.subcommand]
        folder = Path(config.trainer.default_root_dir)
        if config.trainer.logger is None or config.trainer.logger is True:
            loggers = [CSVLogger(folder, name="", version="")]
            kwargs["logger"] = (
                loggers
                if config.run.wandb is None
                else [*loggers, wandb_logger(config.run.wandb, config.run.name, folder)]
            )
        given = [RoundLogger(), AdapterExport(), Interruption(command_line())]
        if config.trainer.enable_checkpointing is not False:
            given.append(ModelCheckpoint(folder / "checkpoints", save_last=True, save_top_k=0))
        own = config.trainer.callbacks or []
        if config.trainer.enable_progress_bar is not False and not any(isinstance(c, ProgressBar) for c in own):
            # tqdm as in generation and scoring: rich's live display cannot be nested
            given.append(TQDMProgressBar())
        trainer = super().instantiate_trainer(**kwargs, callbacks=[*own, *given])
        # the exporters and the report come last, in this order, but for the checkpoint that holds everybody's state
        trainer.callbacks = sorted(trainer.callbacks, key=_place)  # type: ignore[attr-defined]
        return trainer

    def instantiate_classes(self) -> None:
        """Tell the module its seed: every draw of a run goes back to it."""
        super().instantiate_classes()
        self.model.seed = int(self.config_init[self.subcommand].seed_everything or 0)


def _place(callback: Any) -> int:
    order = (I2CReweighting, RoundLogger, WriterComparison, AdapterExport, ExposureBias, DatasetExport, RunReport)
    if isinstance(callback, ModelCheckpoint):
        return len(order) + 2
    return next((i for i, kind in enumerate(order, start=1) if isinstance(callback, kind)), 0)


def run_folder(run: Any, checkpoint: str | None) -> Path:
    """Folder of this run: the checkpoint's own where a fit is resumed, else the first free version.

    Child processes of a multi-process run get their parent's choice through the environment.
    """
    if (chosen := os.environ.get("C3L_RUN_FOLDER")) is not None:
        return Path(chosen)
    if checkpoint is not None and (Path(checkpoint).resolve().parent.parent / "config.yaml").is_file():
        folder = Path(checkpoint).parent.parent
    else:
        home = Path(run.root) / run.name
        taken = [int(m[1]) for p in home.glob("version_*") if (m := re.fullmatch(r"version_(\d+)", p.name))]
        version = run.version if run.version is not None else max(taken, default=-1) + 1
        folder = home / f"version_{version}"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["C3L_RUN_FOLDER"] = str(folder)
    return folder


def command_line() -> list[str]:
    """The words of this command, as they can be typed again."""
    return ["python", "-m", "lightning_c3l", *sys.argv[1:]]


def run_trainer(arguments: list[str] | None = None) -> C3LCLI:
    """Parse, build and run."""
    quieten()
    return C3LCLI(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        parser_kwargs={"parser_mode": "omegaconf+"},
        save_config_kwargs={"overwrite": True},
        args=arguments,
    )
