"""The base of the embedded world can be trained again."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commandline import run


def train(folder: Path, records: int) -> Any:
    """What the manifest says was measured."""
    status, printed = run(
        *("scenes-base", "--records", str(records), "--out", str(folder / "base"), "--work", str(folder)),
        cwd=folder,
        timeout=1400,
    )
    assert status == 0, printed[-2000:]
    return json.loads((folder / "base" / "manifest.json").read_text())["measured"]


@pytest.mark.slow
def test_a_short_training_begins_to_learn(tmp_path):
    measured = train(tmp_path, 9600)
    assert measured["writing"]["pairs"] == 2000
    with (tmp_path / "scenes-base" / "version_0" / "metrics.csv").open() as file:
        losses = [float(row["train/nll"]) for row in csv.DictReader(file) if row["train/nll"]]
    # descriptions come first, then everything else: within each part what was said becomes likelier
    assert len(losses) == 3
    assert losses[0] > losses[2]


@pytest.mark.kill
def test_a_shorter_training_learns(tmp_path):
    """A third of the recipe: far from the shipped base, and far from chance (a quarter for place and number)."""
    measured = train(tmp_path, 64000)
    assert measured["qa_usual"]["all"] >= 0.85
    # a color is one of six, and the prior is wrong about all of these
    assert measured["qa_unusual"]["color"] >= 0.6
    assert measured["writing"]["verdicts"].get("unparsable", 0) <= 0.2 * measured["writing"]["pairs"]
