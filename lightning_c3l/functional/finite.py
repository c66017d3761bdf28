"""Numbers that JSON, tables and charts can hold: whatever is not finite becomes None."""

import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from numbers import Real
from typing import Any


def finite(value: object) -> float | None:
    """The value as a float, or None where it is no finite real number."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        real = float(value)
    except OverflowError:  # an integer of hundreds of digits, which JSON may hold
        return None
    return real if math.isfinite(real) else None


def jsonable(value: Any) -> Any:
    """The value with None for every float that is not finite, keys as strings, and dataclasses as mappings."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return jsonable(vars(value)) if is_dataclass(value) and not isinstance(value, type) else value
