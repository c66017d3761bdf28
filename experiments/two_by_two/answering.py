"""All benchmarks asked of one model: its answers as files, and what they add to the benchmarks' figures by image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_modules.loading.decoding import decode_rgb
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.evaluation.benchmarks.base import Answer, Question, QuestionSet
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

# the small base has never seen options in a question, so it is asked plainly. MMBench's rotations would all be one
# question then, so there the options stand before it; behind it they lead the base astray (0.06 right instead of 0.79)
PLAIN, OPTIONS_FIRST = "{question}", "{options}\n{question}"
_AT_ONCE = 128


@dataclass(frozen=True)
class Exam:
    """How a benchmark is put to the models.

    Attributes:
        prompt: template, see `fill_template`.
        config: what to make for each question.
        protocols: by which the answers are judged, by the name of the figure.
    """

    prompt: str
    config: PredictionConfig
    protocols: Mapping[str, str]


EXAMS: Mapping[str, Exam] = {
    "pope": Exam(PLAIN, PredictionConfig(8), {"pope_f1": "reference"}),
    "seed": Exam(PLAIN, PredictionConfig(8, losses=True), {"seed_rank": "rank", "seed_text": "strict"}),
    "mmbench": Exam(OPTIONS_FIRST, PredictionConfig(8), {"mmbench_circular": "circular"}),
    "llava_w": Exam(PLAIN, PredictionConfig(64), {"llava_w_score": "judge"}),
}
FIGURES = tuple(figure for exam in EXAMS.values() for figure in exam.protocols)


class Paper:
    """The questions of one benchmark, with their images.

    Args:
        name: of the benchmark.
        folder: what `write_benchmarks` wrote.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.exam, self.benchmark = name, EXAMS[name], benchmarks.load(name)
        files = sorted(file for file in (folder / name).iterdir() if not file.name.startswith("."))
        # its parts are told apart by their names
        paths = [folder / name] if name in ("pope", "llava_w") else files
        self.questions: QuestionSet = self.benchmark.read_questions(paths)
        files_of = {str(one.image): _file(self.questions, one, folder) for one in self.questions.questions}
        # an image goes by its bytes: benchmarks name the same one differently
        self.keys = {image: content_digest(data, size=8) for image, data in files_of.items()}
        self.images = {self.keys[image]: decode_rgb(data) for image, data in files_of.items()}

    def key(self, question: Question) -> str:
        """Name of a question's image, the same in all benchmarks."""
        return self.keys[str(question.image)]

    def prompt(self, question: Question) -> str:
        """What is asked."""
        return fill_template(self.exam.prompt, question)

    def answers(self, lvlm: InferenceLVLM) -> list[Answer]:
        """A model's likeliest answer to each question; what is the same is asked once."""
        items = dict[Any, QuestionItem]()
        asked = list[QuestionItem]()
        for question in self.questions.questions:
            options = tuple(question.options.values()) if self.exam.config.losses else ()
            same = self.key(question), self.prompt(question), options
            item = QuestionItem(len(items) + 1, same[1], question_with_hint(question), options, same[0])
            asked.append(items.setdefault(same, item))
        chunk = QuestionChunk(0, list(items.values()), self.images)
        rows = {
            row["record"]: row for row in predict_chunk(lvlm, chunk, self.exam.config, BatchSize(_AT_ONCE, "answering"))
        }
        return [
            answer_from_row(question.id, rows[item.number])
            for question, item in zip(self.questions.questions, asked, strict=True)
        ]

    def counts(self, answers: Sequence[Answer]) -> dict[str, dict[str, list[list[float]]]]:
        """What the answers about each image add to each figure's sums, `[P, K]`, by figure and image."""
        by_image = dict[str, list[tuple[Question, Answer]]]()
        for question, answer in zip(self.questions.questions, answers, strict=True):
            by_image.setdefault(self.key(question), []).append((question, answer))
        return {
            figure: {key: self._sums(pairs, protocol).tolist() for key, pairs in sorted(by_image.items())}
            for figure, protocol in self.exam.protocols.items()
        }

    def _sums(self, pairs: Sequence[tuple[Question, Answer]], protocol: str) -> NDArray[np.float64]:
        if self.name == "llava_w":
            return judge_marks(pairs)
        return np.stack([part.sum(0) for part in benchmarks.load_scored(self.name).score(pairs, protocol).parts])


def judge_marks(pairs: Sequence[tuple[Question, Answer]]) -> NDArray[np.float64]:
    """The sum of the rule judge's marks for candidates and for references, `[1, 2]`."""
    to_judge = [
        AnswerPair(question.id, "", question.text, question.context, question.reference, answer.final or "")
        for question, answer in pairs
    ]
    reviews = SceneJudge().review(to_judge)
    marks = [(review.candidate, review.reference) for review in reviews]
    sums: NDArray[np.float64] = np.array(marks, dtype=np.float64).sum(0, keepdims=True)
    return sums


def figure_of(name: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """A figure in percent from its totals `[..., P, K]`."""
    if name == "llava_w_score":
        return lambda totals: relative_score_of_sums(totals[..., 0, 0], totals[..., 0, 1])
    if name == "pope_f1":
        return lambda totals: 100 * mean_f1(totals.reshape(*totals.shape[:-1], 2, 3))
    return lambda totals: 100 * totals[..., 0, 0] / totals[..., 0, 1]


def _file(questions: QuestionSet, question: Question, folder: Path) -> bytes:
    carried = questions.images.get(str(question.image))
    return (folder / IMAGES / str(question.image)).read_bytes() if carried is None else carried
