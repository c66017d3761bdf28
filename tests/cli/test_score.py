"""`score` as users run it: a set in, the same set with scores out, on one process or two, killed and gone on with."""

import json
import math
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
from tests.report.dom import parse

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


def words(source: Path, out: Path, checkpoint: Path) -> list[str]:
    images = str(source.parent / "images")
    return ["--model", str(checkpoint), "--images", images, "--accelerator", "cpu", str(source), str(out)]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_scores_are_those_of_the_model(
    tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_set(tmp_path, 7)
    assert main(words(source, tmp_path / "out.jsonl", tiny_checkpoint)) == 0
    printed = capsys.readouterr().out
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
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "images", "out.html", "out.jsonl", "out.meta.json", "out.tokens.json", "set.jsonl"
    ]  # fmt: skip
    check_tokens(tmp_path, found)


def check_tokens(folder: Path, scored: list[dict[str, Any]]) -> None:
    """The token values of answers are those that their scores were made of."""
    stored = lines_of_tokens(folder / "out.tokens.json")
    assert stored.keys() == {(n, turn["turn"]) for n, one in enumerate(scored, 1) for turn in one["c3l_scores"]}
    for (number, turn), (answer, tokens) in stored.items():
        (score,) = (one for one in scored[number - 1]["c3l_scores"] if one["turn"] == turn)
        assert answer == scored[number - 1]["conversations"][turn]["value"] == "".join(tokens["texts"])
        # no character of these answers is split, so tokens are as the model counts them
        seen, blind = tokens["logp_image"], tokens["logp_blind"]
        assert sum(seen) / score["tokens"] == pytest.approx(score["mean_logp"], abs=1e-3)
        differences = [math.exp(p) * (p - q) for p, q in zip(seen, blind, strict=True)]
        assert sum(differences) / score["tokens"] == pytest.approx(score["answer"], abs=1e-3)


def lines_of_tokens(path: Path) -> dict[tuple[int, int], tuple[str, dict[str, Any]]]:
    """Answer and token values by record and turn."""
    rows = json.loads(path.read_text())["answers"]
    return {(one["record"], one["turn"]): (one["answer"], one["tokens"]) for one in rows}


def test_broken_records_and_pictures_stop_nothing(tmp_path: Path, tiny_checkpoint: Path) -> None:
    source = write_set(tmp_path, 4)
    (tmp_path / "images" / "picture 2.png").write_bytes(b"no image")
    with source.open("a") as file:
        file.write('{"id": 9, broken\n')
        file.write(json.dumps({"id": 10, "conversations": record(0)["conversations"][1:]}) + "\n")
        said = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "so"}]
        file.write(json.dumps({"id": 11, "conversations": said}) + "\n")
        # the eighth of the set, and the seventh that is written
        file.write(json.dumps(record(3)) + "\n")
    assert main(words(source, tmp_path / "out.jsonl", tiny_checkpoint)) == 0
    assert [[turn["status"] for turn in one["c3l_scores"]] for one in lines(tmp_path / "out.jsonl")] == [
        ["scored"], ["scored"] * 2, ["rejected"], ["scored"] * 2, ["rejected"], ["text_only"], ["scored"] * 2
    ]  # fmt: skip
    listed = {one["record"]: one["reason"] for one in lines(tmp_path / "out.rejected.jsonl")}
    assert set(listed) == {3, 5, 6}
    assert "not an image" in listed[3]
    assert "no valid JSON" in listed[5]
    assert "turns must go user, assistant" in listed[6]
    page = parse((tmp_path / "out.html").read_text())
    cards = page.find("article")
    assert {one.attributes["data-section"] for one in cards} == {"best", "worst", "rejected"}
    assert sum(one.attributes["data-section"] == "rejected" for one in cards) == 3
    assert len([one for one in cards if one.find("p", "heat")]) == 7
    assert "7 answers of 7 records were scored" in page.find("p", "verdict")[0].text
    reasons = {row.find("th")[0].text for table in page.find("table") for row in table.find("tr")}
    assert any("not an image" in reason for reason in reasons)
    # no image, or none that can be read
    assert len(page.find("img")) == 7
    stored = lines_of_tokens(tmp_path / "out.tokens.json")
    assert stored.keys() == {(1, 1), (2, 1), (2, 3), (4, 1), (4, 3), (7, 1), (7, 3)}
    assert main([*words(source, tmp_path / "bare.jsonl", tiny_checkpoint), "--no-page"]) == 0
    assert not [*tmp_path.glob("bare.html"), *tmp_path.glob("bare.tokens.json")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """The scored set of one process, beside what it was made from; in a process of its own, as those compared to it."""
    folder = tmp_path_factory.mktemp("score")
    source = write_set(folder, 192)  # six chunks
    status, printed = run("score", *words(source, folder / "whole.jsonl", tiny_checkpoint), cwd=folder, timeout=400)
    assert status == 0, printed
    return folder / "whole.jsonl"


@pytest.mark.timeout(900)  # three starts of the frameworks, on a busy machine too
def test_two_processes_write_the_same_bytes(whole: Path, tiny_checkpoint: Path) -> None:
    out = whole.with_name("two.jsonl")
    two = ("--devices", "2", "--strategy", "ddp")
    given = words(whole.with_name("set.jsonl"), out, tiny_checkpoint)
    status, printed = run("score", *given, *two, cwd=whole.parent, timeout=400)
    assert status == 0, printed
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.timeout(900)  # three starts of the frameworks, on a busy machine too
def test_a_killed_run_goes_on_where_it_was(whole: Path, tiny_checkpoint: Path) -> None:
    folder, out = whole.parent, whole.with_name("out.jsonl")
    killed = words(folder / "set.jsonl", out, tiny_checkpoint)
    process = start("score", *killed, cwd=folder)
    parts, ends = folder / "out.jsonl.parts", time.monotonic() + 300
    while sum(file.read_bytes().count(b"\n") for file in parts.glob("*.jsonl")) < 64:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < ends
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not out.exists()
    with pytest.raises(ValueError, match="created with seed=0, got seed=1"):
        main([*killed, "--seed", "1"])
    status, printed = run("score", *killed, "--devices", "2", "--strategy", "ddp", cwd=folder, timeout=400)
    assert status == 0, printed
    assert "of 192 records are done already" in printed
    assert out.read_bytes() == whole.read_bytes()
    assert not parts.exists()


def test_where_no_answer_is_scored_the_reason_is_said(
    tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_set(tmp_path, 2)
    (tmp_path / "images" / "picture 0.png").unlink()
    (tmp_path / "images" / "picture 1.png").write_bytes(b"no image")
    assert main(words(source, tmp_path / "out.jsonl", tiny_checkpoint)) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"no answer was scored; the first reason: {lines(tmp_path / 'out.rejected.jsonl')[0]['reason']}"
    assert "picture 0.png" in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["lost.jsonl", "out.jsonl"], "lost.jsonl"),
        (["set.jsonl", "set.jsonl"], "set.jsonl: would replace the set that is scored"),
        (["set.jsonl", "set.jsonl/out.jsonl"], "not a folder"),
        (["set.jsonl", "out.xml"], "out.xml: cannot be written; known are .json"),
        (["set.jsonl", "out.jsonl", "--longest-side", "0"], "--longest-side must be at least 1"),
        (["set.jsonl", "out.jsonl", "--sentence-min", "0.1"], "--sentence-min need --unit sentence"),
        (["set.jsonl", "out.jsonl", "--sentences-by", "gap"], "--sentence-min need --unit sentence"),
        (["set.jsonl", "out.jsonl", "--devices", "foo"], "--devices foo: must be a number of processes"),
        (["set.jsonl", "out.jsonl", "--images", "lost"], "--images lost: no such folder"),
        (["set.jsonl", "out.jsonl", "--model", "a/folder/not/there"], "a/folder/not/there: no such folder"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(
    given: list[str], said: str, tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightning_c3l.cli.score_run.HuggingFaceLVLM", lambda *_, **__: pytest.fail("was loaded"))
    with pytest.raises((ValueError, OSError), match=re.escape(said)):
        main(["--model", str(tiny_checkpoint), *given])
    assert not (tmp_path / "out.jsonl.parts").exists()
