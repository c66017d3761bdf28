"""The protocols: what a provider that cannot train has to offer for rounds, benchmarks and `score`."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from PIL import Image
from torch import nn

from lightning_c3l.evaluation.predict import PredictionConfig, predict_chunk
from lightning_c3l.lvlm.base import AnswerTokens, Chats, GenerationRequest, Images, InferenceLVLM, Sampling
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.samples import QuestionChunk, QuestionItem, ScoringChunk, ScoringItem
from lightning_c3l.modules.dataset_scoring import score_chunk
from lightning_c3l.records import Conversation, exchange
from lightning_c3l.rounds.generation import GenerationConfig, ImageChunk, generate_candidates
from lightning_c3l.rounds.scoring import score_candidates
from lightning_c3l.selection.scoring_config import ScoringConfig


class Server:
    """Generates and scores as an inference server could, and has nothing else: no weights and no training."""

    name = "some/model at http://localhost:8000"
    fingerprint = "served"
    dtype = None
    chat_template = ""

    def __init__(self) -> None:
        self.network = nn.Module()

    def unsupported_images(self, images: Sequence[Image.Image]) -> list[str]:
        return ["too small" if image.width < 8 else "" for image in images]

    def cache_image_features(self) -> AbstractContextManager[None]:
        return nullcontext()

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int | None = None,
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[str]], object] = lambda _, __: None,
    ) -> list[list[str]]:
        texts = [[f"What is it, {n}?\nAnswer: a {one.prompt}" for n in range(sampling.samples)] for one in requests]
        for index, own in enumerate(texts):
            progress(len(own))
            finished(index, own)
        return texts

    def score(
        self, images: Sequence[Images], chats: Sequence[Chats], shuffled: Sequence[Images] | None = None
    ) -> AnswerTokens:
        rows = sum(turn.role == "assistant" for own in chats for chat in own for turn in chat)
        logp = torch.full((rows, 2), -1.0)
        other = None if shuffled is None else 2 * logp
        return AnswerTokens(logp, 3 * logp, -logp, torch.ones(rows, 2, dtype=torch.bool), other)

    def mean_nll(self, images: Sequence[Images], chats: Sequence[Chats]) -> list[list[float]]:
        return [[float(len(chat[-1].text)) for chat in own] for own in chats]


IMAGES = {key: Image.new("RGB", (size, size)) for key, size in {"a": 16, "b": 16, "small": 4}.items()}


@pytest.fixture
def lvlm() -> InferenceLVLM:
    return Server()


def test_one_that_cannot_train_makes_the_records_of_a_round(lvlm: InferenceLVLM) -> None:
    config = GenerationConfig("scenes", 1, Sampling(2), begin="Question:")
    with pytest.warns(UserWarning, match="image small is left out: too small"):
        candidates = generate_candidates(lvlm, ImageChunk(list(IMAGES), IMAGES.__getitem__), config, seed=0)
    assert [(one.image, one.sample, one.rejected) for one in candidates] == [(k, n, "") for k in "ab" for n in (0, 1)]
    scored = score_candidates(lvlm, candidates, IMAGES.__getitem__, BatchSize(2, "batch_size"), ScoringConfig(0))
    assert [one.candidate for one in scored] == candidates
    for one in scored:
        assert one.scores is not None
        # p log(p / q) summed over two tokens of p = 1/e, q = 1/e^3, and its mean
        assert one.scores.gap == pytest.approx(2)
        assert one.scores.tokens == 2
        assert one.shuffled is not None


def test_it_answers_benchmarks_and_scores_sets(lvlm: InferenceLVLM) -> None:
    question = QuestionItem(1, "What?", "Which?", ("yes", "no"), "a")
    chunk = QuestionChunk(0, [question], IMAGES)
    (row,) = predict_chunk(lvlm, chunk, PredictionConfig(losses=True), BatchSize(1, "size"))
    assert row == {"record": 1, "losses": [3, 2], "text": "What is it, 0?\nAnswer: a What?"}
    item = ScoringItem(1, (1,), Conversation("1", "a", exchange("What?", "red")), ("a",))
    (row,) = score_chunk(lvlm, ScoringChunk(0, [item], IMAGES), BatchSize(1, "size"), ScoringConfig(0))
    assert [turn["status"] for turn in row["turns"]] == ["scored"]


def test_one_of_transformers_offers_all_that_a_module_may_ask_for() -> None:
    """jsonargparse compares signatures: an option of a protocol's type takes this class only while they agree."""
    from jsonargparse import ArgumentParser

    from lightning_c3l.lvlm.base import RoundLVLM, TrainableLVLM

    name = "lightning_c3l.lvlm.huggingface.HuggingFaceLVLM"
    for protocol in (InferenceLVLM, TrainableLVLM, RoundLVLM):
        parser = ArgumentParser()
        parser.add_argument("--lvlm", type=protocol)
        assert parser.parse_args([f"--lvlm={name}", "--lvlm.path=x"]).lvlm.class_path == name
