"""Offline runs of W&B, as wandb's own reader reads them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def offline_records(home: Path) -> list[dict[str, Any]]:
    """All records of an offline run, in the order in which they were written.

    Args:
        home: W&B's folder of the run, `offline-run-<date>-<id>`.
    """
    (file,) = home.glob("*.wandb")
    words = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def offline_history(home: Path) -> list[dict[str, Any]]:
    """Rows of the run's history."""
    return list(_of_kind(home, "history", "item"))


def offline_summary(home: Path) -> dict[str, Any]:
    """The run's summary."""
    return {name: value for update in _of_kind(home, "summary", "update") for name, value in update.items()}


def exit_code_of(home: Path) -> int | None:
    """The status that the run was finished with; None if it was not."""
    return next((one["exit"].get("exit_code", 0) for one in offline_records(home) if one["type"] == "exit"), None)


def _of_kind(home: Path, kind: str, part: str) -> Iterator[dict[str, Any]]:
    return (one[kind][part] for one in offline_records(home) if one["type"] == kind and part in one[kind])
