"""The truth about easy-VQA images: which pairs of question and answer hold.

An image shows one shape in one colour. The questions that come with it tell both for nine images in ten;
where they leave it open, the image itself is measured (its colours are exact, its shapes differ in how they
fill their box).
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from data_modules.loading.decoding import decode_rgb
from experiments.easy_vqa.questions import (
    KINDS,
    PALETTE,
    SHAPES,
    ColoredShape,
    answer_to,
    answer_words,
    judge_answer,
    parse_question,
)
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.records import Verdict
from lightning_c3l.rounds.truth import Asked, Statement, whole_answer

# question, answer, number of the image
Row = tuple[str, str, int]


class EasyVQATruth:
    """Judges generated pairs about the images of one easy-VQA questions file.

    Args:
        questions: JSON list of [question, answer, image id].
        images: folder of `<image id>.png`, for images that their questions leave open; by default `images`
            or `test/images` beside the questions file, where there is one.

    Raises:
        ValueError: the file holds something else, or contradicts itself.
        OSError: it cannot be read.
    """

    def __init__(self, questions: str, images: str | None = None) -> None:
        self._path = questions
        folder = Path(images) if images is not None else _beside(Path(questions))
        rows = read_rows(Path(questions))
        self._figures = _figures(rows, folder)
        self._rows = defaultdict[int, list[Row]](list)
        for row in rows:
            self._rows[row[2]].append(row)

    def figure(self, image: str) -> ColoredShape | None:
        """What the image shows, None where neither its questions nor the image itself can tell.

        Raises:
            ValueError: the file has no question about this image.
        """
        try:
            return self._figures[_number(image)]
        except (KeyError, ValueError) as error:
            raise ValueError(f"{self._path}: nothing is known about image {image}") from error

    def judge(self, image: str, question: str, answer: str) -> Verdict:
        """Whether the answer is right.

        Args:
            image: a path that ends in `<image id>.png`.
            question: any text.
            answer: any text.

        Returns:
            "unparsable" where question or answer cannot be understood, "unanswerable" where the question
            takes for granted what is not there (or nothing is known about the image), else "right" or
            "wrong".

        Raises:
            ValueError: the file has no question about this image.
        """
        figure = self.figure(image)
        query, words = parse_question(question), answer_words(answer)
        if query is None or words is None:
            return "unparsable"
        return "unanswerable" if figure is None else judge_answer(query, words, figure)

    def statements(self, image: str, question: str, answer: str) -> list[Statement]:
        """The answer as one statement; none if it cannot be understood.

        Raises:
            ValueError: the file has no question about this image.
        """
        return whole_answer(self.judge(image, question, answer), answer, kind_of(question))

    def questions(self, images: Sequence[str]) -> list[Asked]:
        """One of the file's own questions of each kind that it has about each image; the same at every call.

        Raises:
            ValueError: the file has no question about one of these images.
        """
        out = list[Asked]()
        for image in images:
            self.figure(image)  # refuses an image of another set
            rows, random = self._rows[_number(image)], stream("questions", _number(image))
            for kind in KINDS:
                of_kind = [row for row in rows if kind_of(row[0]) == kind]
                if of_kind:
                    question, answer, _ = random.choice(of_kind)
                    out.append(Asked(image, kind, question, answer))
        return out

    def resolve(self, image: str, question: str) -> Asked | None:
        """A generated question with its true answer; None where it cannot be understood or has none.

        Raises:
            ValueError: the file has no question about this image.
        """
        figure, query = self.figure(image), parse_question(question)
        if figure is None or query is None:
            return None
        answer = answer_to(query, figure)
        return None if answer is None else Asked(image, query.kind, question, answer)


def _number(image: str) -> int:
    return int(Path(image).stem)


def kind_of(question: str) -> str:
    """What a question asks for; "" where it cannot be understood."""
    query = parse_question(question)
    return "" if query is None else query.kind


def _beside(questions: Path) -> Path | None:
    folders = (questions.parent / "images", questions.parent / "test" / "images")
    return next((folder for folder in folders if folder.is_dir()), None)


def read_rows(path: Path) -> list[Row]:
    """The rows of a questions file, a JSON list.

    Raises:
        ValueError: the file holds something else.
        OSError: it cannot be read.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [(str(question), str(answer), int(image)) for question, answer, image in rows]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: must be a list of [question, answer, image id]") from error


def _figures(rows: list[Row], folder: Path | None) -> Mapping[int, ColoredShape | None]:
    """What each image shows: the one figure under which every answer about it is right; None if they leave it open.

    Raises:
        ValueError: an answer cannot be understood, or contradicts the others about its image.
    """
    left: dict[int, list[ColoredShape]] = {}
    for question, answer, image in rows:
        query, words = parse_question(question), answer_words(answer)
        if query is None or words is None:
            raise ValueError(f"image {image}: cannot understand {question!r} with answer {answer!r}")
        before = left.get(image) or [ColoredShape(shape, color) for shape, color in product(SHAPES, PALETTE)]
        left[image] = [figure for figure in before if judge_answer(query, words, figure) == "right"]
        if not left[image]:
            raise ValueError(f"image {image}: its answers contradict each other at {question!r}")
    return {image: _settle(image, figures, folder) for image, figures in left.items()}


def _settle(image: int, figures: list[ColoredShape], folder: Path | None) -> ColoredShape | None:
    if len(figures) == 1:
        return figures[0]
    path = folder / f"{image}.png" if folder is not None else None
    seen = measure_image(path) if path is not None and path.is_file() else None
    return seen if seen in figures else None


def measure_image(path: Path) -> ColoredShape:
    """Read shape and colour off the pixels of an easy-VQA image.

    Raises:
        UnreadableImage: the file is no image.
        ValueError: it shows none of the colours.
    """
    pixels = np.asarray(decode_rgb(path))
    masks = {color: (pixels == np.array(value)).all(axis=-1) for color, value in PALETTE.items()}
    color, mask = max(masks.items(), key=lambda item: int(item[1].sum()))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        raise ValueError(f"{path}: shows none of the colours {', '.join(PALETTE)}")
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if box.mean() > 0.905:
        return ColoredShape("rectangle", color)
    # a circle is the same upside down, a triangle is not
    lopsided = float((box != box[::-1]).mean())
    return ColoredShape("triangle" if lopsided > 0.2 else "circle", color)
