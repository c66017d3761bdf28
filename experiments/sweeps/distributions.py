"""The parameters of a sweep: how W&B's server draws their values, drawn here."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class _Distribution:
    """How values are drawn, and which settings that takes.

    Attributes:
        draw: a value, by the settings; quantised distributions are rounded afterwards.
        required: settings without a default.
        defaults: of the others.
        is_positive: whether `min` must be above 0, since its logarithm is taken.
    """

    draw: Callable[[Random, Settings], Any]
    required: tuple[str, ...] = ()
    defaults: Settings = field(default_factory=dict)
    is_positive: bool = False


def _uniform(random: Random, given: Settings) -> float:
    return random.uniform(given["min"], given["max"])


def _normal(random: Random, given: Settings) -> float:
    return random.gauss(given["mu"], given["sigma"])


def _log_uniform_values(random: Random, given: Settings) -> float:
    return math.exp(random.uniform(math.log(given["min"]), math.log(given["max"])))


_BOUNDS = ("min", "max")
_NORMAL, _BETA = {"mu": 0.0, "sigma": 1.0}, {"a": 1.0, "b": 1.0}
_CONTINUOUS = {
    "uniform": _Distribution(_uniform, _BOUNDS),
    # `min` and `max` are those of the logarithm, or those of the value
    "log_uniform": _Distribution(lambda random, given: math.exp(_uniform(random, given)), _BOUNDS),
    "log_uniform_values": _Distribution(_log_uniform_values, _BOUNDS, is_positive=True),
    # the logarithm of 1 / x is as uniform as that of x: only the bounds of the first one turn round
    "inv_log_uniform": _Distribution(lambda random, given: math.exp(-_uniform(random, given)), _BOUNDS),
    "inv_log_uniform_values": _Distribution(_log_uniform_values, _BOUNDS, is_positive=True),
    "normal": _Distribution(_normal, defaults=_NORMAL),
    "log_normal": _Distribution(lambda random, given: math.exp(_normal(random, given)), defaults=_NORMAL),
    "beta": _Distribution(lambda random, given: random.betavariate(given["a"], given["b"]), defaults=_BETA),
}
_QUANTISED = {
    f"q_{name}": _Distribution(one.draw, one.required, {**one.defaults, "q": 1.0}, one.is_positive)
    for name, one in _CONTINUOUS.items()
    if not name.startswith("inv_")
}
_DISCRETE = {
    "constant": _Distribution(lambda random, given: given["value"], ("value",)),
    "categorical": _Distribution(lambda random, given: random.choice(given["values"]), ("values",)),
    "categorical_w_probabilities": _Distribution(
        lambda random, given: random.choices(given["values"], given["probabilities"])[0], ("values", "probabilities")
    ),
    "int_uniform": _Distribution(lambda random, given: random.randint(given["min"], given["max"]), _BOUNDS),
}
DISTRIBUTIONS: Mapping[str, _Distribution] = {**_DISCRETE, **_CONTINUOUS, **_QUANTISED}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a sweep.

    Attributes:
        path: its names from the outermost in; one name, with or without dots, unless parameters are nested.
        distribution: name of W&B's distribution.
        settings: of the distribution, defaults included.
    """

    path: tuple[str, ...]
    distribution: str
    settings: Settings

    @property
    def name(self) -> str:
        """The names in one, joined by dots."""
        return ".".join(self.path)

    @property
    def is_logarithmic(self) -> bool:
        """Whether its values are spread evenly over orders of magnitude."""
        return "log" in self.distribution

    @property
    def is_discrete(self) -> bool:
        """Whether its values are those of a list, or whole numbers."""
        return self.distribution in _DISCRETE

    def sample(self, random: Random) -> Any:
        """Draw a value as W&B's server does; a quantised one is a multiple of `q`, which may lie outside the bounds."""
        value = DISTRIBUTIONS[self.distribution].draw(random, self.settings)
        if (step := self.settings.get("q")) is None:
            return value
        steps = round(value / step)
        return int(steps * step) if isinstance(step, int) else steps * step

    def grid(self) -> list[Any]:
        """All of its values, as W&B's grid search takes them: without `max` where it is quantised.

        Raises:
            ValueError: if its values cannot be counted.
        """
        given = self.settings
        if self.distribution == "constant":
            return [given["value"]]
        if self.distribution == "categorical":
            return list(given["values"])
        if self.distribution == "int_uniform":
            return list(range(given["min"], given["max"] + 1))
        if self.distribution == "q_uniform":
            count = math.ceil((given["max"] - given["min"]) / given["q"])
            return [given["min"] + number * given["q"] for number in range(count)]
        raise ValueError(
            f"parameters.{self.name}: a grid cannot walk the distribution {self.distribution}; give values"
        )


def read_parameters(found: object, path: tuple[str, ...] = ()) -> Iterator[Parameter]:
    """The parameters of a sweep file, in the order in which W&B walks a grid: by name.

    Args:
        found: what stands below `parameters`.
        path: names of the parameters around it.

    Raises:
        ValueError: naming the parameter that W&B, or a YAML reader, takes for something else.
    """
    where = ".".join(("parameters", *path))
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"{where}: must be a mapping of names to values or distributions")
    for name, given in sorted(found.items(), key=lambda one: str(one[0])):
        if not isinstance(given, Mapping):
            raise ValueError(f"{where}.{name}: must be a mapping such as value: 1 or values: [1, 2], not {given!r}")
        own = (*path, str(name))
        if "parameters" in given:
            yield from read_parameters(given["parameters"], own)
        else:
            yield _parameter(own, given)


def _parameter(path: tuple[str, ...], given: Settings) -> Parameter:
    where = ".".join(("parameters", *path))
    name = str(given.get("distribution") or _implied(given, where))
    if name not in DISTRIBUTIONS:
        raise ValueError(f"{where}: unknown distribution {name!r}; there are {', '.join(DISTRIBUTIONS)}")
    known = DISTRIBUTIONS[name]
    settings = {**known.defaults, **{key: value for key, value in given.items() if key != "distribution"}}
    if unknown := settings.keys() - {*known.required, *known.defaults}:
        raise ValueError(f"{where}: {min(unknown)} is no setting of the distribution {name}")
    if missing := [key for key in known.required if key not in settings]:
        raise ValueError(f"{where}: the distribution {name} needs {missing[0]}")
    _require_sound(where, name, settings)
    return Parameter(path, name, settings)


def _implied(given: Settings, where: str) -> str:
    """The distribution of a parameter that names none."""
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical_w_probabilities" if "probabilities" in given else "categorical"
    if "min" in given and "max" in given:
        return "int_uniform" if all(isinstance(given[key], int) for key in _BOUNDS) else "uniform"
    raise ValueError(f"{where}: needs value, values, or min and max")


def _require_sound(where: str, name: str, settings: Settings) -> None:
    """Refuse settings that nothing can be drawn with."""
    numbers = {key: value for key, value in settings.items() if key not in ("value", "values", "probabilities")}
    for key, value in numbers.items():
        kinds = int if name == "int_uniform" else int | float
        if isinstance(value, bool) or not isinstance(value, kinds):
            hint = "; YAML reads 1e-4 as text and 1.0e-4 as a number" if isinstance(value, str) else ""
            raise ValueError(
                f"{where}.{key}: must be {'an integer' if kinds is int else 'a number'}, not {value!r}{hint}"
            )
    if "values" in settings:
        _require_values(where, settings["values"], settings.get("probabilities"))
    if "min" in numbers and numbers["min"] > numbers["max"]:
        raise ValueError(f"{where}: min is {numbers['min']}, above max, which is {numbers['max']}")
    if DISTRIBUTIONS[name].is_positive and numbers["min"] <= 0:
        raise ValueError(f"{where}.min: must be above 0 for {name}, not {numbers['min']}")
    for key, least in (("q", "above 0"), ("sigma", "at least 0"), ("a", "above 0"), ("b", "above 0")):
        if key in numbers and (numbers[key] < 0 or (numbers[key] == 0 and least == "above 0")):
            raise ValueError(f"{where}.{key}: must be {least}, not {numbers[key]}")


def _require_values(where: str, values: object, shares: Any) -> None:
    """Refuse values that are no list, and probabilities that are not theirs."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"{where}.values: must be a list of at least one value")
    if shares is None:
        return
    is_sound = isinstance(shares, list) and len(shares) == len(values)
    if not is_sound or not all(isinstance(one, int | float) and one >= 0 for one in shares):
        raise ValueError(f"{where}.probabilities: must be a number from 0 to 1 for each value")
    if not math.isclose(sum(shares), 1):
        raise ValueError(f"{where}.probabilities: must be 1 in all, not {sum(shares):g}")
