"""What a page shows of a run folder besides its summary and its candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from lightning_c3l.report.figures import nested


@dataclass(frozen=True)
class RunExtras:
    """Further files of a run folder; each may be missing.

    Attributes:
        config: text of config.yaml.
        metrics: rows of metrics.csv, in writing order.
        evaluations: benchmark figures, the content of each evaluation.json by the name of its folder.
        digests: name and digest of files and data.
    """

    config: str = ""
    metrics: Sequence[Mapping[str, str]] = ()
    evaluations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    def limits(self) -> Mapping[str, Any]:
        """The guard's limits; empty where the configuration does not say."""
        try:
            config = yaml.safe_load(self.config)
        except yaml.YAMLError:
            return {}
        return nested(nested(config, "guard"), "limits") if isinstance(config, Mapping) else {}
