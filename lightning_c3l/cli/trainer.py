"""The LightningCLI: `fit`, `predict` and `test` from experiment files."""

from pathlib import Path
from typing import Any

import yaml
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger

import callbacks
from callbacks.adapter_export import AdapterExport
from callbacks.checkpointing import Checkpointing, WholeFile
from callbacks.interruption import Interruption
from callbacks.metrics_file import MetricsFile
from callbacks.order import Order
from callbacks.question_progress import QuestionProgress
from callbacks.round_logger import RoundLogger
from callbacks.run_config import SaveRunConfig
from callbacks.run_facts import RunFacts
from callbacks.token_values import GalleryTokens
from callbacks.training_progress import TrainingProgress
from callbacks.wandb_answers import WandbAnswers
from callbacks.wandb_final import WandbFinal
from callbacks.wandb_run import finish_runs, wandb_logger
from lightning_c3l.cli.changed import changed_options
from lightning_c3l.cli.errors import exit_status
from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.parser import Parser
from lightning_c3l.cli.preflight import check, shorten
from lightning_c3l.cli.trainer_verbs import OBJECTS, TRAINER_VERBS
from lightning_c3l.distributed.program import program
from lightning_c3l.runs.folder import RunConfig, claim_folder, release_folder, remove_unused_folder, run_folder_of
from lightning_c3l.runs.lock import End
from lightning_c3l.runs.resuming import configuration_of, require_same_run
from lightning_c3l.runs.trials import agents_trial


class TrainerParser(Parser, LightningArgumentParser):
    """The parser of experiment files and of the options that overrule them."""


class C3LCLI(LightningCLI):
    """Adds the run folder, and the callbacks that make the rounds, to what LightningCLI offers."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The Trainer methods that this project has a use for."""
        return {verb: set(OBJECTS) for verb in TRAINER_VERBS}

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Trainer, data and model, which are built in this order: what the data lacks is said before a model loads."""
        super().add_core_arguments_to_parser(parser)
        parser._actions.sort(key=lambda option: option.dest == "model")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Flat flags for what a sweep sets: `--run.name`, `--i2c.margin`, `--export.target_size`."""
        parser.add_argument("--run", type=RunConfig, default=RunConfig())
        for name, callback in callbacks.OPTION_GROUPS.items():
            parser.add_lightning_class_args(getattr(callbacks, callback), name)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the words given to `main`, whatever the words of the process are."""
        self.words = list(args)
        self.config = parser.parse_args(self.words)

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as it was given.

        Lightning's own merges a checkpoint's `hyper_parameters` into it, class paths included: a file would choose the
        code that runs.
        """

    def before_instantiate_classes(self) -> None:
        """Complete and check the configuration, and claim the run folder before the trainer is built.

        Raises:
            ValueError: if the run folder or the checkpoint cannot be used.
        """
        config = self.config[self.subcommand]
        self.changed = changed_options(self.parser, self.words, config)
        if config.weights_only is False:
            raise ValueError("weights_only: objects in a checkpoint can run code and are never loaded; leave it out")
        # for every strategy; Lightning's own default differs between files, folders and URLs
        config.weights_only = True
        for name in ("reading", "pooling", "unit", "sentence_min"):
            if config.export[name] is None:
                # here, so that config.yaml holds what was used
                config.export[name] = config.i2c[name]
        if str(config.trainer.max_time).lstrip().startswith("{"):
            # an option that may be a text keeps what is typed
            config.trainer.max_time = yaml.safe_load(config.trainer.max_time)
        shorten(config)
        check(self._parser(str(self.subcommand)), config, str(self.subcommand), list(callbacks.OPTION_GROUPS))
        if self.subcommand == "test":
            # the figures come in a table of their own
            config.verbose = False
        if config.run.trial is None and (trial := agents_trial()) is not None:
            config.run.trial = trial
            # for the command that resumes the run outside of the agent
            self.words += ["--run.trial", trial]
        run = RunConfig(**config.run.as_dict())
        claimed = claim_folder(run, str(self.subcommand), config.get("ckpt_path"), config.trainer.num_nodes)
        config.trainer.default_root_dir, config.ckpt_path = claimed.path, claimed.checkpoint
        if self.subcommand == "fit" and claimed.checkpoint is not None:
            self._require_same_run(claimed.checkpoint)

    def _require_same_run(self, checkpoint: str) -> None:
        """Refuse options that a resumed run must not change, before anything is loaded."""
        if (before := configuration_of(checkpoint)) is not None:
            require_same_run(before, self._resolved(), f"{run_folder_of(checkpoint)}/config.yaml")

    def _resolved(self) -> dict[str, Any]:
        """The configuration as plain values, nested as in config.yaml."""
        subcommand = str(self.subcommand)
        values: dict[str, Any] = yaml.safe_load(self._parser(subcommand).dump(self.config[subcommand], skip_none=False))
        return values

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that logs and keeps checkpoints in the run folder, unless the experiment says otherwise."""
        config = self.config_init[self.subcommand]
        folder = Path(config.trainer.default_root_dir)
        if config.trainer.logger is None or config.trainer.logger is True:
            # written at once: what waits in memory is lost with the process
            loggers: list[Logger] = [MetricsFile(folder, name="", version="", flush_logs_every_n_steps=1)]
            if config.run.wandb is not None:
                loggers.append(wandb_logger(config.run, folder, self._resolved(), self.changed))
            kwargs["logger"] = loggers
        command = [*program(), *self.words]
        interruption = Interruption(command)
        every = 0 if config.trainer.enable_checkpointing is False else config.run.checkpoint_every
        given = [RunFacts(command, self.changed), RoundLogger(), WandbFinal(), WandbAnswers(), AdapterExport()]
        given += [GalleryTokens(), interruption, Checkpointing(every, interruption)]
        own = config.trainer.callbacks or []
        # so that `Checkpointing`, which also stops the run, may be there; it writes none unless it is told to
        kwargs["enable_checkpointing"] = True
        kwargs["plugins"] = _with_whole_files(config.trainer.plugins)
        if config.trainer.enable_progress_bar is not False and not any(isinstance(c, ProgressBar) for c in own):
            given.append(QuestionProgress() if self.subcommand == "test" else TrainingProgress())
        trainer = super().instantiate_trainer(**kwargs, callbacks=[*own, *given])
        trainer.callbacks = sorted(  # type: ignore[attr-defined]
            trainer.callbacks,  # type: ignore[attr-defined]
            key=lambda callback: getattr(callback, "order", Order.OTHER),
        )
        return trainer

    def instantiate_classes(self) -> None:
        """Tell the module its seed: every draw of a run goes back to it."""
        super().instantiate_classes()
        config = self.config_init[self.subcommand]
        self.model.seed = int(config.seed_everything or 0)
        if config.ckpt_path is not None and self.trainer.strategy.restore_checkpoint_after_setup:
            raise ValueError(
                "ckpt_path: this strategy reads a checkpoint only after the first round has begun; take "
                "experiments/hardware/fsdp.yaml for runs that must be resumable"
            )


def _with_whole_files(plugins: Any) -> list[Any]:
    """The experiment's plugins, and checkpoints that are whole unless the experiment has its own way."""
    own = plugins if isinstance(plugins, list) else [plugins] if plugins else []
    return own if any(isinstance(plugin, CheckpointIO) for plugin in own) else [*own, WholeFile()]


def run_trainer(words: list[str]) -> C3LCLI:
    """Parse a Trainer method and its options, build what they name, and run it."""
    quieten()
    how: End = "finished"
    try:
        return C3LCLI(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            parser_class=TrainerParser,
            parser_kwargs={"parser_mode": "omegaconf+"},
            save_config_callback=SaveRunConfig,
            save_config_kwargs={"save_to_log_dir": False},
            # Lightning would warn and take 0
            seed_everything_default=0,
            args=words,
        )
    except BaseException as error:
        finish_runs(exit_status(error))
        # one that was told to stop has printed how to resume in its folder
        is_stopped = isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and error.code != 2)
        how = "interrupted" if is_stopped else "failed"
        if not is_stopped:
            remove_unused_folder()
        raise
    finally:
        release_folder(how)
