"""`score` as users run it: a set in, the same set with scores out, on one process or two, killed and gone on with."""

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from data_modules.loading.decoding import decode_rgb
from lightning_c3l.cli.score import main
from lightning_c3l.functional.i2c import all_readings
from lightning_c3l.records import Turn, exchange
from tests.helpers.commandline import run, start
from tests.helpers.tiny import load_tiny, pictures

QUESTIONS = ("What color are the rings?", "Where are the crosses?", "How many circles are there?")
ANSWERS = ("red", "top left", "there are three of them, I think")


def record(number: int) -> dict[str, Any]:
    turns: list[dict[str, str]] = []
    for place in range(1 + number % 2):
        question = QUESTIONS[(number + place) % 3]
        turns.append({"from": "human", "value": f"<image>\n{question}" if place == 0 else question})
        turns.append({"from": "gpt", "value": ANSWERS[(number + place * 2) % 3]})
    return {"id": number, "image": f"picture {number % 5}.png", "conversations": turns, "note": {"kept": [1, None]}}


def write_set(folder: Path, count: int) -> Path:
    # of the model's own size: resizing depends on the image library that is installed
    (folder / "images").mkdir()
    for number, picture in enumerate(pictures(5)):
        picture.save(folder / "images" / f"picture {number}.png")
    (folder / "set.jsonl").write_text("".join(json.dumps(record(number)) + "\n" for number in range(count)))
    return folder / "set.jsonl"


def score(source: Path, out: Path, checkpoint: Path, *more: str) -> tuple[int, str]:
    words = ["score", "--model", str(checkpoint), "--images", str(source.parent / "images"), "--accelerator", "cpu"]
    return run(*words, str(source), str(out), *more, cwd=source.parent)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_scores_are_those_of_the_model(tmp_path: Path, tiny_checkpoint: Path) -> None:
    source = write_set(tmp_path, 7)
    status, printed = score(source, tmp_path / "out.jsonl", tiny_checkpoint)
    assert status == 0, printed
    assert "answers scored" in printed
    lvlm = load_tiny(tiny_checkpoint, None)
    found = lines(tmp_path / "out.jsonl")
    assert [{k: v for k, v in one.items() if k != "c3l_scores"} for one in found] == lines(source)
    for number, one in enumerate(found):
        said = record(number)["conversations"]
        turns: list[Turn] = []
        for user, assistant in zip(said[::2], said[1::2], strict=True):
            turns += exchange(user["value"].removeprefix("<image>\n"), assistant["value"])
        image = decode_rgb(tmp_path / "images" / f"picture {number % 5}.png")
        tokens = lvlm.score([[image]], [[turns]])
        readings = all_readings(tokens.logp_image, tokens.logp_blind, tokens.kl, tokens.mask)
        assert [turn["turn"] for turn in one["c3l_scores"]] == list(range(1, len(said), 2))
        for name, values in readings._asdict().items():
            assert [turn[name] for turn in one["c3l_scores"]] == pytest.approx(values.tolist(), abs=1e-4)
        assert all(isinstance(turn["shuffled"], float) for turn in one["c3l_scores"])
    meta = json.loads((tmp_path / "out.meta.json").read_text())
    assert (meta["count"], meta["image_root"]) == (7, "images")
    assert meta["scored_with"]["fingerprint"] == lvlm.fingerprint
    assert meta["figures"]["scored"] == sum(len(one["c3l_scores"]) for one in found) == 10
    assert "how the readings rank 10 answers" in printed
    assert meta["figures"]["ranks"]["correlation"]["answer"]["answer"] == pytest.approx(1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out.jsonl", "out.meta.json", "set.jsonl"]


def test_broken_records_and_pictures_stop_nothing(tmp_path: Path, tiny_checkpoint: Path) -> None:
    source = write_set(tmp_path, 4)
    (tmp_path / "images" / "picture 2.png").write_bytes(b"no image")
    with source.open("a") as file:
        file.write('{"id": 9, broken\n')
        file.write(json.dumps({"id": 10, "conversations": record(0)["conversations"][1:]}) + "\n")
        said = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "so"}]
        file.write(json.dumps({"id": 11, "conversations": said}) + "\n")
    status, printed = score(source, tmp_path / "out.jsonl", tiny_checkpoint)
    assert status == 0, printed
    assert [[turn["status"] for turn in one["c3l_scores"]] for one in lines(tmp_path / "out.jsonl")] == [
        ["scored"], ["scored"] * 2, ["rejected"], ["scored"] * 2, ["rejected"], ["text_only"]
    ]  # fmt: skip
    listed = {one["record"]: one["reason"] for one in lines(tmp_path / "out.rejected.jsonl")}
    assert set(listed) == {3, 5, 6}
    assert "not an image" in listed[3]
    assert "no valid JSON" in listed[5]
    assert "turns must go user, assistant" in listed[6]


def test_two_processes_write_the_same_bytes(tmp_path: Path, tiny_checkpoint: Path) -> None:
    source = write_set(tmp_path, 100)  # chunks of 32: two for one process, two for the other
    status, printed = score(source, tmp_path / "out.parquet", tiny_checkpoint)
    assert status == 0, printed
    two = ("--devices", "2", "--strategy", "ddp")
    status, printed = score(source, tmp_path / "two.parquet", tiny_checkpoint, *two)
    assert status == 0, printed
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, tiny_checkpoint: Path) -> None:
    source = write_set(tmp_path, 192)
    status, printed = score(source, tmp_path / "whole.jsonl", tiny_checkpoint)
    assert status == 0, printed
    words = ["score", "--model", str(tiny_checkpoint), "--images", "images", "--accelerator", "cpu", "set.jsonl"]
    process = start(*words, "out.jsonl", cwd=tmp_path)
    parts, ends = tmp_path / "out.jsonl.parts", time.monotonic() + 120
    while sum(file.read_bytes().count(b"\n") for file in parts.glob("*.jsonl")) < 64:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < ends
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "out.jsonl").exists()
    status, printed = run(*words, "out.jsonl", "--seed", "1", cwd=tmp_path)
    assert status == 2
    assert "created with seed=0, got seed=1" in printed
    status, printed = run(*words, "out.jsonl", "--devices", "2", "--strategy", "ddp", cwd=tmp_path)
    assert status == 0, printed
    assert "of 192 records are done already" in printed
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not parts.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set.jsonl", "out.xml"], "out.xml: cannot be written; known are .json"),
        (["set.jsonl", "set.jsonl"], "set.jsonl: would replace the set that is scored"),
        (["none.jsonl", "out.jsonl"], "none.jsonl"),
        (["set.jsonl", "out.jsonl", "--longest-side", "0"], "--longest-side must be at least 1"),
        (["set.jsonl", "out.jsonl", "--devices", "foo"], "--devices foo: must be a number of processes"),
        (["set.jsonl", "out.jsonl", "--images", "nowhere"], "--images nowhere: no such folder"),
    ],
)
def test_mistakes_are_refused_before_anything_is_scored(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    write_set(tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError), match=re.escape(said)):
        main(["--model", str(tiny_checkpoint), *words])


def test_where_no_answer_is_scored_the_reason_is_said(
    tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_set(tmp_path, 2)
    (tmp_path / "images" / "picture 0.png").unlink()
    (tmp_path / "images" / "picture 1.png").write_bytes(b"no image")
    words = ["--model", str(tiny_checkpoint), "--images", str(tmp_path / "images"), "--accelerator", "cpu"]
    assert main([*words, str(source), str(tmp_path / "out.jsonl")]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"no answer was scored; the first reason: {lines(tmp_path / 'out.rejected.jsonl')[0]['reason']}"
    assert "picture 0.png" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lost.jsonl", "out.jsonl"], "lost.jsonl"),
        (["set.jsonl", "set.jsonl/out.jsonl"], "not a folder"),
        (["set.jsonl", "out.xyz"], "out.xyz: cannot be written"),
        (["set.jsonl", "out.jsonl", "--images", "lost"], "--images lost: no such folder"),
        (["set.jsonl", "out.jsonl", "--model", "a/folder/not/there"], "a/folder/not/there: no such folder"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(words, said, tmp_path, tiny_checkpoint, monkeypatch):
    write_set(tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightning_c3l.cli.score_run.HuggingFaceLVLM", lambda *_, **__: pytest.fail("was loaded"))
    with pytest.raises((ValueError, OSError), match=said):
        main(["--model", str(tiny_checkpoint), *words])
    assert not (tmp_path / "out.jsonl.parts").exists()
