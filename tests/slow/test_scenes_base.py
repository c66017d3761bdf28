import json

import pytest

from tests.commandline import run

pytestmark = pytest.mark.slow


def test_a_shorter_training_learns(tmp_path):
    """A third of the recipe: far from the shipped base, and far from chance (a quarter for place and number)."""
    status, printed = run(
        *("scenes-base", "--records", "64000", "--out", str(tmp_path / "base"), "--work", str(tmp_path)),
        cwd=tmp_path,
        timeout=1400,
    )
    assert status == 0, printed[-2000:]
    measured = json.loads((tmp_path / "base" / "manifest.json").read_text())["measured"]
    assert measured["qa_usual"]["all"] >= 0.85
    # a color is one of six, and the prior is wrong about all of these
    assert measured["qa_unusual"]["color"] >= 0.6
    assert measured["writing"]["verdicts"].get("unparsable", 0) <= 0.2 * measured["writing"]["pairs"]
