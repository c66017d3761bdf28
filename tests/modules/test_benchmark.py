"""A `test` run: one answer file whatever happened on the way, and the figures that come from it."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import data_modules.benchmark as asked_data
from data_modules.benchmark import BenchmarkDataModule
from data_modules.loading.decoding import decode_rgb
from lightning_c3l.cli.trainer import run_trainer
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.evaluation.benchmarks.answers import read_answers
from lightning_c3l.evaluation.judging.base import AnswerPair, Review
from lightning_c3l.evaluation.judging.reviews import read_reviews
from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.modules.benchmark import EvaluationModule
from lightning_c3l.records import exchange
from tests.helpers.benchmark_runs import answer_rows, benchmark_config, headline, run_benchmark
from tests.helpers.tiny import generate_texts, load_tiny

GREEDY = Sampling(1, 6, 0.0)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked_data, "CHUNK", 4)


@pytest.fixture
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint, None, keep_reference=False)


def test_answers_are_those_of_each_question_alone(
    tmp_path: Path,
    lvlm: HuggingFaceLVLM,
    benchmark_files: dict[str, tuple[str, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    logged = run_benchmark(tmp_path, lvlm, benchmark_files["pope"], "pope")
    data = BenchmarkDataModule("pope", *benchmark_files["pope"])
    found = answer_rows(tmp_path)
    assert [row["question_id"] for row in found] == [question.id for question in data.selected]
    pictures = {item.image: picture for chunk in data.chunks(0, 1) for item in chunk.items
                if (picture := chunk.images.get(str(item.image)))}  # fmt: skip
    broken = [row for row in found if row["image"] == "2.png"]
    assert 0 < len(broken) < len(found)
    for row, question in zip(found, data.selected, strict=True):
        if row in broken:
            assert row["text"] is None
            assert row["problem"].startswith("image: ")
            continue
        picture = pictures[str(Path(benchmark_files["pope"][1]) / str(question.image))]
        assert [[row["text"]]] == generate_texts(lvlm, [picture], [data.benchmark.prompt(question)], GREEDY, 0)
        assert row["prompt"] == data.benchmark.prompt(question)
        assert (row["truth"], row["blind"], row["questions"]) == (question.truth, False, data.questions.digest)
    assert len({row["text"] for row in found}) > 2
    # what is logged is what the file says
    assert set(logged) == {"test/pope_f1", "test/pope_f1_strict"}
    assert logged["test/pope_f1"] == pytest.approx(headline(tmp_path, "reference"))
    assert logged["test/pope_f1_strict"] == pytest.approx(headline(tmp_path, "strict"))
    summary = json.loads((tmp_path / "summary.json").read_text())["evaluation"]
    assert summary["test/pope_f1"] == pytest.approx(headline(tmp_path, "reference"))
    printed = capsys.readouterr()
    assert f"{len(broken)} questions have no answer and count as wrong" in printed.out


class Shouting:
    """Answers as an LVLM does, in capitals, while it serves it."""

    requests_at_once = 4
    served: HuggingFaceLVLM | None = None

    def identity(self) -> dict[str, str]:
        return {"generator": "shouting 1.0"}

    @contextmanager
    def serving(self, lvlm: HuggingFaceLVLM) -> Iterator[None]:
        self.served = lvlm
        yield
        self.served = None

    def generate(
        self, requests: Sequence[GenerationRequest], *options: Any, finished: Callable[[int, list[str]], object]
    ) -> list[list[str]]:
        assert self.served is not None
        return self.served.generate(requests, *options, finished=lambda n, texts: finished(n, [texts[0].upper()]))


def test_answers_may_come_from_a_generator_beside_the_lvlm(
    tmp_path: Path, lvlm: HuggingFaceLVLM, benchmark_files: dict[str, tuple[str, str]]
) -> None:
    generator: Any = Shouting()
    run_benchmark(tmp_path / "own", lvlm, benchmark_files["pope"], "pope")
    run_benchmark(tmp_path / "served", lvlm, benchmark_files["pope"], "pope", generator=generator)
    own, served = ([row["text"] for row in answer_rows(tmp_path / name)] for name in ("own", "served"))
    assert served == [text and text.upper() for text in own]
    assert served != own
    assert generator.served is None
    # answers of another engine are not mixed with them
    with pytest.raises(ValueError, match="generator"):
        run_benchmark(tmp_path / "served", lvlm, benchmark_files["pope"], "pope")


def test_losses_of_the_options_serve_rank(
    tmp_path: Path,
    lvlm: HuggingFaceLVLM,
    benchmark_files: dict[str, tuple[str, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    logged = run_benchmark(tmp_path, lvlm, benchmark_files["seed"], "seed", losses=True)
    data, found = BenchmarkDataModule("seed", *benchmark_files["seed"]), answer_rows(tmp_path)
    assert "2 questions about videos are left out" in capsys.readouterr().out
    chosen = list[bool]()
    images = Path(benchmark_files["seed"][1])
    for row, question in zip(found, data.selected, strict=True):
        chats = [[exchange(question.text, option) for option in question.options.values()]]
        (expected,) = lvlm.mean_nll([(decode_rgb(images / str(question.image)),)], chats)
        assert row["losses"] == pytest.approx(expected, abs=1e-4)
        chosen.append("ABCD"[expected.index(min(expected))] == question.truth)
    assert logged["test/seed_accuracy"] == pytest.approx(sum(chosen) / len(chosen))
    assert set(logged) == {"test/seed_accuracy", "test/seed_accuracy_letter", "test/seed_accuracy_strict"}
    # likelihoods alone serve no other protocol, and need no text
    logged = run_benchmark(tmp_path / "alone", lvlm, benchmark_files["seed"], "seed", losses=True, text=False)
    assert set(logged) == {"test/seed_accuracy"}
    assert [(row["losses"], row["text"]) for row in answer_rows(tmp_path / "alone")] == [
        (row["losses"], None) for row in found
    ]


def test_a_blind_run_has_a_file_and_a_folder_of_its_own(
    tmp_path: Path, lvlm: HuggingFaceLVLM, benchmark_files: dict[str, tuple[str, str]]
) -> None:
    blind = {"blind": True, "prompt": "{question} Say yes or no."}
    run_benchmark(tmp_path, lvlm, (benchmark_files["pope"][0], "no/such/folder"), "pope", blind)
    found = answer_rows(tmp_path, "answers-blind.jsonl")
    assert not (tmp_path / "answers.jsonl").exists()
    for row in found:
        assert row["blind"] is True
        assert row["prompt"] == f"{row['question']} Say yes or no."
        assert [[row["text"]]] == generate_texts(lvlm, [None], [row["prompt"]], GREEDY, 0)
    with pytest.raises(ValueError, match=r"created with blind=True, got blind=False: .* another --run.version"):
        run_benchmark(tmp_path, lvlm, benchmark_files["pope"], "pope")


class Stop(Exception):
    """What a test raises in the middle."""


def stopping(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, calls: int) -> list[str]:
    """All prompts that are written for from now on; `calls` calls are answered, the next one fails."""
    asked, write = list[str](), lvlm.generate
    left = [calls]

    def watched(requests: Sequence[GenerationRequest], *more: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Stop
        asked.extend(one.prompt for one in requests)
        return write(requests, *more, **options)

    monkeypatch.setattr(lvlm, "generate", watched)
    return asked


def test_an_interrupted_run_goes_on_and_asks_nothing_twice(
    tmp_path: Path,
    lvlm: HuggingFaceLVLM,
    benchmark_files: dict[str, tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logged = run_benchmark(tmp_path / "whole", lvlm, benchmark_files["mmbench"], "mmbench")
    with monkeypatch.context() as patch:
        first = stopping(lvlm, patch, calls=1)
        with pytest.raises(Stop):
            run_benchmark(tmp_path / "cut", lvlm, benchmark_files["mmbench"], "mmbench")
    assert not (tmp_path / "cut" / "answers.jsonl").exists()
    # what the killed process was writing does not count
    (part,) = (tmp_path / "cut" / "answers.parts").glob("*.jsonl")
    with part.open("a") as file:
        file.write('{"record": 9, "text": "half a li')
    capsys.readouterr()
    with monkeypatch.context() as patch:
        second = stopping(lvlm, patch, calls=99)
        assert run_benchmark(tmp_path / "cut", lvlm, benchmark_files["mmbench"], "mmbench") == logged
    assert f"resuming: {len(first)} of 10 questions are done already" in capsys.readouterr().out
    assert len(first) + len(second) == 10
    assert (tmp_path / "cut" / "answers.jsonl").read_bytes() == (tmp_path / "whole" / "answers.jsonl").read_bytes()
    # a finished run has nothing left to ask, and says the same
    with monkeypatch.context() as patch:
        third = stopping(lvlm, patch, calls=0)
        assert run_benchmark(tmp_path / "cut", lvlm, benchmark_files["mmbench"], "mmbench", batch_size=1) == logged
    assert third == []


@pytest.mark.parametrize(
    ("data", "module", "said"),
    [
        ({"limit": 3}, {}, "created with count=5, got count=3"),
        ({"prompt": "{question} Why?"}, {}, "created with prompts="),
        ({}, {"max_new_tokens": 7}, "created with max_new_tokens=6, got max_new_tokens=7"),
        ({}, {"losses": True}, "created with losses=False, got losses=True"),
    ],
)
def test_other_settings_are_refused_by_name(
    tmp_path: Path,
    lvlm: HuggingFaceLVLM,
    benchmark_files: dict[str, tuple[str, str]],
    data: dict[str, Any],
    module: dict[str, Any],
    said: str,
) -> None:
    run_benchmark(tmp_path, lvlm, benchmark_files["llava_w"], "llava_w")
    with pytest.raises(ValueError, match=said):
        run_benchmark(tmp_path, lvlm, benchmark_files["llava_w"], "llava_w", data, **module)


class Ruler:
    """A judge that likes long answers."""

    name = "ruler"

    def review(self, pairs: Sequence[AnswerPair], both_orders: bool = False) -> list[Review]:
        return [Review(one.id, one.kind, 5.0, 1.0 + len(one.candidate) / 100, "5 n", self.name) for one in pairs]


def test_open_answers_are_worth_what_a_judge_says(
    tmp_path: Path,
    lvlm: HuggingFaceLVLM,
    benchmark_files: dict[str, tuple[str, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_benchmark(tmp_path, lvlm, benchmark_files["llava_w"], "llava_w") == {}
    printed = capsys.readouterr().out
    assert "python -m lightning_c3l judge" in printed
    assert str(tmp_path / "answers.jsonl") in printed
    # the answers that are there are judged afterwards
    logged = run_benchmark(tmp_path, lvlm, benchmark_files["llava_w"], "llava_w", judge=Ruler())
    marks = [1.0 + len(row["text"]) / 100 for row in answer_rows(tmp_path)]
    assert logged["test/llava_w_score"] == pytest.approx(100 * sum(marks) / (5 * len(marks)))
    reviews = read_reviews(tmp_path / "reviews.jsonl")
    assert [(one.id, one.kind, one.candidate) for one in reviews[:2]] == [
        ("0", "conv", marks[0]),
        ("1", "detail", marks[1]),
    ]
    assert headline(tmp_path, "reference") == pytest.approx(logged["test/llava_w_score"])
    assert json.loads((tmp_path / "evaluation.json").read_text())["model"] == lvlm.name


def test_questions_that_nobody_asked_are_said(
    tmp_path: Path, lvlm: HuggingFaceLVLM, benchmark_files: dict[str, tuple[str, str]]
) -> None:
    with pytest.raises(ValueError, match=r"11 of 15 questions were not asked: leave trainer.limit_test_batches"):
        run_benchmark(tmp_path, lvlm, benchmark_files["pope"], "pope", trainer={"limit_test_batches": 1})


def test_the_answer_file_is_scored_alone_as_well(
    tmp_path: Path, lvlm: HuggingFaceLVLM, benchmark_files: dict[str, tuple[str, str]]
) -> None:
    run_benchmark(tmp_path, lvlm, benchmark_files["mmbench"], "mmbench", {"limit": 7})
    file = read_answers([tmp_path / "answers.jsonl"], "mmbench")
    assert len(file.answers) == 7
    assert file.carried is not None
    assert benchmarks.load_scored("mmbench").score(
        list(zip(file.carried.questions, file.answers, strict=True)), "circular"
    ).headline == pytest.approx(headline(tmp_path, "circular"))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"max_new_tokens": 0}, {"text": False}])
def test_options_that_nothing_can_be_asked_with(lvlm: HuggingFaceLVLM, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        EvaluationModule(lvlm, **wrong)


def test_through_the_command_line(
    tmp_path: Path,
    tiny_checkpoint: Path,
    benchmark_files: dict[str, tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A run folder like any other, with a judge of the experiment file; the callbacks of rounds keep quiet."""
    config = benchmark_config(tmp_path, tiny_checkpoint, "llava_w", benchmark_files["llava_w"])
    judge = ["--model.init_args.judge", "tests.modules.test_benchmark.Ruler"]
    cli = run_trainer(["test", "--config", str(config), *judge])
    folder = tmp_path / "runs" / "llava_w" / "version_0"
    assert isinstance(cli.model, EvaluationModule)
    assert len(answer_rows(folder)) == 5
    assert len(read_reviews(folder / "reviews.jsonl")) == 5
    assert {path.name for path in folder.iterdir()} == {
        *("answers.jsonl", "answers.parts", "config.yaml", "evaluation.json", "metrics.csv", "reviews.jsonl"),
        *("summary.json", ".lock"),
    }
    assert "test/llava_w_score" in (folder / "metrics.csv").read_text()
    before = (folder / "answers.jsonl").read_bytes()
    capsys.readouterr()
    run_trainer(["test", "--config", str(config), *judge, "--run.version", "0"])
    assert "resuming: 5 of 5" in capsys.readouterr().out
    assert (folder / "answers.jsonl").read_bytes() == before
    assert not (folder.parent / "version_1").exists()


def test_what_is_wrong_with_the_questions_is_said_before_a_model_is_loaded(
    tmp_path: Path, benchmark_files: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    questions, _ = benchmark_files["pope"]
    (tmp_path / "empty").mkdir()
    config = benchmark_config(tmp_path, tmp_path / "no model", "pope", (questions, str(tmp_path / "empty")))
    with pytest.raises(ValueError, match="4 of the 4 images"):
        run_trainer(["test", "--config", str(config)])
    # nor is a folder made for a run that cannot be
    assert not (tmp_path / "runs").exists()
    monkeypatch.setattr("lightning_c3l.cli.preflight.require_checkpoint", lambda *_: None)
    with pytest.raises(ValueError, match="path of a checkpoint, not last"):
        run_trainer(["test", "--config", str(config), "--data.init_args.blind", "true", "--ckpt_path", "last"])
