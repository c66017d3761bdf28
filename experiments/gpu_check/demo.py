"""The demonstration on the GPU, by the command that a user types."""

import json
import subprocess
import sys
import time
from typing import Any

from experiments.gpu_check.checks import Outcome, Setting

# what experiments/demo_corners.yaml expects
_AUROC, _TRUTH_GAIN = 0.80, 0.10


def check_demo(setting: Setting) -> Outcome:
    """Two rounds of C3L on the corners; the measures of its notebook entry must hold."""
    words = [sys.executable, "-m", "lightning_c3l", "fit", "--config", "experiments/demo_corners.yaml"]
    words += ["--run.root", str(setting.folder), "--run.wandb", "null"]
    words += ["--trainer.accelerator", "gpu", "--trainer.devices", "1"]
    start = time.perf_counter()
    done = subprocess.run(words, check=False, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    if done.returncode:
        return Outcome("", [f"fit ended with status {done.returncode}"])
    summary = json.loads((setting.folder / "demo-corners" / "version_0" / "summary.json").read_text(encoding="utf-8"))
    return judge(summary, seconds)


def judge(summary: dict[str, Any], seconds: float) -> Outcome:
    """Compare a summary of the demonstration with what it must reach."""
    auroc, writers = summary["i2c_auroc"]["answer"], summary["writers"]
    gain = writers["tuned"]["truth_rate"] - writers["base"]["truth_rate"]
    problems = []
    if not auroc >= _AUROC:
        problems.append(f"AUROC {auroc:.3f} is below {_AUROC}")
    if not gain >= _TRUTH_GAIN:
        problems.append(f"the truth of written pairs rose by {gain:.3f} only")
    figures = {"minutes": seconds / 60, "auroc": auroc, "truth_gain": gain}
    return Outcome(f"{seconds / 60:.1f} min, AUROC {auroc:.3f}, truth {gain:+.3f}", problems, figures)
