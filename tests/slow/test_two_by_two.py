"""The whole 2 x 2 at its smallest: writers, sets, tunings, benchmarks, results; killed stages are made again alike."""

import json
import shutil
from pathlib import Path

import pytest

from experiments.two_by_two.answering import FIGURES
from experiments.two_by_two.plan import MODELS, SETS
from lightning_c3l.cli.two_by_two import main

SIZES = "--rounds 1 --round-images 12 --fresh-images 16 --size 40 --epochs 1 --scenes 6"


@pytest.mark.slow
def test_the_smallest_experiment(tmp_path: Path) -> None:
    words = ["--out", str(tmp_path), "--seeds", "0", *SIZES.split()]
    assert main(words) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    # the answers of a model that are taken away come back the same, and nothing else is touched
    rows = tmp_path / "seed-0" / "models" / "tuned-top" / "llava_w.jsonl"
    before = rows.read_text()
    shutil.rmtree(rows.parent)
    assert main(words) == 0
    assert rows.read_text() == before
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert set(results["figures"]) == set(FIGURES)
    assert all(set(own) == set(MODELS) for own in results["figures"].values())
    sets = results["sets"]["0"]
    assert set(sets) == set(SETS)
    assert len({json.dumps([own["pairs"], own["cells"]]) for own in sets.values()}) == 1
    assert sets["true-pairs"]["truth_rate"] == 1
    assert sets["tuned-top"]["i2c_mean"] > sets["tuned-random"]["i2c_mean"]
    assert (tmp_path / "report.html").is_file()
