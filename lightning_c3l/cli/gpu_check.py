"""`gpu-check`: what only a GPU can show, or the part of it that a CPU can run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from experiments.gpu_check.checks import CHECKS
from lightning_c3l.cli.options import parse_options


@dataclass(frozen=True)
class GpuCheckOptions:
    """Check scoring, training and speed on a GPU within nine minutes; run it in the root of the repository.

    Example:
        c3l gpu-check --device cpu

    Attributes:
        out: folder for gpu-check.json.
        device: device to check; `auto` takes the GPU if there is one.
        only: names of the checks to run; all of them unless given.
        families: tiny families to compare with transformers, instead of those of `make test`.
        seconds: time for all checks together, in seconds.
    """

    out: Path = Path("runs/gpu-check")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    only: list[str] = field(default_factory=lambda: [*CHECKS])
    families: list[str] = field(default_factory=list)
    seconds: float = 540

    def __post_init__(self) -> None:
        """Check the names and the time."""
        if unknown := [name for name in self.only if name not in CHECKS]:
            raise ValueError(f"--only: no check is called {unknown[0]!r}: choose from {', '.join(CHECKS)}")
        if not self.seconds > 0:
            raise ValueError(f"--seconds must be above 0, not {self.seconds}")


def main(arguments: list[str]) -> int:
    """Run the verb `gpu-check`; returns its exit status, 1 if a check has failed."""
    options = parse_options("gpu-check", GpuCheckOptions, arguments)
    # late: these imports take seconds, which a wrong option need not wait for
    import torch

    from experiments.gpu_check.run import has_failed, run_checks, table
    from lightning_c3l.report.terminal import console

    there = torch.cuda.is_available()
    device = ("cuda" if there else "cpu") if options.device == "auto" else options.device
    if device == "cuda" and not there:
        raise ValueError("--device cuda: PyTorch sees no GPU; leave it out for the part that a CPU can run")
    found = run_checks(options.only, device, options.families, options.seconds, options.out / "gpu-check.json")
    console().print(table(found))
    if device == "cpu":
        print("no GPU was used: these are the checks that a CPU can run, on tiny models")
    print(f"figures in {options.out / 'gpu-check.json'}")
    return int(has_failed(found))
