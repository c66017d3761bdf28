"""Processes that run the stages, a few at a time."""

import sys
from collections.abc import Mapping, Sequence

from experiments.sweeps.running import run_trials
from experiments.sweeps.trials import Trial, TrialProcess
from experiments.two_by_two.plan import NONE, SETS
from experiments.two_by_two.run import WRITERS, Experiment
from lightning_c3l.report.progress import stage

# models of a seed in one process: with one each the imports of the frameworks would cost more than the models
_HALVES = (SETS[: len(SETS) // 2], SETS[len(SETS) // 2 :])
# a seed, and stages of it that one process runs
_Group = tuple[int, Sequence[str]]


def run_stages(experiment: Experiment, seeds: Sequence[int], workers: int) -> None:
    """Run all stages that are not finished: the writers of all seeds, then the models.

    Args:
        experiment: its run folder exists.
        seeds: of the stages.
        workers: processes at a time; they share the cores.

    Raises:
        ValueError: a process failed; those beside it have gone on to their end.
    """
    writers: list[_Group] = [(seed, (WRITERS,)) for seed in seeds]
    models: list[_Group] = [(0, (NONE,)), *((seed, half) for seed in seeds for half in _HALVES)]
    made = [experiment.is_made(seed, name) for seed, names in (*writers, *models) for name in names]
    failed = list[Trial]()
    with stage("two-by-two", "stages", len(made), sum(made)) as progress:

        def start(job: Trial, environment: Mapping[str, str]) -> TrialProcess:
            words = [sys.executable, "-m", "experiments.two_by_two", str(experiment.out), str(job.values["seed"])]
            return TrialProcess(job, [*words, *job.values["stages"]], environment)

        def ended(job: Trial, left: int) -> None:
            print(f"{job.name}: {job.status}; {job.seconds:.0f} s", flush=True)
            progress.update(len(job.values["stages"]))
            if job.status != "finished":
                failed.append(job)

        for groups in (writers, models):
            run_trials(_jobs(experiment, groups), workers, start, ended)
            if failed:
                raise ValueError(
                    f"{failed[0].folder}: {failed[0].reason or failed[0].status}; log.txt there says more, and the "
                    "same command goes on"
                )


def _jobs(experiment: Experiment, groups: Sequence[_Group]) -> list[Trial]:
    """A process for each group of stages that has missing ones, and for these alone."""
    out = list[Trial]()
    for seed, names in groups:
        if missing := [name for name in names if not experiment.is_made(seed, name)]:
            folder = experiment.out / "jobs" / f"seed-{seed}-{missing[0]}"
            out.append(Trial(folder, {"seed": seed, "stages": missing}))
    return out
