"""What a page shows of a run folder besides its summary and the candidates of its rounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from lightning_c3l.extensions import is_path
from lightning_c3l.records import READINGS, ScoredCandidate
from lightning_c3l.report.figures import nested
from lightning_c3l.report.gallery import GalleryPair, PairKey
from lightning_c3l.report.token_values import TokenValues


@dataclass(frozen=True)
class RunExtras:
    """The run folder and further files in it; each may be missing.

    Attributes:
        config: text of config.yaml.
        metrics: rows of metrics.csv, in writing order.
        exported: candidates of the data set, with their status.
        evaluations: benchmark figures, the content of each evaluation.json by the name of its folder.
        digests: digests of the model and of data, by what they are of.
        tokens: token values of the pairs that are shown.
        folder: name of the run folder, such as `version_0`.
        answers: further answers to the questions of each round that has some, with their status.
        wrong: some wrong answers to the questions of a benchmark.
    """

    config: str = ""
    metrics: Sequence[Mapping[str, str]] = ()
    exported: Sequence[ScoredCandidate] = ()
    evaluations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[PairKey, TokenValues] = field(default_factory=dict)
    folder: str = ""
    answers: Mapping[int, Sequence[ScoredCandidate]] = field(default_factory=dict)
    wrong: Sequence[GalleryPair] = ()

    def group(self, name: str) -> Mapping[str, Any]:
        """A group of options; empty where the configuration does not say."""
        return nested(self._options, name)

    @cached_property
    def _options(self) -> Mapping[str, Any]:
        try:
            options = yaml.safe_load(self.config)
        except yaml.YAMLError:
            return {}
        return options if isinstance(options, Mapping) else {}

    @property
    def limits(self) -> Mapping[str, Any]:
        """The guard's limits."""
        return nested(self.group("guard"), "limits")

    @property
    def reading(self) -> str:
        """The reading of S(I2C) that chose the pseudo-labels."""
        chosen = str(self.group("i2c").get("reading"))
        return chosen if chosen in READINGS or is_path(chosen) else "answer"
