"""`doctor`: what this installation and this machine are, what is wrong with them, and what to do."""

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from lightning_c3l.cli.errors import in_one_line
from lightning_c3l.cli.finding import Finding
from lightning_c3l.cli.help_format import help_width
from lightning_c3l.cli.options import parse_options

_SELF_TEST = "self-test"
# name of what is looked at, module in `lightning_c3l.cli` and its function
_CHECKS = (
    ("packages", "doctor_packages", "packages"),
    ("extras", "doctor_packages", "extras"),
    ("memory", "doctor_machine", "memory"),
    ("HF cache", "doctor_machine", "hugging_face"),
)
_SLOW_CHECKS = (
    ("devices", "doctor_machine", "devices"),
    ("W&B", "doctor_parts", "wandb"),
    (_SELF_TEST, "doctor_parts", "shipped_model"),
)


@dataclass(frozen=True)
class DoctorOptions:
    """Look at versions, devices, memory, disk, W&B and extras, and try a shipped model; status 1 if there is a problem.

    The first thing to paste into an issue: it prints no secret, and asks nothing of the network.

    Example:
        c3l doctor
        c3l doctor --json > doctor.json

    Attributes:
        runs: folder of all runs; the space on its disk is looked at.
        no_model: leave out the self-test of the shipped model, which takes some seconds.
        json: print one JSON object, for scripts.
    """

    runs: Path = Path("runs")
    no_model: bool = False
    json: bool = False


def main(arguments: list[str]) -> int:
    """Run the verb `doctor`; returns its exit status, 1 if there is a problem."""
    options = parse_options("doctor", DoctorOptions, arguments)
    found = list[Finding]()
    for one in _findings(options):
        found.append(one)
        if not options.json:
            print(_lines(one), flush=True)
    counts = {state: sum(one.state == state for one in found) for state in ("ok", "note", "problem")}
    if options.json:
        print(json.dumps({"counts": counts, "findings": [asdict(one) for one in found]}, indent=2))
    else:
        print(f"\n{counts['problem']} problems, {counts['note']} notes, {counts['ok']} ok")
    return int(counts["problem"] > 0)


def _findings(options: DoctorOptions) -> Iterator[Finding]:
    """What each check finds; those that import PyTorch or Lightning come last, and are imported then."""
    for name, module, function, *given in (*_CHECKS, ("runs", "doctor_machine", "disk", options.runs), *_SLOW_CHECKS):
        if name == _SELF_TEST and options.no_model:
            continue
        try:
            yield from getattr(import_module(f"lightning_c3l.cli.{module}"), function)(*given)
        except Exception as error:  # whatever it is, it is what the user has to know
            what = f"{type(error).__name__}: {in_one_line(error)}"
            yield Finding(name, "problem", what, "install the package that it names again, or report this output")


def _lines(found: Finding) -> str:
    """What it is like, and below it what to do."""
    # paths and versions stay whole
    wrapper = textwrap.TextWrapper(help_width(), break_long_words=False, break_on_hyphens=False)
    wrapper.initial_indent, wrapper.subsequent_indent = f"{found.state:<8} {found.name:<15} ", " " * 25
    lines = wrapper.wrap(found.text)
    if found.todo:
        wrapper.initial_indent = f"{'->':>24} "
        lines += wrapper.wrap(found.todo)
    return "\n".join(lines)
