"""Manifests: the settings that records were made with, compared before more are made."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lightning_c3l.runs.atomic import write_json_atomic

# value of a setting that could not be found out this time; it agrees with any other
UNKNOWN = "unknown"


def begin(path: Path, made_with: dict[str, Any], again: str, notes: Collection[str] = ()) -> None:
    """Write the manifest, or compare an existing one.

    Args:
        path: the manifest.
        made_with: settings by name, JSON values; `UNKNOWN` agrees with any other.
        again: what to do to start over, for the message.
        notes: names that are not compared.

    Raises:
        ValueError: if it cannot be read, or has other settings; names the first that differs.
    """
    if not path.is_file():
        write_json_atomic(path, made_with)
        return
    try:
        before = read(path)
    except ValueError as error:
        raise ValueError(f"{error}; {again} to start over") from error
    for name in {**before, **made_with}:
        old, new = before.get(name), made_with.get(name)
        if name not in notes and old != new and UNKNOWN not in (old, new):
            raise ValueError(
                f"{path.parent}: created with {name}={old!r}, got {name}={new!r}: use {name}={old!r} to resume, or "
                f"{again} to start over"
            )


def read(path: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        ValueError: if it is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is damaged ({error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: is damaged (no JSON object)")
    return value
