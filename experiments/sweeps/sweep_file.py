"""A sweep file of W&B: what is read of it, and which trials it stands for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any, Literal

import yaml

from experiments.sweeps.distributions import Parameter, read_parameters
from lightning_c3l.functional.random_streams import stream

# of W&B's sweep files, as its documentation lists them
_KEYS = (
    "program",
    "entity",
    "project",
    "name",
    "description",
    "method",
    "metric",
    "parameters",
    "early_terminate",
    "command",
    "run_cap",
)
_METHODS = ("grid", "random", "bayes")
_FINAL = "final/"
_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")


@dataclass(frozen=True)
class Sweep:
    """A sweep file.

    Attributes:
        method: grid, random or bayes.
        figure: figure of the end of a run that is optimised, without `final/`.
        goal: maximize or minimize.
        parameters: in the order in which a grid walks them, the last one fastest.
        command: of a trial, with W&B's macros.
        program: what the macro `${program}` stands for.
        cap: number of trials at most; None leaves it open.
        stops_early: whether W&B stops trials that fall behind.
    """

    method: str
    figure: str
    goal: Literal["maximize", "minimize"]
    parameters: tuple[Parameter, ...]
    command: tuple[str, ...]
    program: str
    cap: int | None
    stops_early: bool

    def trials(self, count: int | None, seed: int) -> list[dict[str, Any]]:
        """Values of each trial by the name of its flag, as an agent gets them: nested parameters are one mapping.

        The values of trial k depend on the seed and on k alone, so that a sweep can be gone on with.

        Args:
            count: number of trials; the file's own unless given, the whole grid if that has none.
            seed: of what is drawn.

        Raises:
            ValueError: if the method has no end and no number is given.
        """
        if self.method == "grid":
            values = product(*(one.grid() for one in self.parameters))
            return [self._nested(one) for one in islice(values, self.cap if count is None else count)]
        number = self.cap if count is None else count
        if number is None:
            raise ValueError(f"the method {self.method} has no end: give --count, or run_cap in the file")
        return [self._drawn(trial, seed) for trial in range(number)]

    def _drawn(self, trial: int, seed: int) -> dict[str, Any]:
        return self._nested([one.sample(stream("sweep", seed, trial, one.name)) for one in self.parameters])

    def _nested(self, values: Iterable[Any]) -> dict[str, Any]:
        found = dict[str, Any]()
        for parameter, value in zip(self.parameters, values, strict=True):
            inner = found
            for name in parameter.path[:-1]:
                inner = inner.setdefault(name, {})
            inner[parameter.path[-1]] = value
        return found

    def flat(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a trial by the names of the parameters."""
        found = dict[str, Any]()
        for parameter in self.parameters:
            value: Any = values
            for name in parameter.path:
                value = value[name]
            found[parameter.name] = value
        return found


def read_sweep(file: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        OSError: if it cannot be read.
        ValueError: naming what `sweep-local` cannot walk.
    """
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not YAML: {str(error).splitlines()[0]}") from error
    try:
        return _sweep(found)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _sweep(found: object) -> Sweep:
    if not isinstance(found, Mapping) or "parameters" not in found:
        raise ValueError("a sweep file is a mapping with method, metric and parameters")
    if unknown := [key for key in found if key not in _KEYS]:
        raise ValueError(f"{unknown[0]}: not known here; known are {', '.join(_KEYS)}")
    if (method := found.get("method")) not in _METHODS:
        raise ValueError(f"method: must be one of {', '.join(_METHODS)}, not {method!r}")
    metric = found.get("metric")
    if not isinstance(metric, Mapping):
        raise ValueError("metric: must be a mapping with name and goal")
    name = str(metric.get("name"))
    if not name.startswith(_FINAL):
        raise ValueError(f"metric.name: must be {_FINAL} and a figure of the end of a run, not {name!r}")
    # W&B's default
    if (goal := metric.get("goal", "minimize")) not in ("maximize", "minimize"):
        raise ValueError(f"metric.goal: must be maximize or minimize, not {goal!r}")
    cap = found.get("run_cap")
    if cap is not None and (not isinstance(cap, int) or cap < 1):
        raise ValueError(f"run_cap: must be a whole number from 1 on, not {cap!r}")
    command = found.get("command") or list(_COMMAND)
    if not isinstance(command, list):
        raise ValueError("command: must be a list of words")
    parameters = tuple(read_parameters(found["parameters"]))
    if method == "grid":
        for one in parameters:
            one.grid()
    words = tuple(map(str, command))
    return Sweep(
        method,
        name.removeprefix(_FINAL),
        goal,
        parameters,
        words,
        str(found.get("program", "")),
        cap,
        "early_terminate" in found,
    )
