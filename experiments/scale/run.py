"""Time and memory of each stage at some sizes, and what they say about a larger one."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from rich.table import Table

from experiments.scale.stages import STAGES
from experiments.scale.stub import PER_IMAGE
from lightning_c3l.report.progress import stage

Phases = dict[str, dict[str, float]]
# sizes that are measured at once, on a core each
_AT_ONCE = 2


def run_scale(
    candidates: Sequence[int], target: int, keep: Callable[[dict[str, Any]], object] = lambda _: None
) -> dict[str, Any]:
    """Measure all stages at some sizes, each in a process of its own.

    Args:
        candidates: two sizes or more, ascending; multiples of the candidates of an image.
        target: size to extrapolate to.
        keep: called with what has been measured so far after each stage.

    Returns:
        `measured`: by size, stage and phase, `seconds`, `cpu_seconds` and `peak_bytes` of the process; `extrapolated`:
        the same at `target` on the straight line through the two largest sizes; `bytes`: of each written file by size.

    Raises:
        ValueError: a stage failed.
    """
    measured: dict[int, dict[str, Phases]] = {count: {} for count in candidates}
    sizes, lock = dict[int, dict[str, int]](), Lock()
    found: dict[str, Any] = {"measured": measured, "target": target, "bytes": sizes}

    with stage("bench-scale", "stages", len(candidates) * len(STAGES)) as progress:

        def measure_size(count: int) -> None:
            with tempfile.TemporaryDirectory(prefix="c3l-scale-") as name:
                for one in STAGES:
                    phases = _in_child(one, Path(name), count // PER_IMAGE)
                    with lock:
                        measured[count][one] = phases
                        progress.update()
                        keep(found)
                files = (file for file in Path(name).rglob("*") if file.is_file())
                written = {str(file.relative_to(name)): file.stat().st_size for file in files}
                with lock:  # another thread may be writing what was found
                    sizes[count] = written

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            # the largest takes as long as all others together
            list(pool.map(measure_size, sorted(candidates, reverse=True)))
    small, large = candidates[-2:]
    steps = (target - large) / (large - small)
    found["extrapolated"] = {one: _line(measured[small][one], measured[large][one], steps) for one in STAGES}
    keep(found)
    return found


def _in_child(name: str, folder: Path, images: int) -> Phases:
    words = [sys.executable, "-m", "experiments.scale.stages", name, str(folder), str(images)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"bench-scale: stage {name!r} failed: {done.stderr.strip()[-500:]}")
    found: Phases = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _line(small: Phases, large: Phases, steps: float) -> Phases:
    """The figures of each phase on the line through two sizes, as many of their distances beyond the larger one."""
    return {
        phase: {name: value + (value - small[phase][name]) * steps for name, value in own.items()}
        for phase, own in large.items()
    }


def scale_table(found: dict[str, Any]) -> Table:
    """The figures for the terminal: CPU seconds and peak memory of each phase, by size."""
    sizes = {f"{count:,}": own for count, own in found["measured"].items()}
    sizes[f"{found['target']:,} (extrapolated)"] = found["extrapolated"]
    table = Table("stage", "phase", title="CPU seconds, and peak memory of the process", title_justify="left")
    for name in sizes:
        table.add_column(name, justify="right")
    for one in STAGES:
        for phase in next(iter(sizes.values()))[one]:
            cells = (own[one][phase] for own in sizes.values())
            table.add_row(one, phase, *(f"{c['cpu_seconds']:,.1f} s {c['peak_bytes'] / 1e6:,.0f} MB" for c in cells))
    return table
