"""The table of checks, and the values that go in and out of one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Setting:
    """What a check is given.

    Attributes:
        device: cpu or cuda.
        families: names of the tiny families of `tests.helpers.families`; empty for those of `make test`.
        folder: an empty folder for checkpoints and runs.
    """

    device: str
    families: tuple[str, ...]
    folder: Path

    @property
    def on_gpu(self) -> bool:
        """Whether there is a GPU."""
        return self.device == "cuda"


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes:
        summary: one line for the table.
        problems: one line for each thing that is wrong; none if the check has passed.
        figures: everything that was measured, as JSON has it.
        not_run: why it could not be run here; empty if it was.
    """

    summary: str = ""
    problems: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    not_run: str = ""

    @property
    def status(self) -> str:
        """`ok`, `failed` or `not run`."""
        return "not run" if self.not_run else "failed" if self.problems else "ok"


@dataclass(frozen=True)
class Check:
    """A check, which runs in a process of its own.

    Attributes:
        name: its name in the table, in the JSON file and for `--only`.
        function: module of this package and function, `Setting -> Outcome`.
        seconds: time after which it is stopped.
        gpu_only: whether it says nothing on a CPU.
    """

    name: str
    function: str
    seconds: int
    gpu_only: bool = False


# in the order of their worth: what comes last is cut if the time runs out
CHECKS = {
    one.name: one
    for one in (
        Check("machine", "machine:check_machine", 40),
        Check("families-float32", "families:check_float32", 90),
        Check("families-bfloat16", "families:check_bfloat16", 90),
        Check("out-of-memory", "memory:check_halving", 45),
        Check("qlora", "quantized:check_step", 45, gpu_only=True),
        Check("llava-1.5-7b", "rounds:check_llava", 120),
        Check("qwen3-vl-8b", "rounds:check_qwen", 120),
        Check("demo", "demo:check_demo", 180, gpu_only=True),
        Check("served-llava-1.5-7b", "served:check_served", 420, gpu_only=True),
    )
}
