"""The trials of a table: first rounds that are stored once, then trainings on them, a few at a time."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from experiments.recipe.measuring import MEASURED
from experiments.recipe.protocol import Protocol
from experiments.recipe.table import Options, Table, nested, writing_options
from experiments.sweeps.running import run_trials
from experiments.sweeps.trials import Trial, TrialProcess
from lightning_c3l.lvlm.hub import resolve
from lightning_c3l.report.progress import Stage, stage
from lightning_c3l.report.text import number, printable
from lightning_c3l.runs import lock, manifest
from lightning_c3l.runs.atomic import write_text_atomic
from lightning_c3l.runs.digests import content_digest, file_digest
from lightning_c3l.runs.trials import SWEEPS, require_trial
from lightning_c3l.runs.weight_files import weights_digest

_FIT = (sys.executable, "-m", "lightning_c3l", "fit")
# what a trial adds to the experiment, in its folder
_OVERLAY = "overlay.yaml"


@dataclass(frozen=True)
class Look:
    """A look at recipes.

    Attributes:
        stage: name of the stage of the protocol.
        rows: names of the rows, the baseline among them.
        seeds: of the trials.
        workers: trials at a time.
    """

    stage: str
    rows: Sequence[str]
    seeds: Sequence[int]
    workers: int = 1


class Recipes:
    """The folder of a table, `<root>/sweeps/<name>`.

    Args:
        table: rows of options.
        protocol: seeds, images and what is measured.
        root: folder of all runs.
        name: of the folder; that of the table unless given.

    Raises:
        ValueError: the folder is in use, or was created with another experiment, starting model or protocol.
    """

    def __init__(self, table: Table, protocol: Protocol, root: Path, name: str | None = None) -> None:
        self.table, self.protocol, self.root, self.name = table, protocol, root, name or table.name
        require_trial("--name and the name of a row", f"{self.name}/{table.baseline}")
        self.folder = root / SWEEPS / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(self.folder, {"verb": "recipe"}, "--name")
        made_with = {"experiment": file_digest(table.experiment), "rounds": dict(table.rounds), **asdict(protocol)}
        file = self.folder / "manifest.json"
        if not file.is_file() or "model" in manifest.read(file):  # the first folders do not name it
            made_with["model"] = _starting_model(table.experiment)
        # as the file gives it back
        manifest.begin(file, json.loads(json.dumps(made_with)), "choose another --name")

    def trial(self, row: str, seed: int) -> Trial:
        """The trial of a row and a seed, as far as it is."""
        return self._known(f"{row}-seed{seed}", {"row": row, "seed": seed})

    def first_round(self, row: str, seed: int) -> Trial:
        """The run that makes the first round of a row and a seed, which other rows may share."""
        writing = writing_options(self.table.rows[row])
        digest = content_digest(json.dumps(writing, sort_keys=True), size=4)
        return self._known(f"round0-{digest}-seed{seed}", {"writing": writing, "seed": seed})

    def with_earlier(self, look: Look) -> Look:
        """A look with all rows and seeds of its stage that have been run before: no table leaves out what was tried."""
        seeds = self.protocol.stage(look.stage).chosen(None)
        tried = [(row, seed) for row in self.table.rows for seed in seeds if self.trial(row, seed).status != "waiting"]
        rows, of_rows = {*look.rows, *(row for row, _ in tried)}, {*look.seeds, *(seed for _, seed in tried)}
        return replace(
            look,
            rows=[row for row in self.table.rows if row in rows],
            seeds=[seed for seed in seeds if seed in of_rows],
        )

    def run(self, look: Look, stopped: Callable[[], None] = lambda: None) -> None:
        """Run what has not finished: first rounds, then trials. One that failed starts over, and ends nothing else.

        Args:
            look: which of them.
            stopped: called where the program is told to stop, before it ends.

        Raises:
            ValueError: a row has other options than its finished or interrupted trial.
        """
        rounds = dict[str, Trial]()
        for seed in look.seeds:
            for row in look.rows:
                rounds.setdefault((one := self.first_round(row, seed)).name, one)
        shown = self.with_earlier(look)
        for trial in (self.trial(row, seed) for seed in shown.seeds for row in shown.rows):
            self._require_same(trial, self.overlay(trial, look.stage))
        trials = [self.trial(row, seed) for seed in look.seeds for row in look.rows]
        waiting = [one for one in (*rounds.values(), *trials) if one.status != "finished"]
        everything = len(rounds) + len(trials)
        if done := everything - len(waiting):
            print(f"{done} of {everything} runs have finished before", flush=True)
        with stage(f"recipes, {look.stage}", "runs", everything, done) as progress:
            self._run_all([one for one in rounds.values() if one in waiting], look, progress, stopped)
            failed = self._without_round(trials, rounds)
            progress.update(len(failed))
            self._run_all([one for one in trials if one in waiting and one not in failed], look, progress, stopped)
        for trial in failed:
            print(f"{trial.name}: {trial.reason}", flush=True)

    def measured(self, trial: Trial) -> dict[str, Any] | None:
        """What was measured in a finished trial."""
        file = trial.run_folder / MEASURED if trial.run_folder else None
        if trial.status != "finished" or file is None or not file.is_file():
            return None
        return manifest.read(file)

    def _known(self, name: str, values: dict[str, Any]) -> Trial:
        trial = Trial(self.folder / name, values)
        trial.read()
        return trial

    def _without_round(self, trials: Sequence[Trial], rounds: Mapping[str, Trial]) -> list[Trial]:
        """Trials that cannot run, for their first round has failed; they say so."""
        out = list[Trial]()
        for trial in trials:
            made = rounds[self.first_round(trial.values["row"], trial.values["seed"]).name]
            if trial.status != "finished" and made.status != "finished":
                trial.status, trial.reason = "failed", f"its first round ({made.name}): {made.reason or made.status}"
                out.append(trial)
        return out

    def _run_all(self, trials: Sequence[Trial], look: Look, progress: Stage, stopped: Callable[[], None]) -> None:
        def start(trial: Trial, environment: Mapping[str, str]) -> TrialProcess:
            write_text_atomic(trial.folder / _OVERLAY, self.overlay(trial, look.stage))
            return TrialProcess(trial, self.command(trial), environment)

        def told(trial: Trial, left: int) -> None:
            print(printable(f"{trial.name}: {self._told(trial)}; {trial.seconds:.0f} s", 1000), flush=True)
            progress.update()

        run_trials(trials, look.workers, start, told, stopped)

    def _told(self, trial: Trial) -> str:
        if trial.status != "finished":
            return trial.outcome
        measured = self.measured(trial) if "row" in trial.values else None
        if measured is None:
            return "stored"
        right, count = (sum(values[k] for values in measured["sums"]["truth"].values()) for k in (0, 1))
        return f"truth {number(right / count if count else None, 3)}"

    def command(self, trial: Trial) -> list[str]:
        """The words that run a trial or a first round, whose overlay is written."""
        seed = trial.values["seed"]
        words = [*_FIT, "--config", str(self.table.experiment), "--config", str(trial.folder / _OVERLAY)]
        words += [f"--run.root={self.root}", f"--run.trial={self.name}/{trial.name}", "--run.wandb=null"]
        words.append(f"--seed_everything={seed}")
        if "row" in trial.values:
            words.append(f"--i2c.reuse={self.first_round(trial.values['row'], seed).run_folder}")
        if trial.status == "interrupted":
            words.append("--ckpt_path=last")
        return words

    def overlay(self, trial: Trial, stage_name: str) -> str:
        """What a trial or a first round adds to the experiment, as YAML.

        A first round writes without training; the starting model is measured where the baseline's round is made.
        """
        measures = self._measures(stage_name)
        if "row" in trial.values:
            return _dumped({**self.table.rows[trial.values["row"]], **measures})
        writing = trial.values["writing"]
        is_baseline = writing == writing_options(self.table.rows[self.table.baseline])
        return _dumped({**writing, **self.table.rounds, **(measures if is_baseline else {}), "trainer.max_epochs": 0})

    def _measures(self, stage_name: str) -> dict[str, Any]:
        """The callback that measures, as an option."""
        options = {"images": self.protocol.stage(stage_name).images, "config": asdict(self.protocol.measure)}
        callback = {"class_path": "experiments.recipe.measuring.TrialMeasures", "init_args": options}
        return {"trainer.callbacks": [callback]}

    def _require_same(self, trial: Trial, overlay: str) -> None:
        file = trial.folder / _OVERLAY
        is_kept = trial.status in ("finished", "interrupted") and file.is_file()
        if is_kept and file.read_text(encoding="utf-8") != overlay:
            raise ValueError(
                f"{trial.folder}: the row {trial.values['row']} had other options when this was made: give the row "
                "another name, or remove the folder"
            )


def _starting_model(experiment: Path) -> str:
    """Digest of the weights that an experiment starts from; unknown where they are in no folder."""
    try:
        config = yaml.safe_load(experiment.read_text(encoding="utf-8"))
        path = str(config["model"]["init_args"]["lvlm"]["init_args"]["path"])
    except (LookupError, TypeError, yaml.YAMLError):  # which its trials will say
        return manifest.UNKNOWN
    files = sorted(Path(resolve(path)).glob("*.safetensors"))
    return weights_digest(files) if files else manifest.UNKNOWN


def _dumped(options: Options) -> str:
    return yaml.safe_dump(nested(options), sort_keys=False)
