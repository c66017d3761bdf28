"""The page: nothing a model wrote becomes markup, and the figures are those given."""

import re
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from lightning_c3l.report.extras import RunExtras
from lightning_c3l.report.page import render_report
from lightning_c3l.report.templating import page_environment
from tests.report.dom import Node, parse
from tests.report.samples import grey, no_image, refused, scored, states, summary, summary_without_truth, two_rounds

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
    figures.update(name=text, model=text, seed=text, notes=[text], rejected_images=text)
    figures["rounds"][0].update(seconds={text: 1.0}, kind_shares={text: 1.0}, rejected={text: 2}, new=text)
    figures["rounds"][0][text] = 0.5
    figures["writers"][text] = {text: text}
    figures["exposure_bias"] = {text: {text: text, "nll, own": 0.5}}
    figures["dataset"]["kinds"] = {text: 3}
    figures["run"] = {
        **dict.fromkeys(("command", "version", "started", "devices", "wandb"), text),
        "changed": {text: text},
    }
    figures["guard"] = states(text)
    figures["images"] = {text: {text: text}}
    evaluation = {"benchmark": text, "protocols": {text: {"metric": text, "headline": 0.5, "meaning": text, "n": 2}}}
    extras = RunExtras(text, [{text: text, "train/loss": text}], (), {text: evaluation}, {text: text})
    return render_report(figures, rounds, grey, extras)


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
        assert node.tag not in {"iframe", "object", "embed", "link", "base", "form"}
        assert not [name for name in node.attributes if name.startswith("on")]
        for name in REMOTE:
            # images, markers of the charts, and links to sections
            value = node.attributes.get(name, "#")
            assert value.startswith(("data:image/png;base64,", "#"))
        assert "url(" not in node.attributes.get("style", "")
    assert [one.text for one in root.find("script")] == [page_environment().globals["gallery_script"]]
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
    assert best.text == "x" * 600 + "\u2026"
    # but for the configuration, which is shown whole
    assert "x" * 2001 not in page.replace("x" * 10_000, "", 1)


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
    root = parse(render_report(summary(), two_rounds(), grey))
    assert root.find("html")[0].attributes["lang"] == "en"
    assert root.find("title")[0].text == "Two rounds: C3L report"
    assert len(root.find("h1")) == 1
    assert {one.attributes["alt"] for one in root.find("img")} == {f"image {index}.png" for index in range(8)} | {
        "image a.png"
    }
    levels = [int(one.tag[1]) for one in root.walk() if one.tag in {"h1", "h2", "h3", "h4"}]
    assert all(below <= above + 1 for above, below in pairwise([0, *levels]))
    assert all(one.attributes["scope"] in {"col", "row"} for one in root.find("th"))
    assert all(len(one.find("caption")) == 1 for one in root.find("table"))
    boxes = root.find("div", "scroll")
    assert len(boxes) == len(root.find("table"))
    assert all(one.attributes["tabindex"] == "0" and one.attributes["aria-label"] for one in boxes)
    charts = [one for one in root.find("svg") if one.attributes.get("aria-hidden") != "true"]
    assert all(one.attributes["role"] == "img" and one.children[0].tag == "title" for one in charts)
    targets = {one.attributes["href"].removeprefix("#") for one in root.find("a")}
    assert targets == {one.attributes["id"] for one in root.find("section")}


def test_page_names_the_reading() -> None:
    (about,) = parse(render_report({}, {}, no_image)).find("p", "about")
    assert "our reading of C3L (arXiv 2405.12752)" in about.text
    assert "none is the paper's result" in about.text


def test_sections_of_a_run_with_truth() -> None:
    root = parse(render_report({**summary(), "guard": states()}, two_rounds(), grey))
    assert [one.attributes["id"] for one in root.find("section")] == [
        *("rounds", "scores", "auroc", "pairs", "texts", "models", "exposure", "dataset"),
    ]
    titles = [one.text for one in root.find("h3")]
    assert titles[:3] == ["Criterion on the rounds' own images", "Mean S(I²C)", "Truth rate"]


def test_nothing_is_empty_on_the_page_of_a_run_without_truth() -> None:
    config = "guard:\n  limits:\n    held_out: 0.8\n"
    root = parse(render_report(summary_without_truth(), two_rounds(), grey, RunExtras(config)))
    sections = {one.attributes["id"]: one for one in root.find("section")}
    assert list(sections) == ["rounds", "scores", "pairs", "texts", "dataset", "settings"]
    for section in sections.values():
        assert section.find("svg") or section.find("table") or section.find("article") or section.find("pre")
    for table in root.find("table"):
        for row in table.find("tbody")[0].find("tr"):
            assert any(cell.text not in ("", "\u2013") for cell in row.find("td")), row.all_text()
    for tile in root.find("div", "tile"):
        assert "\u2013" not in tile.find("p", "value")[0].all_text()
    assert "no values" not in root.all_text()
    assert "truth" not in " ".join(one.text for one in root.find("h3")).lower()


def test_the_first_screen_says_whether_the_rounds_helped() -> None:
    head = parse(render_report({**summary_without_truth(), "guard": states("parsed rate fell")}, {}, no_image)).find(
        "header"
    )[0]
    (verdict,) = head.find("p", "verdict")
    # both images lose 0.25, so every resample does
    assert verdict.attributes["class"] == "verdict worse"
    change = "0.375 \u2192 0.125 (change \u22120.250, 95 % \u22120.250 to \u22120.250)"
    assert f"criterion on the rounds' own images {change}" in verdict.text
    notes = [one.text for one in head.find("ul", "notes")[0].find("li")]
    assert notes[0] == "State 1 broke a limit: parsed rate fell."
    assert "Exported is state 1" in notes[1]
    tile, *others = head.find("div", "tile")
    assert [
        one.attributes["data-value"]
        for one in tile.find("p", "value")[0].find("span")
        if "data-value" in one.attributes
    ] == ["0.375", "0.125"]
    assert tile.find("p", "change")[0].text == "\u22120.250 (95 % interval \u22120.250 to \u22120.250)"
    assert len(others) == 3
    facts = dict(
        zip((one.all_text() for one in head.find("dt")), (one.all_text() for one in head.find("dd")), strict=True)
    )
    assert facts["command"] == "fit --config x.yaml"
    assert facts["i2c.reading"] == "gap"


def test_rounds_table_shows_the_given_figures() -> None:
    cells = table_cells(parse(page_of_summary()), "Figures of each round")
    exact = {name: [one.attributes["data-value"] for one in row] for name, row in cells.items()}
    assert exact == {
        "candidates": ["1200", "1200"],
        "parsed rate": ["0.9375", "0.9375"],
        "S(I²C), all": ["0.25", "0.25"],
        "S(I²C), positives": ["0.5", "0.5"],
        "S(I²C) answer, another image": ["-0.125", "-0.125"],
        "truth rate": ["0.75", "0.8125"],
        "truth rate, selected by S(I²C)": ["0.875", "0.875"],
        "truth rate, random selection": ["0.7421875", "0.7421875"],
        "seconds: generate": ["31.25", "31.25"],
        "seconds: train": ["60.5", "60.5"],
    }
    assert [one.text for one in cells["S(I²C) answer, another image"]] == ["\u22120.125"] * 2
    assert [one.text for one in cells["candidates"]] == ["1,200"] * 2


def test_writers_and_exposure_bias_tables() -> None:
    root = parse(page_of_summary())
    writers = table_cells(root, "What the starting and the tuned model generate about the same images")
    assert [one.text for one in writers["truth rate"]] == ["0.625", "0.906", "+0.281"]
    bias = table_cells(root, "After a prefix that the model generated itself, and after one made from the truth")
    # starting model: own and true prefix, then tuned model: own and true prefix
    assert {name: [one.text for one in row] for name, row in bias.items()} == {
        "NLL of the true answer": ["0.500", "\u2013", "0.250", "\u2013"],
        "right answers, attributes seen in training": ["\u2013", "0.750", "\u2013", "\u2013"],
    }


def test_an_empty_run_still_has_a_page() -> None:
    root = parse(render_report({}, {}, no_image))
    assert root.find("h1")[0].text == "C3L run"
    assert root.find("p", "verdict")[0].attributes["class"] == "verdict unmeasured"
    assert not root.find("section")
    assert not root.find("nav")
    assert not root.find("svg")


def test_a_round_without_a_parsed_text() -> None:
    figures = {"rounds": [{"round": 0, "i2c_mean": None, "parsed_rate": 0.0}]}
    root = parse(render_report(figures, {0: [refused("nothing", "no question")]}, no_image))
    assert [one.attributes["id"] for one in root.find("section")] == ["rounds", "pairs", "texts"]
    assert [one.text for one in root.find("pre")] == ["nothing"]
    assert "Mean S(I²C)" not in [one.text for one in root.find("h3")]


def test_rejected_counts_come_from_the_summary_or_from_the_texts() -> None:
    texts = {0: [refused("a", "no answer")], 1: [refused(str(one), "too long") for one in range(8)]}
    figures = {"rounds": [{"round": 0, "rejected": {"no answer": 7}}, {"round": 1}]}
    cells = table_cells(parse(render_report(figures, texts, no_image)), "Rejected texts by reason")
    assert {name: [one.text for one in row] for name, row in cells.items()} == {
        "too long": ["0", "8"],
        "no answer": ["7", "0"],
    }


def test_states_that_the_guard_judged_are_shown() -> None:
    text = render_report({**summary(), "guard": states("parsed rate <b>fell</b>")}, {}, no_image)
    cells = table_cells(parse(text), "What each state generates on the guard's images")
    assert {name: [one.text for one in row] for name, row in cells.items()} == {
        "criterion on the rounds' own images": ["0.375", "0.125"],
        "its change": ["\u2013", "\u22120.250 to \u22120.250"],
        "parsed rate": ["0.500", "0.500"],
        "distinct questions": ["0.750", "0.750"],
    }
    assert "State 1 broke a limit: parsed rate &lt;b&gt;fell&lt;/b&gt;" in text


def test_benchmark_figures_have_their_intervals() -> None:
    result = {"metric": "f1", "headline": 0.8125, "interval": [0.75, 0.875], "n": 3000, "meaning": "mean F1"}
    evaluation = {"benchmark": "pope", "protocols": {"reference": result, "strict": {**result, "interval": None}}}
    page = render_report({}, {}, no_image, RunExtras(evaluations={"eval": evaluation}))
    cells = table_cells(parse(page), "Headline figures, shares in [0, 1] but for llava_w, which is in percent")
    assert {name: [one.text for one in row] for name, row in cells.items()} == {
        "pope, reference": ["f1", "0.812", "0.750 to 0.875", "3,000"],
        "pope, strict": ["f1", "0.812", "\u2013", "3,000"],
    }
    assert not parse(page).find("details")
    # of the run folder itself nothing is to be said
    own = RunExtras(evaluations={".": {"benchmark": "pope", "protocols": {"reference": {**result, "meaning": ""}}}})
    assert not parse(render_report({}, {}, no_image, own)).find("th")[-1].find("small")


def test_a_benchmark_has_its_categories() -> None:
    splits = {"random": {"f1": 0.875, "n": 3000}, "<b>": {"f1": 0.75, "n": 12, "unparsable": 1}}
    result = {"metric": "f1", "headline": 0.8125, "interval": None, "n": 3012, "parse_failures": 2}
    result |= {"figures": {"pooled_f1": 0.8}, "tables": {"split": splits}}
    page = render_report(
        {}, {}, no_image, RunExtras(evaluations={".": {"benchmark": "pope", "protocols": {"strict": result}}})
    )
    assert "<b>" not in page
    root = parse(page)
    cells = table_cells(root, "pope, strict: by split")
    assert {name: [one.text for one in row] for name, row in cells.items()} == {
        "random": ["0.875", "3,000", "\u2013"],
        "<b>": ["0.750", "12", "1"],
    }
    (table,) = (one for one in root.find("table") if one.find("caption")[0].text == "pope, strict: by split")
    assert [one.text for one in table.find("thead")[0].find("th")] == ["category", "f1", "n", "unparsable"]
    cells = table_cells(root, "pope, strict: all answers")
    assert {name: row[0].text for name, row in cells.items()} == {"parse failures": "2", "pooled_f1": "0.800"}
    # the headlines are seen at once
    assert [one.find("summary")[0].text for one in root.find("details")] == [
        "pope, strict: all answers",
        "pope, strict: by split",
    ]


def test_configuration_and_digests_are_folded() -> None:
    extras = RunExtras(config="model:\n  a: <b>\n", digests={"vlit.json": "00ff"}, folder="version_3")
    root = parse(render_report({"name": "own"}, {}, no_image, extras))
    assert root.find("h1")[0].text == "own, version 3"
    (section,) = root.find("section")
    assert section.attributes["id"] == "settings"
    assert all("open" not in one.attributes for one in section.find("details"))
    assert section.find("pre")[0].text == "model:\n  a: <b>\n"
    assert section.find("code")[0].text == "00ff"


def test_the_same_figures_make_the_same_page() -> None:
    assert render_report(summary(), two_rounds(), grey) == render_report(summary(), two_rounds(), grey)
