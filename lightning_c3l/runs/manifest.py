"""What records were made with: written before the first of them, compared before more are made."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lightning_c3l.runs.atomic import write_json_atomic


def begin(path: Path, made_with: dict[str, Any], again: str, notes: Collection[str] = ()) -> None:
    """Write the manifest, or make sure that the one that is there says the same.

    Args:
        path: the manifest.
        made_with: settings by name, JSON values.
        again: option that begins again.
        notes: names that are not compared.

    Raises:
        ValueError: it cannot be read, or was written with other settings; names the first that differs.
    """
    if not path.is_file():
        write_json_atomic(path, made_with)
        return
    try:
        before = read(path)
    except ValueError as error:
        raise ValueError(f"{error}; {again} to begin again") from error
    for name in {**before, **made_with}:
        if name not in notes and before.get(name) != made_with.get(name):
            raise ValueError(
                f"{path.parent}: begun with {name} {before.get(name)!r}, now it is {made_with.get(name)!r}; "
                f"give the same to go on, or {again} to begin again"
            )


def read(path: Path) -> dict[str, Any]:
    """A manifest.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is damaged ({error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: is damaged (no JSON object)")
    return value
