"""Tables of recipes: rows of options by which a trial differs from one experiment file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.recipe.protocol import mapping

Options = Mapping[str, Any]

_NAME = re.compile(r"(?!\.)[\w.-]+")
_KEYS = ("experiment", "baseline", "rounds", "rows")
_MODEL, _DATA = "model.init_args", "data.init_args"
# options that candidates and scores of the first round depend on, with all inside them; the adapter starts without an
# effect
_WRITING = (
    f"{_MODEL}.writing.",
    f"{_MODEL}.lvlm.",
    f"{_MODEL}.generator.",
    f"{_DATA}.images.",
    f"{_DATA}.limit.",
    f"{_DATA}.longest_side.",
    "i2c.scorer.",
    "i2c.pooling.",
    # the prior answers the questions of the positives
    "i2c.reading.",
    "i2c.group_by.",
    "i2c.images_per_round.",
)
_ADAPTER = f"{_MODEL}.lvlm.init_args.lora."
_ANCHOR = f"{_MODEL}.loss.anchor"


@dataclass(frozen=True)
class Table:
    """Recipes to compare.

    Attributes:
        name: of the table.
        experiment: file that all rows vary.
        baseline: name of the row that the others are compared with.
        rows: options of each row by its name; names of options are those of `config.yaml`, joined by dots.
        rounds: options of the stored first rounds alone, which then hold what some of the rows need.
    """

    name: str
    experiment: Path
    baseline: str
    rows: Mapping[str, Options]
    rounds: Options

    def chosen(self, names: Sequence[str]) -> list[str]:
        """The baseline and these rows; all of them if none is named.

        Raises:
            ValueError: there is no such row.
        """
        if unknown := [name for name in names if name not in self.rows]:
            raise ValueError(f"--only: {self.name} has no row {unknown[0]!r}; it has {', '.join(self.rows)}")
        return [name for name in self.rows if not names or name in (self.baseline, *names)]


def read_table(path: Path) -> Table:
    """Read a table of recipes.

    Raises:
        ValueError: it is no such table; names the file and the entry.
        OSError: it cannot be read.
    """
    try:
        found = mapping(yaml.safe_load(path.read_text(encoding="utf-8")), "the file")
        if unknown := [key for key in found if key not in _KEYS]:
            raise ValueError(f"{unknown[0]!r} is not known here; known are {', '.join(_KEYS)}")
        if missing := [key for key in ("experiment", "baseline", "rows") if key not in found]:
            raise ValueError(f"{missing[0]} is missing")
        rounds = _options(found.get("rounds") or {}, "rounds")
        given = mapping(found["rows"], "rows")
        rows = {str(name): _options(own or {}, f"rows.{name}") for name, own in given.items()}
        if bad := [name for name in rows if not _NAME.fullmatch(name)]:
            raise ValueError(f"rows: {bad[0]!r} is no name of letters, digits, _, - and .")
        if found["baseline"] not in rows:
            raise ValueError(f"baseline: there is no row {found['baseline']!r}")
        experiment = path.parent / str(found["experiment"])
        if not experiment.is_file():
            raise ValueError(f"experiment: {experiment} is no file")
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    return Table(path.stem, experiment, found["baseline"], rows, rounds)


def writing_options(options: Options) -> dict[str, Any]:
    """The options of a row that its first round's candidates depend on: rows with equal ones share a stored round."""
    found = {name: value for name, value in options.items() if _is_of_writing(name)}
    # the only anchor that needs texts of its own
    if options.get(_ANCHOR) == "description":
        found[_ANCHOR] = "description"
    return found


def nested(options: Options) -> dict[str, Any]:
    """Options as the nested mappings of an experiment file.

    Raises:
        ValueError: a name is that of a value and of a mapping.
    """
    found = dict[str, Any]()
    for name, value in options.items():
        *outer, last = name.split(".")
        inside = found
        for key in outer:
            inside = inside.setdefault(key, {})
            if not isinstance(inside, dict):
                raise ValueError(f"{name}: {key} has a value of its own")
        inside[last] = value
    return found


def _options(given: object, where: str) -> dict[str, Any]:
    found = {str(name): value for name, value in mapping(given, where).items()}
    nested(found)
    return found


def _is_of_writing(name: str) -> bool:
    inside = f"{name}."
    return inside.startswith(_WRITING) and not inside.startswith(_ADAPTER)
