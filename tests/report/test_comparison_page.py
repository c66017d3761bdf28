"""The page that compares runs, and its tables in the terminal."""

import re
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lightning_c3l.report.comparison import ComparedRun, compare
from lightning_c3l.report.comparison_page import comparison_tables, render_comparison
from tests.helpers.chromium import dump_dom, needs_chromium
from tests.helpers.run_folders import guard, state
from tests.report.dom import Node, parse
from tests.report.test_page import HOSTILE, REMOTE


def run(name: str, last: float, weight: float, **parts: Any) -> ComparedRun:
    """A run of one round on two images."""
    states = [state(number, {"a": value - 0.25, "b": value + 0.25}) for number, value in enumerate((0.5, last))]
    summary = {
        "guard": guard(*states),
        "images": {"guard": {"a": "1", "b": "2"}},
        "rounds": [{"round": 0, "i2c_mean": 0.25, "candidates": 8}],
        "seconds_total": 75.0,
        **parts,
    }
    return ComparedRun(name, "finished", summary, {"model": {"init_args": {"loss": {"weight": weight}}}})


def page_of(*runs: ComparedRun) -> Node:
    return parse(render_comparison(compare(runs)))


def row_of(page: Node, name: str) -> list[str]:
    """Texts of the cells of a table's row."""
    (row,) = (one for one in page.find("tr") if any(cell.text.strip() == name for cell in one.find("th")))
    return ["|".join(part.text for part in cell.walk() if part.text.strip()) for cell in row.find("td")]


def test_the_page_says_which_run_is_best_and_shows_the_differences() -> None:
    page = page_of(run("one", 0.5, 0.0), run("two", 0.75, 0.1))
    (verdict,) = page.find("p", "verdict")
    assert verdict.text.startswith("Best by held-out criterion: two with 0.750, next one with 0.500")
    assert "better" in verdict.attributes["class"]
    assert row_of(page, "held-out criterion") == ["0.500", "0.750|+0.250 (+0.250 to +0.250)"]
    assert row_of(page, "held-out criterion, starting model") == ["0.500", "0.500|the same"]
    assert [cell.text for cell in page.find("code")] == ["model.loss.weight", "0.0", "0.1"]
    levels = [int(one.tag[1]) for one in page.walk() if one.tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    # a chart for each curve that was measured, with a line for each run
    titles = [one.text for one in page.find("h3")]
    assert titles == ["one", "two", "Held-out criterion", "Mean S(I²C)"]
    assert [one.attributes["data-series"] for one in page.find("g") if "data-series" in one.attributes] == [
        "one",
        "two",
    ] * 2


def on_own_images(compared: ComparedRun) -> ComparedRun:
    told = compared.summary["guard"]
    return replace(compared, summary={**compared.summary, "guard": {**told, "source": "images"}})


def test_the_criterion_is_named_by_its_images() -> None:
    own = on_own_images(run("one", 0.5, 0.0))
    page = page_of(own, on_own_images(run("two", 0.75, 0.1)))
    name = "criterion on the rounds' own images"
    assert page.find("p", "verdict")[0].text.startswith(f"Best by {name}: two with 0.750")
    assert row_of(page, f"{name}, starting model") == ["0.500", "0.500|the same"]
    assert name.capitalize() in [one.text for one in page.find("h3")]
    assert "eld-out criterion" not in page.all_text()
    both = f"held-out criterion or {name}"
    assert row_of(page_of(own, run("two", 0.75, 0.1)), f"{both}, best state") == [
        "0.500",
        "0.750|+0.250 (+0.250 to +0.250)",
    ]


def test_unpaired_differences_say_so() -> None:
    other = run("two", 0.75, 0.1, images={"guard": {"a": "3", "b": "4"}})
    page = page_of(run("one", 0.5, 0.0), other)
    assert row_of(page, "held-out criterion")[1].endswith(", unpaired)")
    (notes,) = page.find("ul", "notes")
    assert "two measured the criterion on other images than one" in notes.all_text()


def test_there_is_no_empty_table_section_or_chart() -> None:
    page = page_of(ComparedRun("a", "failed", {}, {}), ComparedRun("b", "interrupted", {}, {}))
    assert [one.attributes["id"] for one in page.find("section")] == ["runs"]
    assert not page.find("table")
    assert not page.find("svg")
    same = page_of(run("a", 0.5, 0.0), run("b", 0.5, 0.0))
    assert "options" not in [one.attributes["id"] for one in same.find("section")]
    for table in same.find("table"):
        assert all(len(row.children) == 3 for row in table.find("tr"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    hostile = ComparedRun(
        text,
        text,
        {
            "model": text,
            "seed": text,
            "rounds": [{"round": 0, text: 0.5, "i2c_mean": 0.5}],
            "guard": guard(state(0, {text: 0.5}), state(1, {text: 0.25}, (text,))),
            "exposure_bias": {"tuned, x": {text: 0.5}},
            "run": {"started": text, "version": text},
        },
        {text: text, "model": {"class_path": text}},
        (text,),
    )
    page = page_of(run("a", 0.5, 0.0, run={"version": "1"}), hostile)
    for node in page.walk():
        assert node.tag not in {"script", "iframe", "object", "embed", "link", "base", "form"}
        assert not [name for name in node.attributes if name.startswith("on")]
        assert all(node.attributes.get(name, "#").startswith("#") for name in REMOTE)
    assert len(page.find("main")) == 1
    shown = StringIO()
    console = Console(file=shown, width=80)
    for table in comparison_tables(compare([hostile, run("a", 0.5, 0.0)]), 80):
        console.print(table)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\u2066]", shown.getvalue())


@pytest.mark.parametrize(("count", "width"), [(2, 80), (3, 80), (7, 80), (7, 200), (2, 40)])
def test_tables_fit_the_terminal_and_hold_every_run(count: int, width: int) -> None:
    runs = [run(f"demo/version_{number}", number / 8, number / 8) for number in range(count)]
    shown = StringIO()
    console = Console(file=shown, width=width)
    tables = list(comparison_tables(compare(runs), width))
    for table in tables:
        console.print(table)
    assert max(map(len, shown.getvalue().splitlines())) <= width
    heads = [[str(column.header) for column in table.columns[1:]] for table in tables]
    figures = heads[: sum(str(table.columns[0].header) == "figure" for table in tables)]
    assert all(names[0] == "demo/version_0" for names in figures)
    assert [name for names in figures for name in names[1:]] == [one.name for one in runs[1:]]
    assert [name for names in heads[len(figures) :] for name in names] == [one.name for one in runs]


def test_many_runs_have_a_line_each_in_the_terminal() -> None:
    runs = [run(f"trial {number}", number / 8, 0.0) for number in range(20)]
    shown = StringIO()
    console = Console(file=shown, width=100)
    (table,) = comparison_tables(compare(runs), 100)
    console.print(table)
    (line,) = (one for one in shown.getvalue().splitlines() if "trial 19 " in one)
    assert "2.375 +2.375 (+2.375 to +2.375)" in line


def test_many_runs_share_a_chart_as_far_as_lines_can_be_told_apart() -> None:
    page = page_of(*(run(f"run {number}", 0.5, number) for number in range(10)))
    series = {one.attributes["data-series"] for one in page.find("g") if "data-series" in one.attributes}
    assert series == {f"run {number}" for number in range(8)}
    assert "The first 8 of 10 runs." in page.all_text()


@needs_chromium
def test_the_browser_has_nothing_to_complain_of(tmp_path: Path) -> None:
    file = tmp_path / "compare.html"
    file.write_text(render_comparison(compare([run("one", 0.5, 0.0), run("two", 0.75, 0.1)])), encoding="utf-8")
    shown, complaints = dump_dom(file)
    assert complaints == []
    assert "two with 0.750" in shown
