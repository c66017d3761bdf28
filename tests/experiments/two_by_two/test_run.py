"""The stages of the experiment with fake work: what is done again, what fails, what is refused, what comes out."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.sweeps import running
from experiments.sweeps.trials import Trial
from experiments.two_by_two import jobs
from experiments.two_by_two.jobs import run_stages
from experiments.two_by_two.page import render
from experiments.two_by_two.plan import MODELS, NONE, SETS, ExperimentPlan
from experiments.two_by_two.results import compute_results, summary, tables
from experiments.two_by_two.run import Experiment
from lightning_c3l.runs import lock
from lightning_c3l.runs.atomic import write_json_atomic
from tests.report.dom import parse

IMAGES = 6
# few benchmark images, which are drawn
PLAN = ExperimentPlan(scenes=2)
# right answers of each model to one question an image, in every figure
RIGHT = {NONE: 3, "starting-random": 2, "starting-top": 3, "tuned-random": 4, "tuned-top": 6, "tuned-top-even": 5}


@pytest.fixture(autouse=True)
def _unlocked() -> Iterator[None]:
    yield
    lock.release()


class FakeProcesses:
    """Does the work of each process in this one; the stage in `fails` breaks it off once, as `how` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done = list[tuple[int, str]]()
        self.started = list[list[str]]()
        self.fails: tuple[int, str] | None = None
        self.how: type[BaseException] = KeyboardInterrupt
        monkeypatch.setattr(jobs, "TrialProcess", self._start)
        monkeypatch.setattr(running, "_POLL", 0.0)

    def _start(self, trial: Trial, command: list[str], environment: Mapping[str, str]) -> Any:
        assert command[1:3] == ["-m", "experiments.two_by_two"]
        folder, seed, *stages = command[3:]
        self.started.append([seed, *stages])
        try:
            for name in stages:
                self._work(Experiment.of_folder(Path(folder)), int(seed), name)
        except ValueError as error:
            trial.folder.mkdir(parents=True)
            (trial.folder / "log.txt").write_text(f"Traceback\nValueError: {error}\n")
            trial.end(1, 1.0)
        else:
            trial.end(0, 1.0)
        return SimpleNamespace(trial=trial, has_ended=lambda: True, stop=lambda: None, wait=lambda: None)

    def _work(self, own: Experiment, seed: int, what: str) -> None:
        if self.fails == (seed, what):
            self.fails = None
            raise self.how("it broke")
        self.done.append((seed, what))
        if what == "writers":
            figures = {"pairs": 8, "truth_rate": 0.5 + seed / 4, "i2c_mean": 1.0, "yes_share": None}
            write_json_atomic(own.out / f"seed-{seed}" / "sets.json", dict.fromkeys(SETS, figures))
            return
        right = [float(image < RIGHT.get(what, IMAGES)) for image in range(IMAGES)]
        # truth no, truth yes; answered no, yes, neither: all of it about images that show what is asked for
        tables_ = {str(i): [[0, 0, 0, 1 - one, one, 0]] * 3 for i, one in enumerate(right)}
        shares = {str(i): [[one, 1.0]] for i, one in enumerate(right)}
        counts: dict[str, Any] = dict.fromkeys(("seed_rank", "seed_text", "mmbench_circular", "llava_w_score"), shares)
        write_json_atomic(own.folder(seed, what) / "counts.json", {**counts, "pope_f1": tables_})


def begin(folder: Path) -> Experiment:
    """As the same command does, given again."""
    lock.release()
    return Experiment.begin(folder, PLAN)


def test_a_stage_that_is_finished_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = FakeProcesses(monkeypatch)
    work.fails = (1, "tuned-top")
    with pytest.raises(KeyboardInterrupt):
        run_stages(begin(tmp_path), [0, 1], 2)
    before = list(work.done)
    run_stages(begin(tmp_path), [0, 1], 2)
    assert work.done[len(before)] == (1, "tuned-top")
    assert sorted(work.done) == sorted([(0, NONE), *((seed, what) for seed in (0, 1) for what in ("writers", *SETS))])


def test_writers_come_first_and_a_seeds_models_share_two_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = FakeProcesses(monkeypatch)
    run_stages(begin(tmp_path), [0, 1], 1)
    halves = [["starting-random", "starting-top", "tuned-random"], ["tuned-top", "tuned-top-even", "true-pairs"]]
    models = [[str(seed), *half] for seed in (0, 1) for half in halves]
    assert work.started == [["0", "writers"], ["1", "writers"], ["0", NONE], *models]


def test_a_process_that_fails_ends_no_other_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = FakeProcesses(monkeypatch)
    work.fails, work.how = (0, "starting-top"), ValueError
    with pytest.raises(ValueError, match=r"seed-0-starting-random: ValueError: it broke; log.txt there says more"):
        run_stages(begin(tmp_path), [0, 1], 2)
    everything = {(0, NONE), *((seed, what) for seed in (0, 1) for what in ("writers", *SETS))}
    assert set(work.done) == everything - {(0, "starting-top"), (0, "tuned-random")}
    run_stages(begin(tmp_path), [0, 1], 2)
    assert sorted(work.done) == sorted(everything)
    assert work.started[-1] == ["0", "starting-top", "tuned-random"]


def test_more_seeds_are_added_to_those_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = FakeProcesses(monkeypatch)
    run_stages(begin(tmp_path), [0], 2)
    work.done.clear()
    run_stages(begin(tmp_path), [0, 3], 2)
    assert {seed for seed, _ in work.done} == {3}


def test_other_sizes_and_worlds_are_refused_by_name(tmp_path: Path) -> None:
    begin(tmp_path)
    for changed, told in ((replace(PLAN, size=120), "size=640"), (replace(PLAN, world="corners"), "world='park'")):
        lock.release()
        with pytest.raises(ValueError, match=rf"created with {told}, got .* choose another --out"):
            Experiment.begin(tmp_path, changed)
    assert Experiment.of_folder(tmp_path).plan == PLAN


def test_figures_and_claims_are_those_of_the_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeProcesses(monkeypatch)
    run_stages(experiment := begin(tmp_path), [0, 1], 2)
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
    assert results["contrasts"]["seed_text"]["tuned-top-even - starting-random"]["verdict"] == "above 0"
    # starting 3 of 6, and 3 of 6 above random pairs everywhere
    assert results["claim"] == {
        "claim": "tuned-top-even - starting-random",
        "holds": True,
        "higher": ["pope_f1", "seed_rank", "mmbench_circular", "llava_w_score"],
        "lower": [],
        "no_room": [],
    }
    assert results["means_of_sets"]["tuned-top"] == {
        "pairs": 8,
        "truth_rate": 0.625,
        "i2c_mean": 1.0,
        "yes_share": None,
    }
    json.dumps(results, allow_nan=False)


def test_the_page_shows_every_model_and_loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeProcesses(monkeypatch)
    run_stages(experiment := begin(tmp_path), [0], 2)
    results = compute_results(experiment, [0])
    page = parse(render(results))
    drawn = [one for one in page.walk() if one.attributes.get("data-series") == "tuned-top"]
    assert len(drawn) == len(results["figures"])
    assert float(drawn[0].attributes["data-value"]) == results["figures"]["pope_f1"]["tuned-top"]["mean"]
    loaded = [one.attributes[name] for one in page.walk() for name in ("src", "href") if name in one.attributes]
    # markers of the charts
    assert all(address.startswith("#") for address in loaded)
    assert len(tables(results)) == 3
    assert "holds; higher in POPE" in summary(results)
    assert summary(results) in page.all_text()
