"""`validate-data`: every kind of problem, by hand."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lightning_c3l.cli.validate_data import main
from tests.helpers.commandline import run


def record(*texts: str, **fields: Any) -> dict[str, Any]:
    turns = [{"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)]
    return fields | {"conversations": turns}


def test_a_sound_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    records = [record("<image>a", "b", image="a.png", id="1"), record("a", "b", "c", "d", id="2")]
    (tmp_path / "x.json").write_text(json.dumps(records))
    assert main([str(tmp_path / "x.json"), "--check-images"]) == 0
    assert capsys.readouterr().out == "2 records, 2 conversations, 1 images, 6 turns, 1 text-only, 0 problems\n"


def test_every_problem_is_listed(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "bad.png").write_bytes(b"\x89PNG")
    Image.new("RGB", (2, 2)).save(tmp_path / "images" / "a.png")
    lines = [
        json.dumps(record("<image>a", "b", image="a.png", id="1")),
        "{",
        json.dumps(record("<image>a", "b", id="3")),
        json.dumps(record("a", id="4")),
        json.dumps(record("a", " ", id="5")),
        json.dumps(record("<image>a", "b", image="gone\n.png", id="1")),
        json.dumps(record("<image>a", "b", image="bad.png")),
        json.dumps(record("a", "b", "a", "b")),
        json.dumps(record("a", "b") | {"video": "v.mp4"}),
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    status, printed = run("validate-data", "x.jsonl", "--images", "images", "--check-images", cwd=tmp_path)
    assert status == 1
    found = [line for line in printed.splitlines() if line.startswith("record ")]
    says = [
        "record 2: line 2: no valid JSON",
        "record 3: has <image> but no 'image'",
        "record 4: turns must go",
        "record 5: turn 2: the answer is empty",
        "record 6: id '1' is another record's already",
        "record 6: image gone .png is not below images",
        "record 7: image 'bad.png' cannot be read",
        "record 8: turn 3: repeats an earlier question",
        "record 9: video",
    ]
    assert len(found) == len(says)
    assert all(line.startswith(words) for line, words in zip(found, says, strict=True)), found
    assert printed.splitlines()[-1] == "9 records, 5 conversations, 3 images, 13 turns, 3 text-only, 9 problems"


def test_images_beside_the_file_are_looked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text(json.dumps([record("<image>a", "b", image="a.png")]))
    assert main([str(tmp_path / "x.json")]) == 1
    assert "record 1: image a.png is not below" in capsys.readouterr().out
    (tmp_path / "a.png").write_bytes(b"")
    assert main([str(tmp_path / "x.json")]) == 0
    assert main([str(tmp_path / "x.json"), "--check-images"]) == 1


def test_memory_does_not_grow_with_the_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "x.jsonl").open("w") as file:
        for number in range(3000):
            file.write(json.dumps(record("a" * 10_000, "b", id=str(number))) + "\n")
    tracemalloc.start()
    assert main([str(tmp_path / "x.jsonl")]) == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "x.jsonl").stat().st_size > 30e6
    assert peak < 6e6
