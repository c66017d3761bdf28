"""`report`: the page of a run made again, and runs compared, on folders written as a run writes them."""

import json
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lightning_c3l.cli.report import distinct_names
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.evaluation.benchmarks.answers import read_answers
from lightning_c3l.evaluation.benchmarks.evaluation import evaluate
from lightning_c3l.rounds.store import Round, RunStore
from tests.helpers.commandline import run_here
from tests.helpers.run_folders import guard, state, write_run
from tests.report.dom import Node, parse
from tests.report.samples import scored

CONFIG = {"data": {"init_args": {"images": "imgs", "fresh": None, "limit": None, "longest_side": 64}}}


def summary(last: float, **parts: Any) -> dict[str, Any]:
    states = [state(number, {"a": value - 0.25, "b": value + 0.25}) for number, value in enumerate((0.5, last))]
    return {
        "name": "demo",
        "guard": guard(*states),
        "images": {"guard": {"a": "1", "b": "2"}},
        "rounds": [{"round": 0, "candidates": 2, "parsed_rate": 1.0, "i2c_mean": 0.25}],
        **parts,
    }


def written(folder: Path, told: dict[str, Any] | None, config: Any = CONFIG, **owner: Any) -> Path:
    """A run folder with one round of two pairs."""
    write_run(folder, told, config, **owner)
    pairs = [scored(0.5, "a.png", "Is it red?", status="positive"), scored(0.1, "gone.png", "Is it blue?", sample=1)]
    figures = {"round": 0, "candidates": 2, "parsed_rate": 1.0, "i2c_mean": 0.3}
    RunStore(folder).write_round(0, Round(pairs, [], {}, figures))
    return folder


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder of runs on two images, one of which has gone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imgs").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "imgs/a.png")
    written(tmp_path / "runs/demo/version_0", summary(0.5))
    written(tmp_path / "runs/demo/version_1", summary(0.75))
    return tmp_path


def page_at(path: Path) -> Node:
    return parse(path.read_text(encoding="utf-8"))


def test_the_page_of_a_run_is_made_again_with_the_images_that_are_there(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed = run_here(capsys, "report", "runs/demo")
    assert status == 0, printed
    assert printed.splitlines()[-1] == "report: runs/demo/version_1/report.html"
    page = page_at(work / "runs/demo/version_1/report.html")
    assert "held-out criterion 0.500 → 0.750" in page.find("p", "verdict")[0].text
    # the one that is there, and the one that has gone
    assert [one.attributes["alt"] for one in page.find("img")] == ["image a.png"]
    assert any("gone.png" in one.attributes.get("aria-label", "") for one in page.find("div", "image"))
    # nothing else of the run changed
    assert json.loads((work / "runs/demo/version_1/summary.json").read_text()) == summary(0.75)
    status, printed = run_here(capsys, "report", "runs/demo/version_0", "--out", "out/mine.html")
    assert status == 0, printed
    assert (work / "out/mine.html").is_file()
    assert not (work / "runs/demo/version_0/report.html").exists()


@pytest.mark.parametrize(
    ("verb", "fresh", "shown"),
    [("fit", "fresh", "fresh"), ("fit", None, "imgs"), ("predict", "fresh", "imgs")],
)
def test_pairs_of_the_data_set_are_shown_with_their_own_images(
    work: Path, capsys: pytest.CaptureFixture[str], verb: str, fresh: str | None, shown: str
) -> None:
    # the same key in both sources
    (work / "fresh").mkdir()
    Image.new("RGB", (30, 20), "red").save(work / "fresh/a.png")
    config = {"data": {"init_args": {"images": "imgs", "fresh": fresh}}}
    folder = write_run(work / "runs/other/version_0", summary(0.5), config, verb=verb)
    RunStore(folder).write_candidates("vlit-candidates", [scored(0.5, "a.png", status="kept")])
    status, printed = run_here(capsys, "report", str(folder))
    assert status == 0, printed
    (image,) = page_at(folder / "report.html").find("img")
    with Image.open(work / shown / "a.png") as expected:
        sizes = [one.size for one in (expected, _decoded(image.attributes["src"]))]
    # tiny images are enlarged by a whole number
    assert sizes[1] == tuple(side * (sizes[1][0] // sizes[0][0]) for side in sizes[0])


def _decoded(address: str) -> Image.Image:
    return Image.open(BytesIO(b64decode(address.partition(",")[2])))


def test_runs_are_compared_with_the_first(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = run_here(capsys, "report", "runs/demo/version_*")
    assert status == 0, printed
    lines = printed.splitlines()
    assert lines[-1] == "report: runs/demo/version_0/compare.html"
    assert "Best by held-out criterion: demo/version_1 with 0.750, next demo/version_0 with 0.500" in printed
    assert "+0.250 (+0.250 to +0.250)" in printed
    page = page_at(work / "runs/demo/version_0/compare.html")
    assert [one.text for one in page.find("article")[1].find("h3")] == ["demo/version_1"]


def test_two_runs_of_the_same_options_are_equal(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(work / "runs/demo/version_2", summary(0.5))
    status, printed = run_here(capsys, "report", "runs/demo/version_0", "runs/demo/version_2")
    assert status == 0, printed
    assert "By held-out criterion demo/version_0 and demo/version_2 are equal (0.500)." in printed
    assert not re.search(r"\boption\b", printed)


def test_what_is_damaged_or_unfinished_is_named_and_shown_with_what_it_has(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = written(work / "runs/cut/version_0", None, ended=None)
    (cut / "summary.json").write_text('{"guard": {"act')
    (cut / "config.yaml").write_text("model: [")
    status, printed = run_here(capsys, "report", "runs/cut")
    assert status == 0, printed
    page = page_at(cut / "report.html")
    notes = page.find("ul", "notes")[0].all_text()
    for said in (notes, " ".join(printed.split())):
        assert "summary.json: is damaged" in said
        assert "This run has not finished (interrupted)" in said
        assert "Its command with --ckpt_path last --run.version 0 goes on." in said
        assert "config.yaml: is damaged" in said
    # the round is there
    assert "Is it red?" in [one.text for one in page.find("p", "question")]
    assert "0.300" in printed
    # nothing was put aside or mended
    assert (cut / "summary.json").read_text() == '{"guard": {"act'
    status, printed = run_here(capsys, "report", "runs/demo", "runs/cut", "--out", "compared.html")
    assert status == 0, printed
    notes = page_at(work / "compared.html").find("ul", "notes")[0].all_text()
    assert "cut/version_0 was not finished (interrupted)" in notes
    assert "summary.json: is damaged" in notes
    assert "fewer than two have finished" in printed


def of_pope(folder: Path) -> Path:
    """A run of `test` on three questions of POPE, two of which were answered wrongly."""
    rows = [
        {"question_id": f"random/{number}", "question": f"Is there {thing}?", "splits": ["random"], "image": "a.png"}
        | {"truth": truth, "text": said, "model_id": "tiny", "blind": False}
        for number, (thing, truth, said) in enumerate(
            (("a dog", "yes", "Yes."), ("<b>a cat", "no", "Yes <i>it is"), ("a cow", "yes", "No."))
        )
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = evaluate(benchmarks.load("pope"), None, read_answers([folder / "answers.jsonl"], "pope"), partial=True)
    (folder / "evaluation.json").write_text(json.dumps(found.as_json()))
    return folder


def test_a_run_of_test_shows_categories_and_wrong_answers(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = of_pope(write_run(work / "runs/pope/version_0", {"evaluation": {"n": 3}}, CONFIG, verb="test"))
    status, printed = run_here(capsys, "report", "runs/pope")
    assert status == 0, printed
    text = (folder / "report.html").read_text()
    assert "<b>a cat" not in text
    assert "<i>it" not in text
    section = next(one for one in parse(text).find("section") if one.attributes["id"] == "benchmarks")
    assert "pope, strict: by split" in [one.text for one in section.find("summary")]
    assert [one.text for one in section.find("p", "question")] == ["Is there <b>a cat?", "Is there a cow?"]
    assert [one.text for one in section.find("p", "answer")] == ["Yes <i>it is", "No."]
    assert [one.text for one in section.find("p", "score")] == ["right is no", "right is yes"]
    assert len(section.find("img")) == 2


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("answers.jsonl", "[", "answers.jsonl"),
        ("evaluation.json", '{"benchmark": "pope", "headline": {"protocol": "x"}}', "pope has no protocol 'x'"),
        # neither is anything of a run folder imported, nor does a judge tell right from wrong
        ("evaluation.json", '{"benchmark": "theirs.Own", "headline": {"protocol": "strict"}}', ""),
        ("evaluation.json", '{"benchmark": "llava_w", "headline": {"protocol": "strict"}}', ""),
    ],
)
def test_answers_that_cannot_be_shown_are_left_out(
    work: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, said: str
) -> None:
    (work / "theirs.py").write_text("raise SystemExit('imported')\n")
    folder = of_pope(write_run(work / "runs/pope/version_0", {}, CONFIG, verb="test"))
    (folder / file).write_text(text)
    status, printed = run_here(capsys, "report", "runs/pope")
    assert status == 0, printed
    assert ("no answers are shown" in " ".join(printed.split())) == bool(said)
    assert said in " ".join(printed.split())
    assert "Wrong answers" not in (folder / "report.html").read_text()


def test_damaged_rounds_and_data_sets_are_left_out(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = work / "runs/demo/version_1"
    (folder / "rounds/0/candidates-00000.jsonl").write_text("{}\n")
    (folder / "vlit-candidates.jsonl").write_text('{"candidate": 3}\n')
    (folder / "metrics.csv").write_bytes(b"step,train/loss\n1,\xff\x00\n")
    status, printed = run_here(capsys, "report", "runs/demo/version_1")
    assert status == 0, printed
    said = " ".join(printed.split())
    assert "candidates-00000.jsonl: is not what was written" in said
    assert "vlit-candidates.jsonl: is damaged" in said
    assert "held-out criterion 0.500 → 0.750" in page_at(folder / "report.html").find("p", "verdict")[0].text


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("pipe:touch made-by-a-command", "comes from a command, which is not run again"),
        ("nowhere", "nowhere"),
        ("scenes:number=3", "is not an option"),
        (["imgs"], None),
    ],
)
def test_a_source_that_cannot_be_opened_runs_nothing_and_is_said(
    work: Path, capsys: pytest.CaptureFixture[str], spec: Any, said: str | None
) -> None:
    folder = written(work / "runs/other/version_0", summary(0.5), {"data": {"init_args": {"images": spec}}})
    status, printed = run_here(capsys, "report", str(folder))
    assert status == 0, printed
    assert not page_at(folder / "report.html").find("img")
    assert not (work / "made-by-a-command").exists()
    assert said is None or said in " ".join(printed.split())


def test_keys_do_not_lead_out_of_the_source(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "imgs/a.png").rename(work / "secret.png")
    folder = write_run(work / "runs/other/version_0", summary(0.5), CONFIG)
    keys = ["../secret.png", str(work / "secret.png")]
    pairs = [scored(0.5, key, status="positive", sample=index) for index, key in enumerate(keys)]
    RunStore(folder).write_round(0, Round(pairs, [], {}, {"round": 0}))
    status, printed = run_here(capsys, "report", str(folder))
    assert status == 0, printed
    assert not page_at(folder / "report.html").find("img")


def test_mistakes_are_one_line(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["nothing"], ["runs"], []):
        status, printed = run_here(capsys, "report", *words)
        assert status == 2
        assert len(printed.splitlines()) == 1, printed
    (work / "file").touch()
    status, printed = run_here(capsys, "report", "runs/demo", "--out", "file/page.html")
    assert status == 2
    assert "file: cannot be written" in printed or "not a folder" in printed


def test_names_tell_runs_apart() -> None:
    assert distinct_names([Path("/r/a/version_0"), Path("/r/a/version_1")]) == ["a/version_0", "a/version_1"]
    assert distinct_names([Path("/r/x/a/version_0"), Path("/r/y/a/version_0")]) == ["x/a/version_0", "y/a/version_0"]
