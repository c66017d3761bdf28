"""Run folders without a run: what one leaves that reports and lists read."""

import json
from pathlib import Path
from typing import Any

import yaml

from lightning_c3l.runs import lock


def state(number: int, by_image: dict[str, float], tripped: tuple[str, ...] = ()) -> dict[str, Any]:
    """A state of the guard with these values of the held-out criterion."""
    held_out = sum(by_image.values()) / len(by_image)
    figures = {"i2c_mean": 0.5, "i2c_shuffled_mean": 0.125, "parsed_rate": 1.0, "distinct_rate": 0.5}
    return {"round": number, "held_out": held_out, "by_image": by_image, "tripped": list(tripped), "figures": figures}


def guard(*states: dict[str, Any]) -> dict[str, Any]:
    """The guard's part of a summary; the last state was exported."""
    best = max(states, key=lambda one: one["held_out"])
    return {
        "action": "warn",
        "source": "held_out",
        "states": list(states),
        "best": {"round": best["round"], "held_out": best["held_out"]},
        "exported": states[-1]["round"],
    }


def write_run(
    folder: Path,
    summary: dict[str, Any] | None,
    config: dict[str, Any] | None = None,
    ended: str | None = "finished",
    **owner: Any,
) -> Path:
    """A run folder with these files; None leaves one out."""
    folder.mkdir(parents=True)
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    if config is not None:
        (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    noted = {"verb": "fit", "since": "2026-01-02T03:04:05+00:00", "ended": ended, **owner}
    (folder / lock.LOCK).write_text(json.dumps(noted), encoding="utf-8")
    return folder
