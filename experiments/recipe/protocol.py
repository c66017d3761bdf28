"""The protocol of the comparison: which seeds and images, what is measured, and when a recipe counts as better."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from data_modules.rounds import require_source
from experiments.recipe.sums import TITLES
from experiments.two_by_two.plan import parse_seeds


@dataclass(frozen=True)
class ProtocolStage:
    """One look at recipes: all of its trials are measured on the same images.

    Attributes:
        seeds: of the trials, such as 0-2.
        images: held-out images, as `data.images`.
    """

    seeds: str
    images: str

    def __post_init__(self) -> None:
        """Check both."""
        for name, value in asdict(self).items():
            if not isinstance(value, str):  # YAML takes a single seed for a number
                raise ValueError(f"{name} must be a text, not {value!r}: put it in quotes")
        parse_seeds(self.seeds)
        require_source(self.images)

    def chosen(self, seeds: str | None) -> list[int]:
        """The seeds of the stage, or some of them.

        Raises:
            ValueError: one of those that are asked for belongs to another stage.
        """
        own = parse_seeds(self.seeds)
        asked = own if seeds is None else parse_seeds(seeds)
        if foreign := [seed for seed in asked if seed not in own]:
            raise ValueError(f"--seeds: {foreign[0]} is none of this stage, whose seeds are {self.seeds}")
        return asked


@dataclass(frozen=True)
class MeasureConfig:
    """How a trained model is measured, whatever the options of its trial are.

    Attributes:
        samples: texts for each image and instruction.
        temperature: at which texts and answers behind prefixes are sampled; plain answers are the likeliest ones.
        max_new_tokens: longest text.
        answer_tokens: longest answer to a plain question.
        batch_size: prompts at once.
    """

    samples: int = 1
    temperature: float = 0.7
    max_new_tokens: int = 24
    answer_tokens: int = 16
    batch_size: int = 64

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, value in asdict(self).items():
            if not value > 0:
                raise ValueError(f"measure.{name} must be above 0, not {value}")


@dataclass(frozen=True)
class Target:
    """When a recipe counts as better than the baseline.

    The interval of one of the figures `higher` lies above 0, and unless that is one of `alone`, no figure of `guarded`
    is lower by more than `tolerance`.

    Attributes:
        higher: figures of which one must be higher.
        alone: those of them that need no look at the others.
        guarded: figures that must not be lower.
        tolerance: by how much they may be, on average over the seeds.
    """

    higher: tuple[str, ...] = ("truth", "own_unseen")
    alone: tuple[str, ...] = ("truth",)
    guarded: tuple[str, ...] = ("truth", "own_seen", "qa", "reference", "reference_unseen", "kind_entropy", "distinct")
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        """Refuse names that are no figures: a guard that is misspelt would guard nothing."""
        if unknown := [name for name in (*self.higher, *self.guarded) if name not in TITLES]:
            raise ValueError(f"target: {unknown[0]!r} is no figure; there are {', '.join(TITLES)}")
        if stray := [name for name in self.alone if name not in self.higher]:
            raise ValueError(f"target.alone: {stray[0]!r} is none of target.higher")


@dataclass(frozen=True)
class Protocol:
    """All that is fixed before anything is measured.

    Attributes:
        stages: by their names.
        measure: how a trained model is measured.
        target: when a recipe counts as better.
        resamples: of the bootstrap.
    """

    stages: Mapping[str, ProtocolStage]
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    target: Target = field(default_factory=Target)
    resamples: int = 2000

    def __post_init__(self) -> None:
        """Refuse stages that look at the same twice."""
        for (name, one), (other_name, other) in combinations(self.stages.items(), 2):
            if shared := set(one.chosen(None)) & set(other.chosen(None)):
                raise ValueError(f"stages.{other_name}: seed {min(shared)} is one of {name} too; give it other seeds")
            if one.images == other.images:
                raise ValueError(f"stages.{other_name}: has the images of {name}; give it others")
        if self.resamples < 1:
            raise ValueError(f"resamples must be at least 1, not {self.resamples}")

    def stage(self, name: str) -> ProtocolStage:
        """A stage by its name.

        Raises:
            ValueError: there is no such stage.
        """
        if name not in self.stages:
            raise ValueError(f"--stage: must be one of {', '.join(self.stages)}, not {name!r}")
        return self.stages[name]


def read_protocol(path: Path) -> Protocol:
    """Read a protocol file.

    Raises:
        ValueError: an entry is missing, unknown or out of range; names the file and the entry.
        OSError: the file cannot be read.
    """
    try:
        found = mapping(yaml.safe_load(path.read_text(encoding="utf-8")), "the file")
        _require_known(found, Protocol, "the file")
        if "stages" not in found:
            raise ValueError("stages is missing")
        stages = {
            str(name): _built(ProtocolStage, one, f"stages.{name}")
            for name, one in mapping(found["stages"], "stages").items()
        }
        return Protocol(
            stages,
            _built(MeasureConfig, found.get("measure", {}), "measure"),
            _built(Target, found.get("target", {}), "target"),
            int(found.get("resamples", 2000)),
        )
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def mapping(value: object, where: str) -> Mapping[Any, Any]:
    """The value, if it is a mapping.

    Raises:
        ValueError: it is not; names where it stands.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a mapping of names to values")
    return value


def _built(kind: type[Any], given: object, where: str) -> Any:
    """A dataclass from the mapping of a file; lists become tuples."""
    found = mapping(given, where)
    _require_known(found, kind, where)
    return kind(**{name: tuple(one) if isinstance(one, list) else one for name, one in found.items()})


def _require_known(found: Mapping[Any, Any], kind: type[Any], where: str) -> None:
    known = [one.name for one in fields(kind)]
    if unknown := [name for name in found if name not in known]:
        raise ValueError(f"{where}: {unknown[0]!r} is not known here; known are {', '.join(known)}")
