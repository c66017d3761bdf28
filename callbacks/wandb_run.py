"""The run on W&B; the only file that imports wandb."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import wandb
from lightning import Trainer
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only, rank_zero_warn
from PIL.Image import Image

from callbacks.wandb_values import Histogram, Table
from lightning_c3l.runs.atomic import write_json_atomic
from lightning_c3l.runs.credentials import without_credentials
from lightning_c3l.runs.folder import RunConfig

# the trainer's step, by the name that Lightning has for it
_STEP = "trainer/global_step"
# in the run folder
KEPT = "wandb.json"
# W&B accepts no longer names
_LONGEST_NAME = 128
_LONGEST_REASON = 200
# bytes of a file of wandb that holds no record
_EMPTY = 7
# a piece of an offline run counts its history from here times its number, so that pieces do not overlap once synced
_PIECE = 1_000_000

# loggers whose W&B run is not finished
_begun: list["WandbRunLogger"] = []
# folders of this process's runs: wandb may write the records of a run only after it has said that the run is finished
_pieces = set[str]()


@dataclass(frozen=True)
class Mode:
    """How W&B runs, and why."""

    name: Literal["online", "offline", "disabled"]
    reason: str


def decide_mode(wanted: Literal["online", "offline", "disabled"] | None) -> Mode:
    """Decide how W&B runs, without a question and without the network.

    What wandb itself is told comes first (`WANDB_MODE`, `wandb offline`), unless the option is given; after that it is
    online for whoever wandb has credentials of: `WANDB_API_KEY`, an identity token, or what `wandb login` stored for
    the server in use.

    Args:
        wanted: `run.wandb_mode`; None decides.
    """
    try:
        settings = _settings() if wanted is None else _settings(mode=wanted)
    except Exception as error:  # an environment variable or a settings file that wandb does not accept
        return Mode("disabled", _reason(error))
    source = "WANDB_MODE" if os.environ.get("WANDB_MODE") else "the settings of wandb"
    source = source if wanted is None else "run.wandb_mode"
    if settings.mode == "disabled":
        return Mode("disabled", source)
    if settings.mode in ("offline", "dryrun"):
        return Mode("offline", source)
    server = urlsplit(settings.base_url).netloc.rpartition("@")[2]
    if settings.base_url == wandb.Settings.model_fields["base_url"].default:
        # its host, which has had other names, may surprise
        server = f"W&B's cloud, {server}"
    try:
        if not wandb.login(prompt=False, verify=False):
            return Mode("offline", f"nobody is logged in to {server}")
    except Exception as error:  # credentials that cannot be right, such as a short key
        return Mode("offline", _reason(error))
    variables = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
    found = next((name for name in variables if os.environ.get(name)), "the stored login")
    return Mode("online", f"{found} for {server}")


def find_credentials() -> bool:
    """Whether wandb has credentials for the server in use, also where it is told to be offline."""
    try:
        return decide_mode("online").name == "online"
    finally:
        # what this has set is no setting of the user's
        wandb.teardown()


def wandb_logger(
    run: RunConfig, folder: Path, config: Mapping[str, Any], changed: Mapping[str, Any] | None = None
) -> "WandbRunLogger":
    """A logger to the project `run.wandb`.

    Args:
        run: options of the run; `run.wandb` must not be None.
        folder: run folder; wandb's own files go to `<folder>/wandb`.
        config: the resolved configuration, nested as in config.yaml.
        changed: options that differ from the experiment file's, for the name of the run.
    """
    return WandbRunLogger(run, folder, config, run_name(run.name, folder, without_credentials(changed or {})))


def run_name(name: str, folder: Path, changed: Mapping[str, Any]) -> str:
    """The display name of a run: experiment, version and what differs from the experiment file.

    Args:
        name: name of the experiment.
        folder: run folder, `version_<n>` unless it was chosen otherwise.
        changed: dotted options and their values; the options of `run` are left out.
    """
    version = folder.name.removeprefix("version_")
    options = {k: v for k, v in changed.items() if k != "ckpt_path" and not k.startswith("run.")}
    parts = [f"{option.rpartition('.')[2]}={value}" for option, value in options.items()]
    full = f"{name}/{version}" + (f" {', '.join(parts)}" if parts else "")
    return full if len(full) <= _LONGEST_NAME else f"{full[: _LONGEST_NAME - 1]}…"


def wandb_run_of(trainer: Trainer) -> "WandbRunLogger | None":
    """The logger of a run that goes to W&B."""
    return next((one for one in trainer.loggers if isinstance(one, WandbRunLogger)), None)


def finish_runs(exit_code: int) -> None:
    """Finish W&B's run of this process, unless it is finished: after that nothing writes into the run folder.

    Args:
        exit_code: the exit status that the process will end with.
    """
    for logger in list(_begun):
        logger.finish(exit_code)


class WandbRunLogger(WandbLogger):
    """Logs to W&B for as long as that works; a run must not end, or wait, because W&B does.

    W&B's run begins when the trainer is set up and continues when the run folder is resumed: `wandb.json` there keeps
    its id. Only rank zero has one.

    Args:
        run: options of the run.
        folder: run folder.
        config: what W&B shows as the configuration.
        name: display name.
    """

    def __init__(self, run: RunConfig, folder: Path, config: Mapping[str, Any], name: str) -> None:
        entity, _, project = str(run.wandb).rpartition("/")
        shown = without_credentials(config)
        # what could not be sent in the last minute can be sent later, by `wandb sync`
        settings = wandb.Settings(
            init_timeout=20, finish_timeout=60, finish_timeout_raises=True, silent=True, console="off"
        )
        super().__init__(
            project=project, entity=entity or None, name=name, save_dir=folder, config=shown, settings=settings
        )
        # Lightning hands down an option that wandb warns of
        del self._wandb_init["anonymous"]
        self.uploads_files = run.wandb_artifacts
        self._folder, self._wanted = folder, run.wandb_mode
        self._lost, self._is_resumed = False, False
        # names of metrics that are drawn over the trainer's step
        self._over_steps = set[str]()
        # of the history, where it is not W&B's to count
        self._next_step: int | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run, offline where the server cannot be reached."""
        if self._experiment is None:
            self._begin()
        return self._experiment

    @property
    def where(self) -> str | None:
        """The address of W&B's run, or the command that uploads an offline one; None if there is neither."""
        run = self._experiment
        if run is None or run.disabled:
            return None
        if not run.offline:
            return str(run.url)
        return self._upload_command(self._folder / "wandb")

    @rank_zero_only
    def log(self, values: Mapping[str, Any]) -> None:
        """Log numbers, histograms and tables in one row of the run's history, if W&B still answers.

        Args:
            values: numbers, texts, `Histogram` and `Table`; with `round`, those named `round/...` are drawn over it.
        """
        self._try(lambda: self._log({name: _for_wandb(value) for name, value in values.items()}))

    @rank_zero_only
    def summarize(self, values: Mapping[str, Any]) -> None:
        """Set values of the run's summary, which sweeps optimise and tables of runs show."""
        self._try(lambda: self.experiment.summary.update(dict(values)))

    @rank_zero_only
    def log_files(self, kind: str, paths: Sequence[Path], copy: bool = True) -> None:
        """Log files and folders as one artifact, unless `run.wandb_artifacts` is false.

        Args:
            kind: type of the artifact, with the run's id also its name.
            paths: those that are there are logged.
            copy: keep a copy until it is uploaded; without, a file that changes before that is not uploaded.
        """
        present = [path for path in paths if path.exists()]
        if not self.uploads_files or not present:
            return

        def upload() -> None:
            artifact = wandb.Artifact(f"{kind}-{self.experiment.id}", type=kind)
            policy: Literal["mutable", "immutable"] = "mutable" if copy else "immutable"
            for path in present:
                if path.is_dir():
                    artifact.add_dir(str(path), name=path.name, policy=policy)
                else:
                    artifact.add_file(str(path), name=path.name, policy=policy)
            self.experiment.log_artifact(artifact)

        self._try(upload)

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log metrics over the trainer's step, if W&B still answers."""

        def log() -> None:
            for name in metrics.keys() - self._over_steps:
                self.experiment.define_metric(name, step_metric=_STEP)
                self._over_steps.add(name)
            self._log({**metrics, **({} if step is None else {_STEP: step})})

        self._try(log)

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Log hyperparameters if W&B still answers."""
        self._try(lambda: super(WandbRunLogger, self).log_hyperparams(params))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Finish W&B's run if all went well; the status of one that failed is known to `finish_runs`."""
        if status == "success":
            self.finish(0)

    @rank_zero_only
    def finish(self, exit_code: int) -> None:
        """Finish W&B's run and say where it is; later calls do nothing.

        Args:
            exit_code: of the run; W&B calls it failed unless it is 0.
        """
        if self not in _begun:
            return
        _begun.remove(self)
        run, where = self._experiment, self.where
        assert run is not None

        def end() -> None:
            try:
                run.finish(exit_code=exit_code)
            except TimeoutError:
                rest = self._upload_command(run.sync_dir, "--include-online")
                rank_zero_warn(f"W&B did not take everything in time; to upload it again: {rest}")

        self._try(end)
        if where is not None:
            rank_zero_info(f"W&B: {where}")

    def _upload_command(self, files: str | Path, *options: str) -> str:
        command = shlex.join(["wandb", "sync", *options, os.path.relpath(files)])
        # without it a later piece would replace the one before
        return f"WANDB_RESUME=allow {command}" if self._is_resumed else command

    def _begin(self) -> None:
        """Begin W&B's run, or continue that of the run folder; never raise."""
        _begun.append(self)
        mode, kept = decide_mode(self._wanted), self._kept()
        if mode.name == "disabled":
            self._give_up(f"W&B: disabled ({mode.reason})", rank_zero_info)
            return
        # that of a sweep's trial comes first
        self._id = self._wandb_init["id"] = _settings().run_id or kept.get("id")
        self._wandb_init["name"] = kept.get("name") or self._name
        try:
            self._start(mode)
        except Exception as error:
            rank_zero_warn(f"W&B cannot be reached, this run is logged offline: {_reason(error)}")
            mode = Mode("offline", "the server could not be reached")
            try:
                # else the id is still in use
                wandb.teardown()
                _settings()
                self._start(mode)
            except Exception as other:
                self._give_up(f"W&B cannot be used, the run goes on without it: {_reason(other)}", rank_zero_warn)
                return
        self._keep(kept)
        rank_zero_info(f"W&B: {mode.name} ({mode.reason}): {self.where}")

    def _give_up(self, why: str, tell: Callable[[str], None]) -> None:
        self._lost, self._experiment = True, _NoRun()
        tell(why)

    def _start(self, mode: Mode) -> None:
        """Start it, and tell W&B what its figures are drawn over."""
        self._drop_empty_pieces()
        words = sys.argv
        try:
            # W&B shows them
            sys.argv = without_credentials(words)
            run = wandb.init(**{**self._wandb_init, "mode": mode.name})
        finally:
            sys.argv = words
        # no pattern that matches more than one of these: W&B picks any of those that match
        run.define_metric("round")
        # the summary of a run holds what it ended with, and the last round is made before the last training
        run.define_metric("round/*", step_metric="round", summary="none")
        run.define_metric("candidates", step_metric="round")
        run.define_metric("final/*", step_metric="round")
        self._experiment, self._over_steps = run, set()
        _pieces.add(Path(run.sync_dir).name)

    def _drop_empty_pieces(self) -> None:
        """Remove what processes left that were killed before wandb wrote a record: `wandb sync` ends at such a file."""
        for file in (self._folder / "wandb").glob("offline-run-*/*.wandb"):
            if file.parent.name not in _pieces and file.stat().st_size <= _EMPTY:
                file.unlink()

    def _kept(self) -> dict[str, Any]:
        """What `wandb.json` says of W&B's run; empty in a new folder, and where the file is damaged."""
        try:
            kept = json.loads((self._folder / KEPT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def _keep(self, before: Mapping[str, Any]) -> None:
        """Write `wandb.json`, and make sure that an offline piece of the run continues those before it."""
        run = self._experiment
        assert run is not None
        starts: int = before.get("starts", 0) if before.get("id") == run.id else 0
        self._is_resumed = starts > 0
        self._next_step = starts * _PIECE if self._is_resumed and run.offline else None
        names = {"id": run.id, "name": run.name, "entity": run.entity, "project": run.project}
        write_json_atomic(self._folder / KEPT, {**names, "url": None if run.offline else run.url, "starts": starts + 1})

    def _log(self, values: dict[str, Any]) -> None:
        if self._next_step is None:
            self.experiment.log(values)
        else:
            self.experiment.log(values, step=self._next_step, commit=True)
            self._next_step = None

    def _try(self, call: Callable[[], None]) -> None:
        if self._lost:
            return
        try:
            if self.experiment.id is not None:
                call()
        except Exception as error:
            self._lost = True
            rank_zero_warn(
                f"W&B no longer answers, the run goes on without it: {type(error).__name__}: {_reason(error)}"
            )


class _NoRun:
    """Stands where W&B's run would; the logger uses nothing else of it."""

    id, disabled = None, True


def _settings(**own: Any) -> wandb.Settings:
    """Settings of wandb in this process, in which it prints nothing."""
    return wandb.setup(wandb.Settings(silent=True, **own)).settings


def _for_wandb(value: Any) -> Any:
    """The value as wandb's types."""
    if isinstance(value, Histogram):
        return wandb.Histogram(np_histogram=np.histogram(value.values, bins=64))  # as many as its own
    if isinstance(value, Table):
        rows = [[wandb.Image(one) if isinstance(one, Image) else one for one in row] for row in value.rows]
        return wandb.Table(columns=list(value.columns), data=rows, allow_mixed_types=True)
    return value


def _reason(error: Exception) -> str:
    """The reason of an error in one line, without the value that pydantic shows, which may be a key."""
    text = " ".join(str(error).split()).partition(" [type=")[0]
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…"
