"""The stages of the experiment with fake work: what is done again, what is refused, what comes out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.two_by_two.page import render
from experiments.two_by_two.plan import MODELS, NONE, SETS, ExperimentPlan
from experiments.two_by_two.results import compute_results, summary, tables
from experiments.two_by_two.run import Experiment
from lightning_c3l.runs import lock
from lightning_c3l.runs.atomic import write_json_atomic
from tests.report.dom import parse

IMAGES = 6
# right answers of each model to one question an image, in every figure
RIGHT = {NONE: 3, "starting-random": 2, "starting-top": 3, "tuned-random": 4, "tuned-top": 6, "tuned-top-even": 5}


@pytest.fixture(autouse=True)
def _unlocked() -> Iterator[None]:
    yield
    lock.release()


class FakeStages:
    """Replaces the work of the stages; the one in `fails` is interrupted once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done = list[tuple[int, str]]()
        self.fails: tuple[int, str] | None = None
        monkeypatch.setattr(Experiment, "_write", lambda own, seed: self._work(own, seed, "sets"))
        monkeypatch.setattr(Experiment, "_answer", lambda own, seed, model: self._work(own, seed, model))

    def _work(self, own: Any, seed: int, what: str) -> None:
        if self.fails == (seed, what):
            self.fails = None
            raise KeyboardInterrupt
        self.done.append((seed, what))
        if what == "sets":
            figures = {"pairs": 8, "truth_rate": 0.5 + seed / 4, "i2c_mean": 1.0, "yes_share": None}
            write_json_atomic(own.out / f"seed-{seed}" / "sets.json", dict.fromkeys(SETS, figures))
            return
        right = [float(image < RIGHT.get(what, IMAGES)) for image in range(IMAGES)]
        # truth no, truth yes; answered no, yes, neither: all of it about images that show what is asked for
        tables_ = {str(i): [[0, 0, 0, 1 - one, one, 0]] * 3 for i, one in enumerate(right)}
        shares = {str(i): [[one, 1.0]] for i, one in enumerate(right)}
        counts: dict[str, Any] = dict.fromkeys(("seed_rank", "seed_text", "mmbench_circular", "llava_w_score"), shares)
        write_json_atomic(own.folder(seed, what) / "counts.json", {**counts, "pope_f1": tables_})


def test_a_stage_that_is_finished_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = FakeStages(monkeypatch)
    work.fails = (1, "tuned-top")
    with pytest.raises(KeyboardInterrupt):
        Experiment(tmp_path, ExperimentPlan()).run([0, 1])
    lock.release()
    before = list(work.done)
    Experiment(tmp_path, ExperimentPlan()).run([0, 1])
    assert work.done[len(before)] == (1, "tuned-top")
    assert sorted(work.done) == sorted([(0, NONE), *((seed, what) for seed in (0, 1) for what in ("sets", *SETS))])


def test_more_seeds_are_added_to_those_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = FakeStages(monkeypatch)
    Experiment(tmp_path, ExperimentPlan()).run([0])
    lock.release()
    work.done.clear()
    Experiment(tmp_path, ExperimentPlan()).run([0, 3])
    assert {seed for seed, _ in work.done} == {3}


def test_other_sizes_are_refused_by_name(tmp_path: Path) -> None:
    Experiment(tmp_path, ExperimentPlan(size=100))
    lock.release()
    with pytest.raises(ValueError, match=r"created with size=100, got size=120: .* choose another --out"):
        Experiment(tmp_path, ExperimentPlan(size=120))


def test_figures_and_claims_are_those_of_the_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStages(monkeypatch)
    experiment = Experiment(tmp_path, ExperimentPlan())
    experiment.run([0, 1])
    results = compute_results(experiment, [0, 1])
    for name in ("seed_rank", "seed_text", "mmbench_circular", "llava_w_score"):
        means = {model: own["mean"] for model, own in results["figures"][name].items()}
        assert means == pytest.approx({model: 100 * RIGHT.get(model, IMAGES) / IMAGES for model in MODELS})
        differences = {title: own["mean"] for title, own in results["contrasts"][name].items()}
        assert differences == pytest.approx(
            {
                "tuned-top - starting-random": 100 * 4 / 6,
                "writer: tuned - starting": 100 * 2.5 / 6,
                "selection: top - random": 100 * 1.5 / 6,
                "tuned-top-even - starting-random": 100 * 3 / 6,
            }
        )
    # of 6 that are there, r are found and nothing else is found: F1 = 2 r / (r + 6)
    f1 = {model: own["mean"] for model, own in results["figures"]["pope_f1"].items()}
    assert f1 == pytest.approx({model: 200 * r / (r + 6) for model, r in {"true-pairs": 6, **RIGHT}.items()})
    assert results["claim"]["seed_text"] == "above 0"
    assert results["means_of_sets"]["tuned-top"] == {
        "pairs": 8,
        "truth_rate": 0.625,
        "i2c_mean": 1.0,
        "yes_share": None,
    }
    json.dumps(results, allow_nan=False)


def test_the_page_shows_every_model_and_loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStages(monkeypatch)
    experiment = Experiment(tmp_path, ExperimentPlan())
    experiment.run([0])
    results = compute_results(experiment, [0])
    page = parse(render(results))
    drawn = [one for one in page.walk() if one.attributes.get("data-series") == "tuned-top"]
    assert len(drawn) == len(results["figures"])
    assert float(drawn[0].attributes["data-value"]) == results["figures"]["pope_f1"]["tuned-top"]["mean"]
    loaded = [one.attributes[name] for one in page.walk() for name in ("src", "href") if name in one.attributes]
    # markers of the charts
    assert all(address.startswith("#") for address in loaded)
    assert len(tables(results)) == 3
    assert "SEED, text: " in summary(results)
