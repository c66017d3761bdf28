"""All benchmarks answered by one model: its answers as files, and what they add to the benchmarks' figures by image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_modules.loading.decoding import decode_rgb
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.evaluation.benchmarks.answers import answer_row
from lightning_c3l.evaluation.benchmarks.base import Answer, Question
from lightning_c3l.evaluation.judging.base import AnswerPair
from lightning_c3l.evaluation.metrics.functional import mean_f1, relative_score_of_sums
from lightning_c3l.evaluation.predict import PredictionConfig, answer_from_row, predict_chunk
from lightning_c3l.evaluation.prompt_template import fill_template, question_with_hint
from lightning_c3l.lvlm.base import InferenceLVLM
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.samples import QuestionChunk, QuestionItem
from lightning_c3l.runs.digests import content_digest
from lightning_c3l.scenes.benchmarks import IMAGES
from lightning_c3l.scenes.judge import SceneJudge

# the small bases have never seen options in a question, so their prompts have none. MMBench's rotations would all be
# one prompt then, so there the options stand before the question; behind it they lead the corners' base astray (0.06
# right instead of 0.79)
PLAIN, OPTIONS_FIRST = "{question}", "{options}\n{question}"
# tokens: options may be sentences
_OPTION = 24
_BATCH = 128


@dataclass(frozen=True)
class AnsweringConfig:
    """How a benchmark is answered and scored.

    Attributes:
        prompt: template of the prompts.
        prediction: what is predicted for a prompt.
        protocols: by which the answers are scored, by the name of the figure.
    """

    prompt: str
    prediction: PredictionConfig
    protocols: Mapping[str, str]


CONFIGS: Mapping[str, AnsweringConfig] = {
    "pope": AnsweringConfig(PLAIN, PredictionConfig(8), {"pope_f1": "reference"}),
    "seed": AnsweringConfig(
        PLAIN, PredictionConfig(_OPTION, losses=True), {"seed_rank": "rank", "seed_text": "strict"}
    ),
    "mmbench": AnsweringConfig(OPTIONS_FIRST, PredictionConfig(_OPTION), {"mmbench_circular": "circular"}),
    "llava_w": AnsweringConfig(PLAIN, PredictionConfig(96), {"llava_w_score": "judge"}),
}
FIGURES = tuple(figure for config in CONFIGS.values() for figure in config.protocols)


class SceneBenchmark:
    """The questions of one benchmark of an embedded world, with their images.

    Args:
        name: of the benchmark.
        folder: the output of `write_benchmarks`.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.config = name, CONFIGS[name]
        files = sorted(file for file in (folder / name).iterdir() if not file.name.startswith("."))
        # the folders of these have several files, told apart by their names
        paths = [folder / name] if name in ("pope", "llava_w") else files
        self.questions = benchmarks.load(name).read_questions(paths)
        # an image is known by its bytes: benchmarks name the same one differently
        self._keys, self._images = dict[str, str](), dict[str, Any]()
        for image in {str(question.image) for question in self.questions.questions}:
            inside = self.questions.images.get(image)
            data = (folder / IMAGES / image).read_bytes() if inside is None else inside
            self._keys[image] = content_digest(data, size=8)
            self._images[self._keys[image]] = decode_rgb(data)

    def answers(self, lvlm: InferenceLVLM) -> list[Answer]:
        """A model's likeliest answer to each question; equal prompts are answered once."""
        items = dict[Any, QuestionItem]()
        item_of = dict[str, QuestionItem]()
        for question in self.questions.questions:
            options = tuple(question.options.values()) if self.config.prediction.losses else ()
            key, prompt = self._keys[str(question.image)], fill_template(self.config.prompt, question)
            item = QuestionItem(len(items) + 1, prompt, question_with_hint(question), options, key)
            item_of[question.id] = items.setdefault((key, prompt, options), item)
        chunk = QuestionChunk(0, list(items.values()), self._images)
        size = BatchSize(_BATCH, "answering")
        rows = {row["record"]: row for row in predict_chunk(lvlm, chunk, self.config.prediction, size)}
        questions = self.questions.questions
        return [answer_from_row(question.id, rows[item_of[question.id].number]) for question in questions]

    def rows(self, answers: Sequence[Answer], model: str) -> list[dict[str, Any]]:
        """Rows of the answer file."""
        prompts = [fill_template(self.config.prompt, question) for question in self.questions.questions]
        return [
            answer_row(question, answer, prompt, model, False, self.questions.digest)
            for question, answer, prompt in zip(self.questions.questions, answers, prompts, strict=True)
        ]

    def counts(self, answers: Sequence[Answer]) -> dict[str, dict[str, list[list[float]]]]:
        """What the answers about each image add to each figure's sums, `[P, K]`, by figure and image."""
        by_image = dict[str, list[tuple[Question, Answer]]]()
        for question, answer in zip(self.questions.questions, answers, strict=True):
            by_image.setdefault(self._keys[str(question.image)], []).append((question, answer))
        found: dict[str, dict[str, list[list[float]]]] = {figure: {} for figure in self.config.protocols}
        for figure, protocol in self.config.protocols.items():
            for key, pairs in sorted(by_image.items()):
                if protocol == "judge":
                    sums = judge_ratings(pairs).sum(0, keepdims=True)
                else:
                    score = benchmarks.load_scored(self.name).score(pairs, protocol)
                    sums = np.stack([part.sum(0) for part in score.parts])
                found[figure][key] = sums.tolist()
        return found


def judge_ratings(pairs: Sequence[tuple[Question, Answer]]) -> NDArray[np.float64]:
    """Ratings of candidate and reference by the rule judge, `[N, 2]`."""
    to_judge = [
        AnswerPair(question.id, "", question.text, question.context, question.reference, answer.final or "")
        for question, answer in pairs
    ]
    reviews = SceneJudge().review(to_judge)
    return np.array([(review.candidate, review.reference) for review in reviews], dtype=np.float64)


def figure_of(name: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """A figure in percent from its totals `[..., P, K]`."""
    if name == "llava_w_score":
        return lambda totals: relative_score_of_sums(totals[..., 0, 0], totals[..., 0, 1])
    if name == "pope_f1":
        return lambda totals: 100 * mean_f1(totals.reshape(*totals.shape[:-1], 2, 3))
    return lambda totals: 100 * totals[..., 0, 0] / totals[..., 0, 1]
