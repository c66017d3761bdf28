"""The data card: figures worked out by hand, and nothing that data could say becomes markup."""

import hashlib
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from lightning_c3l.selection.card import CardFacts, data_card, scores_chart
from lightning_c3l.selection.plan import SelectionPlan, select_records
from tests.selection.sets import columns_of
from tests.selection.test_markdown import NASTY

RENDERER = MarkdownIt("commonmark", {"html": True}).enable("table")


def facts_of(kinds: list[str] | None = None, **changes: Any) -> CardFacts:
    # 0 to 4, one record without a score, lengths 1, 1, 1, 9, 9
    columns = columns_of(
        [0.0, 1.0, 2.0, 3.0, 4.0, None], kinds or ["a", "a", "a", "b", "b", "b"], [1, 1, 1, 9, 9, 0], [1, 1, 2, 2, 3, 0]
    )
    facts = CardFacts(
        name="best.jsonl",
        source="set.jsonl",
        columns=columns,
        selection=select_records(columns, SelectionPlan(min_score=1.0)),
        control=None,
        of_control=False,
        by="answer",
        turns="mean",
        scored_with={"model": "tiny", "prompt": "USER: {question}"},
        command="python -m lightning_c3l select set.jsonl best.jsonl --min-score 1",
        seed=0,
    )
    return replace(facts, **changes)


def body_of(text: str) -> str:
    return text.split("---\n", 2)[2]


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_head_is_yaml_with_the_licence_left_open() -> None:
    text = data_card(facts_of(), "best.card.svg")
    head = yaml.safe_load(text.split("---\n")[1])
    assert head == {
        "license": None,
        "pretty_name": "best.jsonl",
        "task_categories": ["visual-question-answering"],
        "size_categories": ["n<1K"],
    }
    assert "license: # FILL IN" in text


def test_counts() -> None:
    assert rows_of(data_card(facts_of(), "x.svg"), "Contents") == [
        ["records", "4", "6"],
        ["images (sets of images where a record has several)", "3", "3"],
        ["answers", "4", "6"],
        ["answered yes", "0", "0"],
        ["answered no", "0", "0"],
        ["scored records", "4", "5"],
        ["text-only records", "0", "0"],
    ]


def test_quantiles() -> None:
    # of 1, 2, 3, 4 and of 0, 1, 2, 3, 4, linear between neighbours
    assert rows_of(data_card(facts_of(), "x.svg"), "Scores") == [
        ["0%", "1.000", "0.000"],
        ["5%", "1.150", "0.200"],
        ["25%", "1.750", "1.000"],
        ["50%", "2.500", "2.000"],
        ["75%", "3.250", "3.000"],
        ["95%", "3.850", "3.800"],
        ["100%", "4.000", "4.000"],
        ["mean", "2.500", "2.000"],
    ]


def test_lengths_and_kinds() -> None:
    text = data_card(facts_of(), "x.svg")
    assert rows_of(text, "Answer lengths") == [
        ["1", "2", "50.0%", "3", "60.0%"],
        ["2 to 9", "2", "50.0%", "2", "40.0%"],
    ]
    assert rows_of(text, "Kinds") == [
        ["a", "2", "50.0%", "3", "60.0%"],
        ["b", "2", "50.0%", "2", "40.0%"],
    ]


def test_many_kinds_are_summed_up() -> None:
    columns = columns_of([1.0] * 40, kinds=[f"kind{place:02}" for place in range(40)])
    text = data_card(facts_of(columns=columns, selection=select_records(columns, SelectionPlan(top_k=35))), "x.svg")
    rows = rows_of(text, "Kinds")
    assert len(rows) == 31
    assert rows[-1] == ["10 other kinds", "5", "14.3%", "10", "25.0%"]


def test_the_control_stands_beside_the_selection() -> None:
    control = np.array([True, True, True, True, False, False])
    text = data_card(facts_of(control=control), "x.svg")
    assert rows_of(text, "Scores")[-1] == ["mean", "2.500", "1.500", "2.000"]
    drawn = data_card(facts_of(control=control, of_control=True), "x.svg")
    assert "4 of the 6 records of set.jsonl, drawn at random (seed 0)" in drawn
    assert rows_of(drawn, "Kinds")[0] == ["a", "3", "75.0%", "3", "60.0%"]


def test_rules_and_scorer() -> None:
    text = data_card(facts_of(), "x.svg")
    page = RENDERER.render(body_of(text))
    assert "<td>--min-score 1</td>" in page
    assert "1 below the threshold" in page
    assert f"<td>{hashlib.sha256(b'USER: {question}').hexdigest()[:16]}</td>" in page
    assert "USER" not in page
    hashed = facts_of(scored_with={"prompt": "0123456789abcdef", "dtype": "float32", "images": "home/me", "bytes": 7})
    assert rows_of(data_card(hashed, "x.svg"), "Scored with") == [
        ["prompt, SHA-256", "0123456789abcdef"],
        ["dtype", "float32"],
    ]
    assert "unknown: the scored set does not say" in data_card(facts_of(scored_with={}), "x.svg")


def test_origin_and_notes_stand_before_the_figures() -> None:
    text = data_card(facts_of(origin={"images": "a|b"}, notes=["Nobody has *read* them."]), "x.svg")
    assert rows_of(text, "Origin") == [["images", "a&#124;b"]]
    assert "- Nobody has &#42;read&#42; them" in text.split("## Before use\n")[1].split("\n## ")[0]
    plain = data_card(facts_of(command=""), "x.svg")
    assert "## Origin" not in plain
    assert "## Before use" not in plain
    assert "```" not in plain


@pytest.mark.parametrize("nasty", [text for text in NASTY if text.strip()])
def test_nothing_from_the_data_becomes_markup(nasty: str) -> None:
    def tags(text: str) -> list[str]:
        return re.findall(r"</?[a-zA-Z!][^>]*>", RENDERER.render(body_of(text)))

    harmless = facts_of(kinds=["k", "k", "k", "b", "b", "b"], scored_with={"model": "m", "other": ["x"]})
    kinds = [nasty, nasty, nasty, "b", "b", "b"]
    hostile = facts_of(kinds, name=nasty, source=nasty, command=nasty, scored_with={"model": nasty, nasty: [nasty]})
    harmless, hostile = (replace(facts, origin={"a": "b"}, notes=["c"]) for facts in (harmless, hostile))
    hostile = replace(hostile, origin={nasty: nasty}, notes=[nasty])
    assert tags(data_card(hostile, "x.svg")) == tags(data_card(harmless, "x.svg"))
    head = yaml.safe_load(data_card(hostile, "x.svg").split("---\n")[1])
    assert head["pretty_name"] == nasty


def test_the_picture_counts_both() -> None:
    drawn = scores_chart(facts_of())
    assert drawn.startswith("<svg")
    assert "whole set (5)" in drawn
    assert "chosen (4)" in drawn
