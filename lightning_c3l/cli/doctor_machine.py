"""For `doctor`: devices, memory, disks, and Hugging Face's folder."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lightning_c3l.cli.errors import os_reason
from lightning_c3l.cli.finding import Finding
from lightning_c3l.runs.atomic import require_writable

# what programs can still get, as Linux estimates it, and what its container allows
MEMORY, LIMIT = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
_GIB = 2**30
# of a demonstration on the embedded world, of a run of some rounds, and of a checkpoint of 7 B in half precision
_DEMO_MEMORY, _RUN_DISK, _CHECKPOINT_DISK = 3 * _GIB, 2 * _GIB, 16 * _GIB


def devices() -> Iterator[Finding]:
    """CPU cores, and each GPU that PyTorch can use."""
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("CPU", "ok", f"{usable} of {os.cpu_count()} cores, {torch.get_num_threads()} threads in PyTorch")
    if torch.backends.mps.is_available():
        yield Finding("GPU", "ok", "Apple's, through MPS")
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = f"{torch.cuda.get_device_name(number)}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
        is_free = free > total / 2
        todo = "" if is_free else "another program uses it: nvidia-smi lists them; CUDA_VISIBLE_DEVICES chooses GPUs"
        yield Finding(f"GPU {number}", "ok" if is_free else "note", name, todo)
    if not torch.cuda.device_count() and not torch.backends.mps.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        todo = "the embedded worlds and small models run on the CPU"
        if shutil.which("nvidia-smi"):
            todo = "this machine has NVIDIA's driver: check nvidia-smi, and install a torch that is built for its CUDA"
        yield Finding("GPU", "note", f"none that can be used; PyTorch is built {built}", todo)


def memory() -> Iterator[Finding]:
    """Main memory, or what a container allows of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        total = min(total, int(LIMIT.read_text(encoding="ascii")))
    available = total
    with suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", MEMORY.read_text(encoding="ascii"), re.MULTILINE)
        available = min(total, int(found[1]) * 1024) if found else total
    text = f"{total / _GIB:.1f} GiB, {available / _GIB:.1f} GiB available"
    if available < _DEMO_MEMORY:
        yield Finding("memory", "note", text, "the demonstration takes 3 GB: end other programs first")
    else:
        yield Finding("memory", "ok", text)


def disk(runs: Path) -> Iterator[Finding]:
    """Room for runs.

    Args:
        runs: folder of all runs.
    """
    try:
        require_writable(runs / "new")
    except OSError as error:
        yield Finding("runs", "problem", os_reason(error), "start in another folder, or give --run.root FOLDER")
        return
    yield _room("runs", runs, _RUN_DISK, "a run of some rounds may need more: --run.root FOLDER puts it elsewhere")


def hugging_face() -> Iterator[Finding]:
    """Where checkpoints are kept, and whether they can be downloaded."""
    from huggingface_hub import get_token
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE, HF_HUB_OFFLINE

    yield _room(
        "HF cache", Path(HF_HUB_CACHE), _CHECKPOINT_DISK, "a checkpoint of 7 B needs more: HF_HOME puts it elsewhere"
    )
    home = f"HF_HOME is {'set' if os.environ.get('HF_HOME') else 'not set'}"
    if HF_HUB_OFFLINE:
        todo = "only checkpoints that have been downloaded can be used; unset HF_HUB_OFFLINE to download others"
        yield Finding("HF Hub", "note", f"offline: HF_HUB_OFFLINE is set; {home}", todo)
        return
    token = (
        "logged in" if get_token() else "not logged in, which only gated and private checkpoints need (hf auth login)"
    )
    yield Finding("HF Hub", "ok", f"{ENDPOINT}, {token}; {home}")


def _room(name: str, folder: Path, wanted: int, todo: str) -> Finding:
    """Room on the disk of a folder that may not be there yet."""
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free
    text = f"{free / _GIB:.1f} GiB free in {folder}"
    return Finding(name, "ok", text) if free >= wanted else Finding(name, "note", text, todo)
