"""Values that W&B shows in ways of its own, for callbacks and verbs that do not import wandb."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Histogram:
    """Values to show as a histogram."""

    values: Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Rows to show as a table; PIL images among the values are uploaded as images."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
