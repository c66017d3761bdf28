"""`bench-engines`: our own generation beside a vLLM server."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from experiments.speed.shapes import SHAPES
from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.options import one_of, parse_options
from lightning_c3l.runs.atomic import write_text_atomic


@dataclass(frozen=True)
class BenchEnginesOptions:
    """Measure how fast our engine and a vLLM server generate, and what handing an adapter over to the server costs.

    The server is started and ended here. `VLLM_PYTHON` names the python of its environment, `.vllm/` unless given.

    Example:
        c3l bench-engines --prompts 16 --concurrency 1 16

    Attributes:
        out: folder for bench-engines.json, a picture of it and the server's logs.
        shape: sizes of the randomly initialised LLaVA and of the questions.
        device: device of both engines.
        precision: precisions of the weights, one or both.
        prompts: number of prompts of a pass, each about an image of its own.
        samples: number of texts for each prompt.
        tokens: length of each text, in tokens.
        concurrency: numbers of requests that the server is given at the same time.
        repeats: number of passes of each engine.
    """

    out: Path = Path("runs/bench")
    shape: str = one_of([*SHAPES], "small")
    device: Literal["cpu", "cuda"] = "cpu"
    precision: list[Literal["float32", "bfloat16"]] = field(default_factory=lambda: ["float32", "bfloat16"])
    prompts: int = 64
    samples: int = 4
    tokens: int = 60
    concurrency: list[int] = field(default_factory=lambda: [1, 16, 64])
    repeats: int = 3

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("prompts", "samples", "tokens", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, not {getattr(self, name)}")
        if not self.concurrency or min(self.concurrency) < 1:
            raise ValueError("--concurrency must be one or several numbers of at least 1")


def main(arguments: list[str]) -> int:
    """Run the verb `bench-engines`; returns its exit status."""
    options = parse_options("bench-engines", BenchEnginesOptions, arguments)
    # late: these imports take seconds, which a wrong option need not wait for
    from experiments.vllm_server.command import inspect_vllm, python_of_vllm

    python = python_of_vllm()
    if python is None:
        raise ValueError(
            "no vLLM: name the python of an environment that has it as VLLM_PYTHON, or let `make .vllm/installed` make "
            "one for a CPU"
        )
    from experiments.engines.output import picture, rates_table
    from experiments.engines.run import run_bench
    from lightning_c3l.report.terminal import console

    quieten()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "bench-engines.json"
    found = run_bench(options, inspect_vllm(python), file)
    write_text_atomic(options.out / "bench-engines.svg", picture(found))
    console().print(rates_table(found))
    print(f"figures in {file}, a picture in {options.out / 'bench-engines.svg'}")
    return 0
