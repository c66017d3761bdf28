"""Where the runs of a sweep's trials lie: `<root>/sweeps/<sweep>/<trial>/version_<n>`. Imports no framework."""

import os
import re
from pathlib import Path

# in the folder of all runs
SWEEPS = "sweeps"
# two names of folders
_TRIAL = re.compile(r"(?!\.)[\w.-]+/(?!\.)[\w.-]+")


def require_trial(option: str, trial: str | None) -> None:
    """Refuse what is neither null nor SWEEP/TRIAL.

    Raises:
        ValueError: naming the option.
    """
    if trial is not None and not _TRIAL.fullmatch(trial):
        raise ValueError(f"{option} must be SWEEP/TRIAL, names of letters, digits, _, - and ., not {trial!r}")


def agents_trial() -> str | None:
    """The trial that `wandb agent` has started this process for; None outside of an agent."""
    sweep, trial = os.environ.get("WANDB_SWEEP_ID"), os.environ.get("WANDB_RUN_ID")
    return f"{sweep}/{trial}" if sweep and trial else None


def name_of_run(folder: Path) -> str:
    """The name of the experiment that a run folder belongs to, or SWEEP/TRIAL."""
    home = folder.resolve().parent
    return f"{home.parent.name}/{home.name}" if home.parent.parent.name == SWEEPS else home.name
