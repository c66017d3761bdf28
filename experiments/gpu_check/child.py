"""One check in this process: `python -m experiments.gpu_check.child RESULT NAME DEVICE [FAMILY ...]`.

RESULT is the JSON file that is written. The folder beside it of the same name is the check's; whoever starts this
process removes both, since it may be killed.
"""

import os
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from experiments.gpu_check.checks import CHECKS, Outcome, Setting
from experiments.gpu_check.tiny_families import enable_torchvision
from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.runs.atomic import write_json_atomic


def run_check(name: str, setting: Setting) -> Outcome:
    """Run a check; an error is one of its problems."""
    module, function = CHECKS[name].function.split(":")
    try:
        found: Outcome = getattr(import_module(f"experiments.gpu_check.{module}"), function)(setting)
    except Exception as error:
        found = Outcome("", [f"{type(error).__name__}: {str(error).strip()[:500]}"])
    return found


if __name__ == "__main__":
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # before Lightning, whose imports look for torchvision too
    enable_torchvision()
    quieten()
    result, check, device, *families = sys.argv[1:]
    folder = Path(result).with_suffix("")
    folder.mkdir()
    outcome = run_check(check, Setting(device, tuple(families), folder))
    write_json_atomic(Path(result), {"status": outcome.status, **asdict(outcome)})
