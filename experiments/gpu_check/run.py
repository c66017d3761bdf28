"""All checks one after another, each in a process of its own and within its time; the table and the file of them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from experiments.gpu_check.checks import CHECKS, Check
from lightning_c3l.distributed.messages import inform
from lightning_c3l.runs.atomic import write_json_atomic


def run_checks(
    names: Sequence[str], device: str, families: Sequence[str], seconds: float, file: Path
) -> dict[str, dict[str, Any]]:
    """Run checks and write all that is known to a file after each.

    Args:
        names: of the checks.
        device: cpu or cuda.
        families: of the checks of families; empty for those of `make test`.
        seconds: for all of them together.
        file: JSON file.

    Returns:
        For each check its `status` (ok, failed, not run or out of time), `seconds`, and the fields of `Outcome`.
    """
    start, found = time.perf_counter(), dict[str, dict[str, Any]]()
    for number, name in enumerate(names, start=1):
        inform(f"[{number}/{len(names)}] {name}")
        begun = time.perf_counter()
        result = _run(CHECKS[name], device, families, seconds - (begun - start))
        found[name] = {"seconds": round(time.perf_counter() - begun, 1), **result}
        write_json_atomic(file, {"device": device, "seconds": time.perf_counter() - start, "checks": found})
    return found


def _run(check: Check, device: str, families: Sequence[str], left: float) -> dict[str, Any]:
    if check.gpu_only and device != "cuda":
        return {"status": "not run", "not_run": "needs a GPU"}
    if left < 1:
        return {"status": "out of time", "problems": ["the time of all checks was used up"]}
    limit = min(check.seconds, left)
    with tempfile.TemporaryDirectory(prefix="c3l-gpu-check-") as folder:
        result = Path(folder, "result.json")
        words = [sys.executable, "-m", "experiments.gpu_check.child", str(result), check.name, device, *families]
        # a group of its own: what the check started itself is stopped with it
        process = subprocess.Popen(words, start_new_session=True)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            return {"status": "out of time", "problems": [f"stopped after {limit:.0f} s"]}
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if not result.exists():
            return {"status": "failed", "problems": [f"its process ended with status {status}"]}
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found


def table(found: dict[str, dict[str, Any]]) -> Table:
    """One row for each check."""
    out = Table("check", "status", "s", "what was found")
    for name, one in found.items():
        out.add_row(name, one["status"], f"{one['seconds']:.0f}", "\n".join(_lines(one)))
    return out


def _lines(one: dict[str, Any]) -> Iterator[str]:
    """What a check says, and what is wrong."""
    yield from (text for text in (one.get("summary", ""), one.get("not_run", "")) if text)
    yield from one.get("problems", [])


def has_failed(found: dict[str, dict[str, Any]]) -> bool:
    """Whether a check has failed or was out of time."""
    return any(one["status"] in ("failed", "out of time") for one in found.values())
