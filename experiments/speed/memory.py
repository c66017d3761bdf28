"""Peak memory of scoring above the loaded model, each way in a process of its own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import torch

from experiments.speed.models import PlainLVLM, build, work
from experiments.speed.shapes import SHAPES
from lightning_c3l.lvlm.huggingface.loading import Precision
from lightning_c3l.rounds.scoring import score_pairs


def peak_bytes(way: str, folder: Path, shape: str, dtype: Precision, device: str) -> int:
    """Run one way of scoring in a child process and ask it for its peak."""
    words = [sys.executable, "-m", "experiments.speed.memory", way, str(folder), shape, dtype, device]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"bench: the memory of {way!r} could not be measured: {done.stderr.strip()[-300:]}")
    return int(json.loads(done.stdout.strip().splitlines()[-1]))


def _child(way: str, folder: str, shape: str, dtype: Precision, device: str) -> int:
    """Peak of the second of two runs above the model at rest, in bytes; the first loads kernels and buffers."""
    on = torch.device(device)
    lvlm = build(Path(folder), SHAPES[shape], dtype, on)
    plain, load = PlainLVLM(lvlm), work(SHAPES[shape])
    small = work(SHAPES[shape])
    small = type(small)(small.images[:1], [small.pairs[0][:1]])

    def run(what: type(load)) -> None:  # type: ignore[valid-type]
        if way == "shared":
            score_pairs(lvlm, what.images, what.pairs)
        else:
            plain.score(what, len(what.pairs[0]), keep=False)

    run(small)
    rest = _reset(on)
    run(load)
    return _peak(on) - rest


def _reset(device: torch.device) -> int:
    """Start a new high-water mark; memory in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


def _status(name: str) -> int:
    """A figure of this process from the kernel, in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"/proc/self/status has no {name}")
    return 1024 * int(found[1])


if __name__ == "__main__":
    print(json.dumps(_child(*sys.argv[1:])))  # type: ignore[arg-type]
