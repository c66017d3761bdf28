import json
from pathlib import Path

import pytest
import torch

from callbacks.writer_comparison import WriterComparison
from data_modules.scenes import SceneImages, SceneTruth
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.modules.c3l import C3LModule
from lightning_c3l.rounds.generation import GenerationConfig
from lightning_c3l.rounds.truth import Asked, whole_answer
from tests.helpers.ranks import run_ranks
from tests.helpers.tiny import load_tiny


class Data:
    """A datamodule's side of the protocol."""

    def __init__(self, count: int) -> None:
        self.truth, self.rejected, self.longest_side, self.round = SceneTruth(), [], None, -1
        self._source = SceneImages(count, follow=0.0, seed=2)

    def source(self, name: str):
        return self._source, list(self._source.keys())

    def digests(self, name: str) -> dict[str, str]:
        return dict.fromkeys(self.source(name)[1], "")

    def set_round(self, number, groups, descriptions) -> None:
        raise AssertionError("nobody makes a round here")


class Run:
    def __init__(self, folder, data) -> None:
        self.default_root_dir, self.datamodule = str(folder), data


def tiny_module(checkpoint) -> C3LModule:
    # two kinds an image, which go by the image's number
    drawing = Sampling(2, 6, 1.0)
    torch.manual_seed(0)  # of the projection head
    writing = GenerationConfig(
        "scenes", per_image=2, sampling=drawing, begin="Question: Where is it?\nAnswer:", batch_size=3
    )
    module = C3LModule(load_tiny(checkpoint), writing)
    generate = module.lvlm.generate

    def watched(requests, *rest, **named):
        assert requests, "a process without images must not ask the model"
        return generate(requests, *rest, **named)

    module.lvlm.generate = watched
    return module


def compare(folder: Path, checkpoint: str, count: int) -> None:
    run, comparison, module = Run(folder, Data(count)), WriterComparison(answer_tokens=4), tiny_module(checkpoint)
    comparison.on_fit_start(run, module)
    comparison.on_fit_end(run, module)
    assert set(comparison.state_dict()["base"]) >= {"truth_rate", "qa_accuracy", "candidates"}


def compare_on_ranks(rank: int, argument: str) -> None:
    checkpoint, folder = argument.split("|")
    for count in COUNTS:
        compare(Path(folder) / f"{count} of rank {rank}", checkpoint, count)
    count_right()


# one image leaves the second process nothing to write
COUNTS = (1, 5)


def test_two_processes_find_what_one_finds(tiny_checkpoint, tmp_path):
    run_ranks(compare_on_ranks, f"{tiny_checkpoint}|{tmp_path}")
    for count in COUNTS:
        compare(tmp_path / "alone", str(tiny_checkpoint), count)
        alone, shared = (
            json.loads((tmp_path / name / "summary.json").read_text()) for name in ("alone", f"{count} of rank 0")
        )
        assert alone == shared
        assert alone["writers"]["base"]["candidates"] == count * 2 * 2
        assert not (tmp_path / f"{count} of rank 1").exists()


def test_both_writers_are_measured_on_the_same_images(tiny_checkpoint, tmp_path):
    run, module, first = Run(tmp_path, Data(2)), tiny_module(tiny_checkpoint), WriterComparison(answer_tokens=4)
    first.on_fit_start(run, module)
    more, fewer = (WriterComparison(answer_tokens=4) for _ in range(2))
    more.load_state_dict(first.state_dict())
    grown = Run(tmp_path, Data(5))
    more.on_fit_start(grown, module)
    more.on_fit_end(grown, module)
    summary = json.loads((tmp_path / "summary.json").read_text())
    writers = summary["writers"]
    assert writers["base"]["candidates"] == writers["tuned"]["candidates"] == 2 * 2 * 2
    assert set(summary["images"]["held_out"]) == set(Data(2).digests("held_out"))
    for one in writers.values():
        # as many texts about each image
        assert sum(one["by_image"].values()) / 2 == one["truth_rate"]
        assert set(one["by_image"]) == set(summary["images"]["held_out"])
    fewer.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match=r"data\.held_out: 1 of the 2 images .* --data\.held_out null"):
        fewer.on_fit_start(Run(tmp_path, Data(1)), module)
    late = WriterComparison()
    late.load_state_dict({"base": {}})
    with pytest.raises(ValueError, match=r"data\.held_out: the starting writer was not measured"):
        late.on_fit_start(grown, module)


def test_a_resumed_run_takes_what_it_measured_before(tiny_checkpoint, tmp_path):
    run, module = Run(tmp_path, Data(2)), tiny_module(tiny_checkpoint)
    WriterComparison(answer_tokens=4).on_fit_start(run, module)
    before = json.loads((tmp_path / "summary.json").read_text())

    def generate(*_, **__):
        raise AssertionError("it was measured with these very weights")

    module.lvlm.generate, again = generate, WriterComparison(answer_tokens=4)
    again.on_fit_start(run, module)
    assert again.state_dict()["base"] == before["writers"]["base"]
    with pytest.raises(AssertionError, match="these very weights"):
        WriterComparison(answer_tokens=5).on_fit_start(run, module)


class Answering:
    """Answers a question with the number that ends it."""

    requests_at_once = 2

    def __init__(self) -> None:
        self.sizes = []

    def answers(self, keys, questions, read, sampling):
        self.sizes.append(len(questions))
        return [question.split()[-1] for question in questions]


class OddIsRight:
    def statements(self, image, question, answer):
        return whole_answer("right" if int(answer) % 2 else "wrong", answer, "number")


def count_right() -> None:
    asked, module = [Asked("image", "kind", f"number {n}", "") for n in range(7)], Answering()
    assert WriterComparison().accuracy(module, asked, str, OddIsRight()) == 3 / 7
    assert max(module.sizes) == 2
    assert WriterComparison().accuracy(module, [], str, OddIsRight()) == 0.0
    assert WriterComparison().accuracy(module, asked[1:2], str, OddIsRight()) == 1.0


def test_answers_are_counted_once_each():
    count_right()
