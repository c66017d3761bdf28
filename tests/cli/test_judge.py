"""`judge` from files and an endpoint to files."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.cli.judge import main
from lightning_c3l.evaluation.judging.base import UNPARSED, AnswerPair, JudgeError, Review
from lightning_c3l.evaluation.judging.reviews import read_reviews
from tests.evaluation.judging.server import Answer, Request, serving

KINDS = ("conv", "detail", "complex")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's own endpoint."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)


class Mute:
    """A judge whose replies nobody can read."""

    name = "[bold]mute"

    def review(self, pairs: Sequence[AnswerPair], both_orders: bool = False) -> list[Review]:
        """No marks."""
        return [Review(one.id, one.kind, *UNPARSED, "...", self.name) for one in pairs]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six questions about two pictures, and answers to them in another order."""
    questions = [
        {"question_id": n, "image": f"{n % 2}.png", "text": f"question {n}?", "category": KINDS[n % 3]}
        for n in range(6)
    ]
    write(tmp_path / "bench" / "questions.jsonl", questions)
    write(tmp_path / "bench" / "context.jsonl", [{"image": f"{n}.png", "caption": f"Picture {n}."} for n in (0, 1)])
    references = [{"question_id": n, "text": f"It is {n}.", "model_id": "truth"} for n in range(6)]
    write(tmp_path / "bench" / "answers_gpt4.jsonl", references)
    answers = [{"question_id": n, "text": f"Maybe {n}.", "model_id": "small"} for n in reversed(range(6))]
    write(tmp_path / "answers.jsonl", answers)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def judge(folder: Path, *words: str) -> int:
    files = ["--questions", str(folder / "bench"), "--answers", str(folder / "answers.jsonl")]
    return main([*files, "--out", str(folder / "out" / "reviews.jsonl"), *words])


def script(request: Request) -> Answer:
    """8 for the reference; for the candidate 4 to short questions, 6 to others, and nothing to the last."""
    assert f"]\nIt is {request.question}.\n[END ASSISTANT 1" in request.prompt
    assert f"]\nMaybe {request.question}.\n[END ASSISTANT 2" in request.prompt
    assert f"]\nPicture {request.question % 2}.\n[END DESCRIPTION" in request.prompt
    return Answer("no marks" if request.question == 5 else f"8 {4 if request.question % 3 == 0 else 6}")


def test_reasoning_is_left_out_and_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = [{"question_id": n, "text": f"<think>{n}?</think>Maybe {n}."} for n in range(5)]
    write(folder / "answers.jsonl", [*answers, {"question_id": 5, "text": "<think>Maybe 5."}])
    assert judge(folder, "--judge-class", f"{__name__}.Mute") == 0
    printed = capsys.readouterr().out
    assert "note: 6 answers contain reasoning (<think> and the like), which is left out; in 1 of them it" in printed


def test_a_judge_goes_by_its_short_name(folder: Path) -> None:
    with pytest.raises(JudgeError, match="scenes rule judge only knows images of the embedded world"):
        judge(folder, "--judge-class", "SceneJudge")


@pytest.mark.parametrize("name", ["answers.jsonl", "bench/questions.jsonl", "bench/context.jsonl"])
def test_nothing_that_is_read_is_replaced(folder: Path, name: str) -> None:
    before = (folder / name).read_bytes()
    with pytest.raises(ValueError, match="would replace a file that is read"):
        judge(folder, "--judge-class", f"{__name__}.Mute", "--out", str(folder / name))
    assert (folder / name).read_bytes() == before


def test_to_files_and_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(script) as app:
        words = ["--judge-model", "big", "--judge-url", app.url]
        assert judge(folder, *words) == 0
        asked = len(app.requests)
        assert judge(folder, *words) == 0
    assert len(app.requests) == asked  # the second time, nothing
    reviews = read_reviews(folder / "out" / "reviews.jsonl")
    assert [one.id for one in reviews] == [str(n) for n in range(6)]
    assert [one.kind for one in reviews] == [*KINDS, *KINDS]
    assert [one.candidate for one in reviews] == [4, 6, 6, 4, 6, -1]
    printed = capsys.readouterr().out
    assert f"6 reviews by big ({app.url.removeprefix('http://')})" in printed
    assert "1 without ratings" in printed
    # reference: 100 * (26 - 1) / (40 - 1); strict: 100 * 26 / 40
    assert "64.1" in printed
    assert "65.0" in printed


def test_bad_input_asks_nothing(folder: Path) -> None:
    with serving(script) as app:
        words = ["--judge-model", "big", "--judge-url", app.url]
        write(folder / "answers.jsonl", [{"question_id": n, "text": "Maybe."} for n in range(7)])
        with pytest.raises(ValueError, match=r"answers\.jsonl.*1 ids are not among the questions: 6"):
            judge(folder, *words)
        with pytest.raises(ValueError, match="would replace a file"):
            judge(folder, *words, "--out", str(folder / "answers.jsonl"))
        with pytest.raises(ValueError, match="is a folder"):
            judge(folder, *words, "--out", str(folder))
        with pytest.raises(ValueError, match=r"--cache .* is not a folder"):
            judge(folder, *words, "--cache", str(folder / "answers.jsonl"))
    assert app.requests == []
    assert not (folder / "out").exists()


def test_a_broken_endpoint_writes_no_reviews(folder: Path) -> None:
    with serving(lambda _: Answer(status=401)) as app, pytest.raises(ValueError, match="6 of 6 reviews are missing"):
        judge(folder, "--judge-model", "big", "--judge-url", app.url)
    assert not (folder / "out" / "reviews.jsonl").exists()


def test_a_judge_of_a_class_path_that_gives_no_marks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(folder, "--judge-class", f"{__name__}.Mute") == 0
    assert [one.parsed for one in read_reviews(folder / "out" / "reviews.jsonl")] == [False] * 6
    printed = capsys.readouterr().out
    assert "[bold]mute" in printed
    assert "6 without ratings" in printed
