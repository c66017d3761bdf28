"""A sweep without W&B: its trials one after the other, or a few at a time; the same command goes on with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.sweeps.command import trial_command
from experiments.sweeps.running import run_trials
from experiments.sweeps.sweep_file import Sweep
from experiments.sweeps.trials import Trial, TrialProcess, value_text
from lightning_c3l.report.text import number, printable
from lightning_c3l.runs import lock, manifest
from lightning_c3l.runs.trials import SWEEPS, require_trial


@dataclass(frozen=True)
class WalkPlan:
    """What a walk makes.

    Attributes:
        name: of the sweep's folder, `<root>/sweeps/<name>`.
        root: folder of all runs.
        count: number of trials; None for those of the file.
        seed: of what is drawn.
        workers: trials at a time.
    """

    name: str
    root: Path
    count: int | None
    seed: int
    workers: int

    @property
    def folder(self) -> Path:
        """Folder of the sweep."""
        return self.root / SWEEPS / self.name


class Walk:
    """The trials of a sweep.

    Args:
        sweep: the file.
        plan: which of them, and how.
        ended: called after each trial.

    Raises:
        ValueError: if the folder is in use or holds another sweep, or the command has an unknown macro.
    """

    def __init__(self, sweep: Sweep, plan: WalkPlan, ended: Callable[[], None] = lambda: None) -> None:
        self.sweep, self.plan, self.ended = sweep, plan, ended
        require_trial("--name and the number of a trial", f"{plan.name}/0000")
        values = sweep.trials(plan.count, plan.seed)
        trial_command(sweep.command, sweep.program, values[0])
        plan.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(plan.folder, {"verb": "sweep-local"}, "--name")
        manifest.begin(plan.folder / "manifest.json", self._made_with(), "choose another --name")
        self.trials = [Trial(plan.folder / f"{index:04d}", own) for index, own in enumerate(values)]
        for trial in self.trials:
            trial.read()

    def run(self) -> None:
        """Run all trials that have not finished; a failed one is tried again, and ends nothing but itself."""
        waiting = [trial for trial in self.trials if trial.status != "finished"]
        if done := len(self.trials) - len(waiting):
            print(f"{done} of {len(self.trials)} trials have finished before", flush=True)
        seconds = list[float]()

        def told(trial: Trial, left: int) -> None:
            seconds.append(trial.seconds)
            self._tell(trial, seconds, left)
            self.ended()

        run_trials(waiting, self.plan.workers, self._start, told, self.ended)

    def metric(self, trial: Trial) -> float | None:
        """What is optimised; None for a trial that has none."""
        return trial.figures.get(self.sweep.figure)

    def best_first(self) -> list[Trial]:
        """Trials with a figure from the best down, then the others in their order."""
        sign = -1.0 if self.sweep.goal == "maximize" else 1.0
        ranked = [(value, trial) for trial in self.trials if (value := self.metric(trial)) is not None]
        ranked.sort(key=lambda one: sign * one[0])
        return [*(trial for _, trial in ranked), *(trial for trial in self.trials if self.metric(trial) is None)]

    def _made_with(self) -> dict[str, Any]:
        """What the values and the runs of all trials depend on."""
        parameters = {one.name: {"distribution": one.distribution, **one.settings} for one in self.sweep.parameters}
        return {
            "grid": self.sweep.method == "grid",
            "seed": self.plan.seed,
            "command": [*self.sweep.command, self.sweep.program],
            "parameters": parameters,
        }

    def _start(self, trial: Trial, environment: Mapping[str, str]) -> TrialProcess:
        words = trial_command(self.sweep.command, self.sweep.program, trial.values)
        own = [f"--run.root={self.plan.root}", f"--run.trial={self.plan.name}/{trial.name}", "--run.wandb=null"]
        if trial.status in ("interrupted", "failed"):
            own.append("--ckpt_path=last")
        return TrialProcess(trial, [*words, *own], environment)

    def _tell(self, trial: Trial, seconds: list[float], left: int) -> None:
        """Print a line about a trial that has ended, and about how long the others will take by those before."""
        values = ", ".join(f"{name}={value_text(value)}" for name, value in self.sweep.flat(trial.values).items())
        told = f"{len(self.trials) - left}/{len(self.trials)} trial {trial.name}: {values}: "
        if trial.status == "finished":
            told += f"{self.sweep.figure} {number(self.metric(trial), 4)}"
        else:
            told += trial.outcome
        told += f"; {trial.seconds:.0f} s"
        if left:
            about = sum(seconds) / len(seconds) * left / min(self.plan.workers, left)
            told += f"; about {about / 60:.0f} min left" if about >= 90 else f"; about {about:.0f} s left"
        print(printable(told, 1000), flush=True)
