"""`validate-data`: every kind of problem, by hand."""

import json
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
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
    assert main([str(tmp_path / "x.json")]) == 0
    assert capsys.readouterr().out == (
        "2 records, 2 conversations, 1 images, 1 references to images, 6 turns, 1 text-only, 0 problems\n"
    )


def jpeg(red: int) -> bytes:
    file = BytesIO()
    Image.effect_noise((64, 64), red).convert("RGB").save(file, "jpeg")
    return file.getvalue()


def test_a_cut_photograph_is_found_and_counted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "whole.jpg").write_bytes(jpeg(9))
    (tmp_path / "cut.jpg").write_bytes(jpeg(9)[:-300])
    names = ["whole.jpg", "cut.jpg", "whole.jpg", "cut.jpg"]
    (tmp_path / "x.json").write_text(json.dumps([record("<image>a", "b", image=name) for name in names]))
    assert main([str(tmp_path / "x.json")]) == 1
    *problems, summary = capsys.readouterr().out.splitlines()
    says = [f"record {number}: image 'cut.jpg' cannot be read: damaged: OSError: image file is tr" for number in (2, 4)]
    assert [line[: len(words)] for line, words in zip(problems, says, strict=True)] == says
    assert summary == ("4 records, 4 conversations, 2 images, 4 references to images, 8 turns, 0 text-only, 2 problems")
    assert main([str(tmp_path / "x.json"), "--no-check-images"]) == 0
    assert "2 images, 4 references" in capsys.readouterr().out


def test_images_that_a_set_carries_are_told_apart_by_their_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = jpeg(9), jpeg(90)
    files = [first, second, second, first[:-300]]
    rows = [{"image": {"bytes": one, "path": None}, "question": "<image>a", "answer": "b"} for one in files]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    assert main([str(tmp_path / "x.parquet")]) == 1
    problem, summary = capsys.readouterr().out.splitlines()
    assert problem.startswith("record 4: image '' cannot be read: damaged: OSError: image file is truncated")
    assert "3 images, 4 references to images" in summary


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
    status, printed = run("validate-data", "x.jsonl", "--images", "images", cwd=tmp_path)
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
    assert printed.splitlines()[-1] == (
        "9 records, 5 conversations, 3 images, 3 references to images, 13 turns, 3 text-only, 9 problems"
    )


def test_images_beside_the_file_are_looked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text(json.dumps([record("<image>a", "b", image="a.png")]))
    assert main([str(tmp_path / "x.json")]) == 1
    assert "record 1: image a.png is not below" in capsys.readouterr().out
    (tmp_path / "a.png").write_bytes(b"")
    assert main([str(tmp_path / "x.json"), "--no-check-images"]) == 0
    assert main([str(tmp_path / "x.json")]) == 1


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
