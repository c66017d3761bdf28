"""The page: nothing a model wrote becomes markup, and the figures are those given."""

import re
from functools import cache
from typing import Any

import pytest

from lightning_c3l.report.page import render_report
from tests.report.dom import Node, parse
from tests.report.samples import grey, no_image, refused, scored, summary

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><a href=https://example.org/ onclick=alert(1)>x</a>",
    "</svg></title></style><iframe src=//example.org></iframe>",
    "a\x00b\x07c\x1b[31m d\x85",
    "\u202egnp\x07",
    "\u2066\u200f",
    "\ud800 \ufffe \u2028",
    "]]> <!-- --> &lt;script&gt; &#60;b&#62;",
    "x" * 10_000,
]
REMOTE = ("src", "href", "xlink:href", "srcset", "action", "formaction", "data", "poster", "background")


@cache
def page_of(text: str) -> str:
    """A page where every text of the input is the same one."""
    marked: Any = text
    rounds = {
        0: [
            scored(0.5, text, text, text, text, "right", "positive"),
            scored(0.1, text, "other " + text, text, text, marked, "negative"),
            refused(text, text or "none"),
        ]
    }
    figures = summary()
    figures.update(name=text, command=text, model=text, seed=text, notes=[text], rejected_images=text)
    figures["rounds"][0].update(seconds={text: 1.0}, kind_shares={text: 1.0}, rejected={text: 2}, new=text)
    figures["rounds"][0][text] = 0.5
    figures["writers"][text] = {text: text}
    figures["exposure_bias"] = {text: {text: {text: text}}}
    figures["dataset"]["kinds"] = {text: 3}
    return render_report(figures, rounds, grey)


@cache
def page_of_summary() -> str:
    """The page of a complete summary without texts."""
    return render_report(summary(), {}, no_image)


def table_cells(page: Node, caption: str) -> dict[str, list[Node]]:
    """Cells of a table by the first words of their row."""
    (table,) = (one for one in page.find("table") if one.find("caption")[0].text == caption)
    (body,) = table.find("tbody")
    return {row.find("th")[0].text: row.find("td") for row in body.find("tr")}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    page = page_of(text)
    page.encode("utf-8")
    root = parse(page)
    for node in root.walk():
        assert node.tag not in {"script", "iframe", "object", "embed", "link", "base", "form", "a"}
        assert not [name for name in node.attributes if name.startswith("on")]
        for name in REMOTE:
            # images, and markers of the charts
            value = node.attributes.get(name, "#")
            assert value.startswith(("data:image/png;base64,", "#"))
        assert "url(" not in node.attributes.get("style", "")
    assert len(root.find("main")) == 1
    assert len(root.find("article")) == 3


@pytest.mark.parametrize("text", HOSTILE[:3])
def test_hostile_text_is_shown_as_written(text: str) -> None:
    questions = [one.text for one in parse(page_of(text)).find("p", "question")]
    assert text in questions


def test_hidden_characters_are_spelled_out() -> None:
    page = page_of("\u202egnp\x07")
    assert "\u202e" not in page
    assert "\x07" not in page
    assert "[U+202E]gnp[U+0007]" in page


def test_long_text_is_cut() -> None:
    page = page_of("x" * 10_000)
    (best, *_) = parse(page).find("p", "question")
    assert best.text == "x" * 300 + "\u2026"
    assert "x" * 2001 not in page


def test_page_is_closed_to_the_outside() -> None:
    root = parse(render_report(summary(), {0: [scored(0.3)]}, grey))
    (policy,) = (one for one in root.find("meta") if one.attributes.get("http-equiv"))
    assert policy.attributes["http-equiv"] == "Content-Security-Policy"
    directives = policy.attributes["content"].split("; ")
    assert directives[0] == "default-src 'none'"
    assert "img-src data:" in directives
    (scripts,) = (one for one in directives if one.startswith("script-src"))
    assert re.fullmatch("script-src 'sha256-[A-Za-z0-9+/]{43}='", scripts)
    (style,) = root.find("style")
    assert "@import" not in style.text
    assert "url(" not in style.text


def test_page_is_accessible() -> None:
    root = parse(render_report(summary(), {0: [scored(0.3), scored(0.1, "b.png")]}, grey))
    assert root.find("html")[0].attributes["lang"] == "en"
    assert root.find("title")[0].text == "Two rounds: C3L report"
    assert len(root.find("h1")) == 1
    assert {one.attributes["alt"] for one in root.find("img")} == {"image a.png", "image b.png"}
    assert all(one.attributes["scope"] in {"col", "row"} for one in root.find("th"))
    assert all(len(one.find("caption")) == 1 for one in root.find("table"))
    charts = root.find("svg")
    assert len(charts) == 5
    assert all(one.attributes["role"] == "img" and one.children[0].tag == "title" for one in charts)


def test_page_names_the_reading() -> None:
    (about,) = parse(render_report({}, {}, no_image)).find("p", "about")
    assert "our reading of C3L (arXiv 2405.12752)" in about.text
    assert "none is the paper's result" in about.text


def test_headline_shows_the_given_figures() -> None:
    tiles = parse(page_of_summary()).find("div", "tile")
    shown = [[(one.text, one.attributes["data-value"]) for one in tile.find("span")] for tile in tiles]
    assert shown == [
        [("0.625", "0.625"), ("0.906", "0.90625")],
        [("0.880", "0.88")],
        [("5,000", "5000")],
        [("0.900", "0.9")],
    ]
    assert "A random selection of equal size has 0.800." in tiles[3].all_text()


def test_rounds_table_shows_the_given_figures() -> None:
    cells = table_cells(parse(page_of_summary()), "Figures of each round")
    exact = {name: [one.attributes["data-value"] for one in row] for name, row in cells.items()}
    assert exact == {
        "candidates": ["1200", "1200"],
        "parsed rate": ["0.9375", "0.9375"],
        "S(I²C), all": ["0.25", "0.25"],
        "S(I²C), positives": ["0.5", "0.5"],
        "S(I²C), another image": ["-0.125", "-0.125"],
        "truth rate": ["0.75", "0.8125"],
        "truth rate, selected by S(I²C)": ["0.875", "0.875"],
        "truth rate, random selection": ["0.7421875", "0.7421875"],
        "seconds: generate": ["31.25", "31.25"],
        "seconds: train": ["60.5", "60.5"],
    }
    assert [one.text for one in cells["S(I²C), another image"]] == ["\u22120.125"] * 2
    assert [one.text for one in cells["candidates"]] == ["1,200"] * 2


def test_writers_and_exposure_bias_tables() -> None:
    root = parse(page_of_summary())
    writers = table_cells(root, "The starting model and the tuned model")
    assert [one.attributes["data-value"] for one in writers["truth rate"]] == ["0.625", "0.90625", "0.28125"]
    bias = table_cells(root, "Exposure bias")
    # columns: plain / seen, plain / unseen
    assert [[one.text for one in row] for row in bias.values()] == [["0.500", "\u2013"], ["\u2013", "few"]]


def test_an_empty_run_still_has_a_page() -> None:
    root = parse(render_report({}, {}, no_image))
    assert root.find("h1")[0].text == "C3L run"
    assert len(root.find("p", "empty")) == 10
    assert not root.find("svg")


def test_a_round_without_a_parsed_text() -> None:
    figures = {"rounds": [{"round": 0, "i2c_mean": None, "parsed_rate": 0.0}]}
    root = parse(render_report(figures, {0: [refused("nothing", "no question")]}, no_image))
    assert not root.find("article")
    assert [one.text for one in root.find("pre")] == ["nothing"]
    assert sum(one.text == "no values" for one in root.find("text")) == 2


def test_rejected_counts_come_from_the_summary_or_from_the_texts() -> None:
    texts = {0: [refused("a", "no answer")], 1: [refused(str(one), "too long") for one in range(8)]}
    figures = {"rounds": [{"round": 0, "rejected": {"no answer": 7}}, {"round": 1}]}
    root = parse(render_report(figures, texts, no_image))
    cells = table_cells(root, "Rejected texts by reason")
    assert {name: [one.text for one in row] for name, row in cells.items()} == {
        "too long": ["0", "8"],
        "no answer": ["7", "0"],
    }
    assert [one.text for one in root.find("pre")] == ["0", "1", "2", "3", "4", "a"]


def guarded(*tripped: str) -> dict[str, Any]:
    figures = {"parsed_rate": 0.5, "i2c_mean": 0.25}
    states = [{"round": 0, "held_out": 0.375, "tripped": [], "figures": figures}]
    states.append({**states[0], "round": 1, "held_out": 0.125, "tripped": list(tripped)})
    return {**summary(), "guard": {"states": states, "best": {"round": 0, "held_out": 0.375}, "exported": 0}}


def test_states_that_the_guard_judged_are_shown() -> None:
    text = render_report(guarded("parsed rate <b>fell</b>"), {}, no_image)
    page = parse(text)
    cells = table_cells(page, "What each state generates on the guard's images")
    assert {name: [one.attributes["data-value"] for one in row] for name, row in cells.items()} == {
        "S(I²C) on held-out images": ["0.375", "0.125"],
        "parsed rate": ["0.5", "0.5"],
    }
    assert "state 1: parsed rate &lt;b&gt;fell&lt;/b&gt;" in text
    assert "Best by the held-out criterion: state 0. Adapter and data set are those of state 0." in text
    assert "No limit was broken." in render_report(guarded(), {}, no_image)
    assert "Guard rails" not in page_of_summary()
