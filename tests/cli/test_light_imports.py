"""Verbs that need no LVLM start without the packages that take seconds to import."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from data_modules.images.shard_files import split_member
from lightning_c3l.cli.main import VERBS
from tests.helpers.run_folders import write_run

HEAVY = ("torch", "transformers", "lightning", "torchmetrics", "scipy", "peft", "wandb")
# each is refused before anything heavy is imported
WRONG = {
    "score": ["IN", "OUT", "--model", "M", "--batch-size", "0"],
    "merge": ["BASE", "ADAPTER", "."],
    "bench": ["--repeats", "0"],
    "bench-data": ["--images", "0"],
    "bench-scale": ["--candidates", "1", "2"],
    "bench-engines": ["--concurrency", "0"],
    "gpu-check": ["--only", "nothing"],
    "two-by-two": ["--seeds", "none"],
    "detector": ["--images", "1"],
    "serve-vllm": ["shipped:scenes", "--chat-template", "nowhere"],
}


def test_verbs_import_no_framework_before_they_need_one(tmp_path: Path) -> None:
    """Help and refusals of every verb, and the verbs that need no LVLM from beginning to end, in one process."""
    probe = "from tests.cli.test_light_imports import probe; probe()"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", probe, str(tmp_path)], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    # loaded by what, the first to do so
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def probe() -> None:
    """In the process of the test: print which step loaded which heavy packages."""
    folder, found, seen = Path(sys.argv[1]), dict[str, list[str]](), set[str]()

    def run(verb: str, words: Sequence[str]) -> int | None:
        status = None
        with suppress(SystemExit, ValueError):
            status = import_module(f"lightning_c3l.cli.{VERBS[verb][0]}").main(list(words))
        new = [name for name in HEAVY if name in sys.modules and name not in seen]
        seen.update(new)
        if new:
            found[f"{verb} {' '.join(words)}"] = new
        return status

    for verb in VERBS:
        run(verb, ["--help"])
    for verb, words in WRONG.items():
        assert run(verb, words) is None, verb
    # what draws pages and charts is imported where one is drawn
    if drawing := [name for name in ("jinja2", "matplotlib") if name in sys.modules]:
        found["--help"] = drawing
    assert run("evaluate", ["pope", *_pope(folder)]) == 0
    assert run("check-scores", [_scored(folder)]) == 0
    write_run(folder / "runs/demo/version_0", {"seconds_total": 2.0})
    write_run(folder / "runs/demo/version_1", {"seconds_total": 3.0, "rounds": [{"i2c_mean": 0.5}]})
    assert run("runs", [str(folder / "runs")]) == 0
    assert run("report", [str(folder / "runs/demo")]) == 0
    assert run("report", [str(folder / "runs/demo/version_*")]) == 0
    print(json.dumps(found))


def _pope(folder: Path) -> list[str]:
    questions, answers = folder / "random.json", folder / "answers.jsonl"
    asked = {"question_id": 1, "text": "Is there a dog?", "label": "yes", "image": "a.jpg"}
    questions.write_text(json.dumps(asked) + "\n", encoding="utf-8")
    answers.write_text(json.dumps({"question_id": 1, "text": "Yes"}) + "\n", encoding="utf-8")
    return ["--questions", str(questions), "--answers", str(answers), "--out", str(folder / "evaluation.json")]


def _scored(folder: Path) -> str:
    turns = [{"from": "human", "value": "<image>\nA dog?"}, {"from": "gpt", "value": "Yes."}]
    readings = {"answer": 0.5, "positions": 0.5, "vocabulary": 0.5, "gap": 0.5, "mean_logp": -0.5}
    scores = [{"turn": 1, "status": "scored", **readings, "tokens": 2, "shuffled": 0.1}]
    record = {"image": "a.jpg", "conversations": turns, "c3l_scores": scores}
    lines = [json.dumps({**record, "id": verdict, "verdict": verdict}) + "\n" for verdict in ("right", "wrong")]
    (folder / "scored.jsonl").write_text("".join(lines), encoding="utf-8")
    return str(folder / "scored.jsonl")


@pytest.mark.parametrize(
    "name", ["a.jpg", "x/y.z/b.seg.png", "b", "x/b", ".hidden", "x/.hidden.jpg", "a.", "a..png", "/a.jpg", "é ü.tar.gz"]
)
def test_members_are_split_as_webdataset_splits_them(name: str) -> None:
    from webdataset.tariterators import base_plus_ext

    assert (split_member(name) or (None, None)) == base_plus_ext(name)
