"""What is not finite becomes None, and nothing else does."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from lightning_c3l.functional.finite import finite, jsonable


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1.0), (-0.5, -0.5), (np.float32(0.25), 0.25), (np.int64(3), 3.0)]
    + [(value, None) for value in (math.nan, math.inf, -math.inf, 10**400, True, "1", None, [1.0], 1j)],
)
def test_finite(value: Any, expected: float | None) -> None:
    assert finite(value) == expected


@dataclass(frozen=True)
class Pair:
    left: float
    right: tuple[int, ...]


def test_jsonable_goes_into_everything() -> None:
    value = {1: [math.nan, (math.inf, 2.5)], "pair": Pair(-math.inf, (1, 2)), "text": "NaN", "none": None, "yes": True}
    found = jsonable(value)
    assert found == {
        "1": [None, [None, 2.5]],
        "pair": {"left": None, "right": [1, 2]},
        "text": "NaN",
        "none": None,
        "yes": True,
    }
    assert json.loads(json.dumps(found, allow_nan=False)) == found
