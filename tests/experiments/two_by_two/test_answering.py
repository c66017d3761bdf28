"""Benchmarks of an embedded world with answers made by hand: right ones are worth 100 %, wrong ones nothing."""

from pathlib import Path

import numpy as np
import pytest

from experiments.two_by_two.answering import CONFIGS, SceneBenchmark, figure_of
from lightning_c3l.evaluation.benchmarks.base import Answer, Question
from lightning_c3l.scenes.benchmark_scenes import benchmark_scenes
from lightning_c3l.scenes.benchmarks import write_benchmarks
from lightning_c3l.scenes.worlds import WORLDS
from tests.helpers.doubles import TableLVLM

SCENES = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("benchmarks")
    write_benchmarks(out, benchmark_scenes(WORLDS["park"], SCENES, 0.2, seed=0))
    return out


def answer(question: Question, right: bool) -> Answer:
    """By text and by loss; a judge compares with the reference, to which nothing is the worst answer."""
    if not question.options:
        texts = {"yes": "no", "no": "yes"} if not right else {"": question.reference}
        return Answer(question.id, texts.get(question.truth, question.truth if right else ""))
    letter = next(one for one in question.options if (one == question.truth) == right)
    losses = tuple(float(one != letter) for one in question.options)
    return Answer(question.id, question.options[letter], losses)


@pytest.mark.parametrize("name", CONFIGS)
def test_figures_of_right_and_of_wrong_answers(name: str, folder: Path) -> None:
    benchmark = SceneBenchmark(name, folder)
    # the lowest of a judge's ratings is 1 of 10
    for right, expected in ((True, 100), (False, 10 if name == "llava_w" else 0)):
        found = benchmark.counts([answer(question, right) for question in benchmark.questions.questions])
        assert set(found) == set(benchmark.config.protocols)
        for figure, by_image in found.items():
            assert len(by_image) == SCENES
            assert figure_of(figure)(np.sum(list(by_image.values()), axis=0)) == expected


def test_an_image_has_one_name_in_all_benchmarks(folder: Path) -> None:
    names = [set(SceneBenchmark(name, folder)._images) for name in CONFIGS]
    assert names == [names[0]] * len(CONFIGS)


def test_equal_prompts_about_an_image_are_answered_once(folder: Path) -> None:
    benchmark, lvlm = SceneBenchmark("pope", folder), TableLVLM({}, {})
    questions = benchmark.questions.questions
    answers = benchmark.answers(lvlm)  # type: ignore[arg-type]
    # the same question may belong to several splits
    assert sum(map(len, lvlm.batches)) == len({(one.image, one.text) for one in questions}) < len(questions)
    assert [one.id for one in answers] == [one.id for one in questions]
    assert all(str(own.text).startswith(f"Question: {one.text}/") for one, own in zip(questions, answers, strict=True))
