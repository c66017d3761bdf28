"""Peak memory of scoring above the loaded model, each implementation in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import torch

from experiments.speed.models import PlainLVLM, Workload, build_llava
from experiments.speed.shapes import SHAPES
from experiments.speed.timing import process_memory, reset_peak_memory
from lightning_c3l.lvlm.huggingface.loading import Precision
from lightning_c3l.rounds.scoring import score_pairs


def peak_bytes(implementation: str, folder: Path, shape: str, dtype: Precision, device: str) -> int:
    """Score in a child process and return its peak memory.

    Args:
        implementation: `shared` or `plain`.
        folder: of the checkpoint, which is written if there is none.
        shape: name of a shape in `SHAPES`.
        dtype: of the weights.
        device: cpu or cuda.

    Returns:
        Bytes above the model at rest.

    Raises:
        ValueError: the child process failed.
    """
    words = [sys.executable, "-m", "experiments.speed.memory", implementation, str(folder), shape, dtype, device]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"bench: cannot measure the memory of {implementation!r}: {done.stderr.strip()[-300:]}")
    return int(json.loads(done.stdout.strip().splitlines()[-1]))


def _peak_in_this_process(implementation: str, folder: str, shape: str, dtype: Precision, device: str) -> int:
    on, cuda = torch.device(device), device == "cuda"
    lvlm = build_llava(Path(folder), SHAPES[shape], dtype, on)
    plain, load = PlainLVLM(lvlm), Workload.random(SHAPES[shape])

    def score(images: int, candidates: int) -> None:
        part = Workload(load.images[:images], [pairs[:candidates] for pairs in load.pairs[:images]])
        if implementation == "shared":
            score_pairs(lvlm, part.images, part.pairs)
        else:
            plain.score(part, candidates, head_on_answers=False)

    score(1, 1)  # loads kernels and buffers
    if cuda:
        torch.cuda.reset_peak_memory_stats(on)
        rest = torch.cuda.memory_allocated(on)
    else:
        reset_peak_memory()
        rest = process_memory("VmRSS")
    score(len(load.images), len(load.pairs[0]))
    return (torch.cuda.max_memory_allocated(on) if cuda else process_memory("VmHWM")) - rest


if __name__ == "__main__":
    print(json.dumps(_peak_in_this_process(*sys.argv[1:])))  # type: ignore[arg-type]
