"""Rows of a chunk of questions: what was asked for, from which picture, and why there is no answer."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from lightning_c3l.evaluation.predict import PredictionConfig, predict_chunk
from lightning_c3l.lvlm.base import ConversationError, GenerationRequest, Sampling
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.samples import QuestionChunk, QuestionItem
from tests.helpers.doubles import TableLVLM


class Answering(TableLVLM):
    """Says which prompt and picture it saw; an option is as unlikely as it is long, in nats a token.

    Args:
        fits: as of `TableLVLM`.
        refused: as of `TableLVLM`.
        too_long: prompts and questions that it cannot read.
    """

    def __init__(self, fits: int | None = None, refused: Sequence[str] = (), too_long: Sequence[str] = ()) -> None:
        super().__init__({}, {}, fits, refused, too_long)
        self.written: list[str] = []

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int | None = None,
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[str]], object] = lambda _, __: None,
    ) -> list[list[str]]:
        assert (sampling.samples, sampling.temperature) == (1, 0.0)
        images: list[Any] = [one.image for one in requests]
        self._note(images, batch_size or 0)
        for number, (image, prompt) in enumerate(zip(images, [one.prompt for one in requests], strict=True)):
            if self.fits is not None and min(batch_size or 1, len(requests)) > self.fits and number == self.fits:
                raise torch.OutOfMemoryError
            if prompt in self.too_long:
                raise ConversationError(f"{prompt}: too\nlong")
            self.written.append(prompt)
            finished(number, [f"{prompt} of {image}"])
        return []

    def mean_nll(self, images: Sequence[Any], chats: Any) -> list[list[float]]:
        if self.fits is not None and len(images) > self.fits:
            raise torch.OutOfMemoryError
        self._note(images, len(images))
        if any(turn.text in self.too_long for own in chats for chat in own for turn in chat):
            raise ConversationError("no room")
        return [[float(len(chat[1].text)) or math.nan for chat in own] for own in chats]


def items(*about: str | None) -> list[QuestionItem]:
    return [
        QuestionItem(number, f"p{number}", f"q{number}", ("a", "bcd"), image)
        for number, image in enumerate(about, start=7)
    ]


def ask(lvlm: Any, own: list[QuestionItem], size: int = 2, **asking: Any) -> list[dict[str, Any]]:
    pictures = {one.image: one.image for one in own if one.image}
    chunk = QuestionChunk(0, own, pictures)  # type: ignore[arg-type]
    return predict_chunk(lvlm, chunk, PredictionConfig(**asking), BatchSize(size, "size"))


def test_texts_and_losses_of_each_question() -> None:
    lvlm = Answering()
    found = ask(lvlm, items("x", None, "x"), losses=True)
    assert found == [
        {"record": 7, "losses": [1.0, 3.0], "text": "p7 of x"},
        {"record": 8, "losses": [1.0, 3.0], "text": "p8 of None"},
        {"record": 9, "losses": [1.0, 3.0], "text": "p9 of x"},
    ]
    # one call for all texts, and each batch of losses; what has no picture is asked without
    assert lvlm.batches == [["x", None, "x"], [("x",), ()], [("x",)]]
    assert all(lvlm.remembered)


def test_what_is_not_asked_for_is_not_there() -> None:
    assert ask(Answering(), items("x")) == [{"record": 7, "text": "p7 of x"}]
    assert ask(Answering(), items("x"), text=False, losses=True) == [{"record": 7, "losses": [1.0, 3.0]}]


def test_what_cannot_be_asked_says_why_and_the_others_are_asked() -> None:
    own = items("x", "y", "x", "z")
    own[0] = own[0].without({"x": "not an image"})
    found = ask(Answering(refused=["y"], too_long=["p9"]), own)
    assert found == [
        {"record": 7, "problem": "image: not an image"},
        {"record": 8, "problem": "image: too narrow"},
        {"record": 9, "problem": "p9: too long"},
        {"record": 10, "text": "p10 of z"},
    ]


def test_a_question_that_has_no_losses_has_no_answer() -> None:
    own = items("x", "x")
    empty = QuestionItem(9, "p9", "q9", ("a", ""), "x")
    found = ask(Answering(too_long=["q7"]), [*own, empty], losses=True)
    assert found[0] == {"record": 7, "problem": "no room"}
    assert found[1] == {"record": 8, "losses": [1.0, 3.0], "text": "p8 of x"}
    assert found[2]["problem"].startswith("the loss of an option is not finite")


@pytest.mark.filterwarnings("ignore:out of memory")
def test_what_was_written_before_memory_ran_out_stays() -> None:
    lvlm = Answering(fits=2)
    found = ask(lvlm, items(*"xxxxx"), size=4, losses=True)
    assert [row["text"] for row in found] == [f"p{n} of x" for n in range(7, 12)]
    assert lvlm.written == [f"p{n}" for n in range(7, 12)]
    assert [row["losses"] for row in found] == [[1.0, 3.0]] * 5


def test_losses_have_six_places() -> None:
    lvlm = Answering()
    lvlm.mean_nll = lambda images, chats: [[1 / 3, 2.0]]  # type: ignore[method-assign]
    assert ask(lvlm, items("x"), text=False, losses=True)[0]["losses"] == [0.333333, 2.0]


@pytest.mark.parametrize("asking", [{"max_new_tokens": 0}, {"text": False}])
def test_nothing_to_ask_for_is_refused(asking: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        PredictionConfig(**asking)
