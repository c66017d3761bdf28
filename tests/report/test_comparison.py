"""Runs beside each other: differences, intervals, options and the best run, worked out by hand."""

from typing import Any

import pytest

from lightning_c3l.report.comparison import ComparedFigure, ComparedRun, best_run, compare
from lightning_c3l.report.differences import FigureDifference
from tests.helpers.run_folders import guard, state

START = {"a": 0.0, "b": 1.0}


def judged(tuned: dict[str, float]) -> dict[str, Any]:
    """Part of a summary: what the tuned model's truth of each image is."""
    return {"tuned": {"truth_rate": sum(tuned.values()) / len(tuned), "by_image": tuned}}


def run(
    name: str = "x",
    last: dict[str, float] | None = None,
    tuned: dict[str, float] | None = None,
    state_of_run: str = "finished",
    config: dict[str, Any] | None = None,
    **parts: Any,
) -> ComparedRun:
    """A run with these values of each image; the digest of an image is its key without what follows a colon."""
    summary: dict[str, Any] = {"model": "small (abc123)"}
    images = dict[str, dict[str, str]]()
    if last is not None:
        summary["guard"] = guard(state(0, START), state(1, last))
        images["guard"] = {key: key.partition(":")[0] for key in last}
    if tuned is not None:
        summary["writers"] = judged(tuned)
        images["held_out"] = {key: key.partition(":")[0] for key in tuned}
    return ComparedRun(name, state_of_run, {**summary, "images": images, **parts}, config or {})


def criterion(first: ComparedRun, other: ComparedRun) -> FigureDifference | None:
    return difference("held_out_criterion", first, other)


def difference(key: str, first: ComparedRun, other: ComparedRun) -> FigureDifference | None:
    found = compare([first, other])
    return next((one.cells[1].difference for one in (*found.figures, *found.others) if one.key == key), None)


def test_a_change_of_all_images_alike_has_no_width() -> None:
    # keys differ, as where the folder was moved; digests say that the images are the same
    found = criterion(run(last={"a": 0.0, "b": 1.0}), run(last={"b:moved": 1.25, "a:moved": 0.25}))
    assert found == FigureDifference(0.25, (0.25, 0.25), is_paired=True)


def test_other_images_are_drawn_apart() -> None:
    # the mean of two draws from 0 and 1 is 0 or 1 with 1/4 each: with 1/16 the sides lie 1 apart, either way
    found = criterion(run(last={"a": 0.0, "b": 1.0}), run(last={"c": 0.25, "d": 1.25}))
    assert found == FigureDifference(0.25, (-0.75, 1.25), is_paired=False)
    # one image in common does not make them the same
    found = criterion(run(last={"a": 0.0, "b": 1.0}), run(last={"a": 0.25, "d": 1.25}))
    assert found == FigureDifference(0.25, (-0.75, 1.25), is_paired=False)


def test_an_image_that_is_there_twice_is_paired_with_itself() -> None:
    first = run(last={"a:1": 0.0, "a:2": 4.0, "b": 2.0})
    found = criterion(first, run(last={"a:1": 0.5, "a:2": 4.5, "b": 2.5}))
    assert found is not None
    assert (found.change, found.is_paired) == (0.5, True)
    assert found.interval == pytest.approx((0.5, 0.5))
    assert criterion(first, run(last={"a": 0.5, "b": 2.5})).is_paired is False  # type: ignore[union-attr]


def test_truth_is_compared_on_the_held_out_images() -> None:
    first, other = run(tuned={"a": 0.5, "b": 0.75}), run(tuned={"a": 0.25, "b": 0.5})
    found = difference("tuned_truth_rate", first, other)
    assert found == FigureDifference(-0.25, (-0.25, -0.25), is_paired=True)
    assert difference("base_truth_rate", first, other) is None


def test_figures_without_values_of_images_have_no_interval() -> None:
    found = difference("dataset_pairs", run(dataset={"pairs": 3}), run(dataset={"pairs": 5}))
    assert found == FigureDifference(2.0)
    # one image says nothing of chance
    assert criterion(run(last={"a": 1.0}), run(last={"a": 2.0})) == FigureDifference(1.0, None, is_paired=True)


def test_scores_of_other_models_or_readings_are_not_compared() -> None:
    first = run(last=START, tuned=START, config={"i2c": {"reading": "answer"}})
    other = run(last=START, tuned=START, model="moved/small (abc123)", config={"i2c": {"reading": "gap"}})
    changes = {one.key: one.cells[1].difference for one in compare([first, other]).figures}
    assert changes["held_out_criterion"] == FigureDifference(0.0, (0.0, 0.0), is_paired=True)
    assert changes["i2c_right"] is None
    assert changes["exported_state"] is None
    foreign = run("y", last=START, tuned=START, model="small (def456)")
    found = compare([first, foreign])
    changes = {one.key: one.cells[1].difference for one in found.figures}
    assert changes["held_out_criterion"] is None
    assert changes["tuned_truth_rate"] is not None
    assert any("y began from another model than x" in note for note in found.notes)


def test_which_is_better() -> None:
    up, down = FigureDifference(1.0, (0.5, 1.5)), FigureDifference(-1.0, (-1.5, -0.5))
    first = run(last=START, dataset={"pairs": 3})

    def better(key: str, difference: FigureDifference) -> bool | None:
        (found,) = (one for one in compare([first, first]).figures if one.key == key)
        return found.is_better(type(found.cells[1])(1.0, difference))

    assert better("held_out_criterion", up) is True
    assert better("held_out_criterion", down) is False
    assert better("limits_broken", down) is True
    assert better("dataset_pairs", up) is None
    assert better("held_out_criterion", FigureDifference(1.0, (-0.5, 2.5))) is None
    assert better("held_out_criterion", FigureDifference(1.0)) is None


def test_options_that_differ_by_their_names_on_the_command_line() -> None:
    def config(rank: int, loss: str, version: int, **data: Any) -> dict[str, Any]:
        lvlm = {"class_path": "L", "init_args": {"lora": {"rank": rank}, "path": "p"}}
        return {
            "model": {"class_path": "M", "init_args": {"lvlm": lvlm, "loss": {"class_path": loss}}},
            "data": {"class_path": "D", "init_args": data},
            "run": {"version": version},
            "trainer": {"default_root_dir": f"runs/{version}", "callbacks": [1, version]},
        }

    runs = [
        run("a", config=config(2, "A", 0, limit=None)),
        run("b"),
        run("c", config=config(4, "A", 1, limit=3)),
        run("d", config=config(2, "B", 2, limit=None)),
    ]
    assert compare(runs).options == {
        "model.lvlm.lora.rank": ["2", None, "4", "2"],
        "model.loss.class_path": ["A", None, "A", "B"],
        "data.limit": ["null", None, "3", "null"],
        "trainer.callbacks.1": ["0", None, "1", "2"],
    }
    assert compare([runs[0], runs[0]]).options == {}


def test_runs_of_a_benchmark_are_compared_by_its_figures() -> None:
    runs = [ComparedRun("a", "finished", {"evaluation": {"test/pope_f1": value}}, {}) for value in (0.5, 0.75)]
    (found,) = compare(runs).figures
    assert (found.key, found.cells[1].value, found.cells[1].difference) == ("pope_f1", 0.75, FigureDifference(0.25))


@pytest.mark.parametrize(("other", "is_same"), [({"n": 24}, True), ({"questions": "feed"}, False), ({"n": 12}, False)])
def test_answers_to_other_questions_are_not_compared(other: dict[str, Any], is_same: bool) -> None:
    asked = {"benchmark": "quiz", "questions": "beef", "n": 24, "test/quiz_accuracy": 0.5}
    told = [asked, {**asked, "test/quiz_accuracy": 0.75, **other}]
    found = compare(
        [ComparedRun(name, "finished", {"evaluation": one}, {}) for name, one in zip("ab", told, strict=True)]
    )
    assert found.figures[0].cells[1].difference == (FigureDifference(0.25) if is_same else None)
    note = "b answered other questions than a: their figures are not compared."
    assert (note in found.notes) is not is_same


def test_the_best_run_is_that_with_most_truth_on_the_same_images() -> None:
    low = run("low", last={"a": 9.0, "b": 9.0}, tuned={"a": 0.25, "b": 0.5})
    high = run("high", last=START, tuned={"a": 0.5, "b": 0.75})
    best = best_run([low, high])
    assert (best.name, best.is_certain) == ("high", True)
    assert best.sentence == (
        "Best by truth of generated pairs: high with 0.625, next low with 0.375 (difference 95 % +0.250 to +0.250)."
    )
    # truth on other images decides nothing, the criterion does
    elsewhere = run("elsewhere", last=START, tuned={"c": 1.0, "d": 1.0})
    assert best_run([low, elsewhere]).name == "low"
    mixed = run("mixed", tuned={"a": 0.0, "b": 1.0})
    uncertain = best_run([mixed, run("other", tuned={"a": 0.5, "b": 0.25})])
    assert (uncertain.name, uncertain.is_certain) == ("mixed", False)
    assert "cannot be told from chance" in uncertain.sentence


def test_without_a_shared_figure_none_is_best() -> None:
    first = run("a", last=START)
    assert best_run([first, run("b", last=START)]).sentence == "By held-out criterion a and b are equal (0.500)."
    three = best_run([first, run("b", last=START), run("c", last=START), run("d", last={"a": -1.0, "b": 0.0})])
    assert three.sentence == "By held-out criterion a and 2 others are equal (0.500)."
    for other in (
        run("b", last={"c": 1.0, "d": 2.0}),
        run("b", last=START, model="small (def456)"),
        run("b"),
    ):
        assert best_run([first, other]).sentence.startswith("No run is called best: neither truth nor")
    # an unfinished run is not the best, whatever it has reached
    going = run("c", last={"a": 5.0, "b": 5.0}, state_of_run="running")
    assert best_run([first, going]).sentence.startswith("No run is called best: fewer than two")
    assert best_run([first, run("b", last={"a": -1.0, "b": 0.0}), going]).name == "a"


def test_what_limits_the_comparison_is_said() -> None:
    first = run("a", last=START, run={"version": "1.0"})
    others = [
        run("b", last={"c": 0.0, "d": 1.0}, run={"version": "2.0"}),
        run("c", state_of_run="interrupted"),
        ComparedRun("d", "finished", {}, {}, ("summary.json: is damaged",)),
    ]
    told = "\n".join(compare([first, *others]).notes)
    assert "b measured the criterion on other images than a: the intervals are not paired" in told
    assert "b was made by version 2.0, a by 1.0" in told
    assert "c was not finished (interrupted): shown is what it has so far" in told
    assert "d: summary.json: is damaged" in told
    assert "luckiest" not in told
    assert "luckiest" in "\n".join(compare([first] * 6).notes)
    assert compare([first, first]).notes == []


@pytest.mark.parametrize("summary", [{}, {"guard": 3, "rounds": [], "writers": [1]}, {"guard": {"states": [{}]}}])
def test_runs_without_figures_are_compared(summary: dict[str, Any]) -> None:
    found = compare([ComparedRun("a", "failed", summary, {}), run("b", last=START, tuned=START)])
    figures: dict[str, ComparedFigure] = {one.key: one for one in found.figures}
    cells = figures["tuned_truth_rate"].cells
    assert [cell.value for cell in cells] == [None, 0.5]
    assert cells[1].difference is None
