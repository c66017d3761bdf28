"""Marks in the first lines of replies."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_c3l.evaluation.judging.parsing import marks


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("8 9\nBoth are good.", (8, 9)),
        ("8.5 9", (8.5, 9)),
        ("8,9", (8, 9)),
        ("8, 9", (8, 9)),
        ("  8   9  \nreasons", (8, 9)),
        ("8\t9", (8, 9)),
        ("\n\n8 9\nreasons", (8, 9)),
        ("8 9\r\nreasons", (8, 9)),
        ("10 1", (10, 1)),
        ("1 1", (1, 1)),
        ("8/10 9/10", (8, 9)),
        ("8/10, 9 / 10", (8, 9)),
        ("**8 9**\nreasons", (8, 9)),
        ("`7 6.5`", (7, 6.5)),
        ("<think>\n9 1? The first is better.\n</think>\n\n8 9\nreasons", (8, 9)),
    ],
)
def test_read(reply: str, expected: tuple[float, float]) -> None:
    assert marks(reply) == expected


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "\n",
        "8",
        "8 9 7",
        "89",
        "8-9",
        "0 9",
        "9 0.5",
        "11 9",
        "9 10.5",
        "nan 9",
        "9 inf",
        "-8 9",
        "8,5 9",
        "8/5 9/5",
        "Assistant 1: 8, Assistant 2: 9",
        "Marks: 8 9",
        "8 9 reasons on the same line",
        "Reasons first\n8 9",
        "eight nine",
        "\u0668 \u0669",  # digits of another script
        "8" * 100_000 + " 9",
    ],
)
def test_not_guessed_at(reply: str) -> None:
    assert marks(reply) == (-1, -1)


@given(st.decimals(1, 10, places=2), st.decimals(1, 10, places=2), st.sampled_from([" ", ","]), st.text())
def test_reads_what_the_published_rule_reads(one: object, two: object, between: str, reasons: str) -> None:
    # LLaVA-Bench: first line, commas to blanks, exactly two numbers
    assert marks(f"{one}{between}{two}\n{reasons}") == (float(str(one)), float(str(two)))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_published_reviews(shared_data: Path, number: int) -> None:
    folder = shared_data / "llava-v1.5-answers" / "llava-bench-in-the-wild"
    rows = [json.loads(line) for line in (folder / f"llava-v1.5-13b-eval{number}.jsonl").read_text().splitlines()]
    assert len(rows) == 60
    assert [list(marks(row["content"])) for row in rows] == [row["tuple"] for row in rows]
