"""SEED-Bench v1 (Li et al., 2023): four choices about a picture or a video."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.evaluation.benchmarks.adding import add_question, check_fields
from lightning_c3l.evaluation.benchmarks.base import Answer, Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.cells import id_of, letter_of, short, text_of, version_of, whole_of
from lightning_c3l.evaluation.benchmarks.choice import choice_prompt, least_loss, option_letter, whole_letter
from lightning_c3l.evaluation.benchmarks.pictures import carried_pictures
from lightning_c3l.evaluation.benchmarks.rows import Row, read_rows
from lightning_c3l.evaluation.benchmarks.scored import Asked, Pair, Scored, by_category
from lightning_c3l.evaluation.metrics.choice import choice_accuracy

DATA_TYPE, QUESTION_TYPE = "data_type", "question_type"
LETTERS = "ABCD"
# numbers of the question types that are about pictures; the others are about videos
_IMAGE_TYPES = range(1, 10)
_VIDEO_TYPES = range(10, 13)


class Seed:
    """SEED-Bench's file, prompt and three ways to take an answer."""

    name = "seed"
    protocols: tuple[str, ...] = ("rank", "letter", "strict")

    def read_questions(self, paths: Sequence[Path]) -> QuestionSet:
        """Read the question file; questions about videos are kept, without a picture.

        Raises:
            OSError: a file cannot be read.
            ValueError: names the file, the record and what is wrong.
        """
        found: dict[str, Question] = {}
        pictures: dict[str, bytes] = {}
        for path in paths:
            rows = read_rows(path)
            # VLMEvalKit's table carries its pictures, the benchmark's own file names them
            images, own = carried_pictures(rows) if "index" in rows[0] else (None, {})
            pictures |= own
            for number, row in enumerate(rows, start=1):
                question = _question(f"{path}, record {number}", row)
                if images:
                    question = replace(question, image=images[number - 1])
                add_question(found, question, f"{path}, record {number}")
        return QuestionSet(tuple(found.values()), version_of(paths), ", ".join(map(str, paths)), pictures)

    def files(self, paths: Sequence[Path]) -> list[Path]:
        """The files themselves."""
        return list(paths)

    def prompt(self, question: Question) -> str:
        """The question with its choices, as LLaVA-1.5 was evaluated; `rank` asks the question's text alone."""
        return choice_prompt(question)

    def unit(self, question: Question) -> str:
        """Each question stands for itself."""
        return question.id

    def question_ids(self, rows: Sequence[Asked], questions: Sequence[Question]) -> list[str]:
        """Ids are the file's own."""
        return [row.id for row in rows]

    def says_truth(self, truth: str, options: Mapping[str, str]) -> str:
        """The letter of an option."""
        letter = letter_of(truth)
        return letter if letter in options else ""

    def needs(self, protocol: str) -> str:
        """`rank` needs the losses of all options, the others what was written."""
        return "losses" if protocol == "rank" else "text"

    def columns(self, pairs: Sequence[Pair], protocol: str) -> tuple[NDArray[np.bool_]]:
        """Whether each answer is right, `[N]`."""
        return (_right(pairs, protocol)[0],)

    def score(self, pairs: Sequence[Pair], protocol: str) -> Scored:
        """Accuracy over all questions, and by kind of data and of question."""
        right, parsed = _right(pairs, protocol)
        tables = {
            table: {name: _share(right[places]) for name, places in categories.items()}
            for table, categories in by_category(pairs).items()
        }
        return Scored(
            headline=choice_accuracy(right),
            n=len(pairs),
            unparsable=int((~parsed).sum()),
            figures={},
            tables=tables,
            parts=[np.stack([right, np.ones(len(right))], axis=1)],
            figure=lambda totals: totals[..., 0, 0] / totals[..., 0, 1],
            right=right,
        )

    def notes(self, pairs: Sequence[Pair], protocol: str) -> list[str]:
        """Which tables the files could not give."""
        missing = {DATA_TYPE, QUESTION_TYPE} - by_category(pairs).keys()
        return [f"no table by {table}: the files do not say it" for table in sorted(missing)]


def chosen(question: Question, answer: Answer, protocol: str) -> str | None:
    """Letter that an answer chooses by a protocol of SEED-Bench, None where it chooses none."""
    if protocol == "rank":
        return least_loss(answer.losses, question.options)
    take = whole_letter if protocol == "letter" else option_letter
    return take(answer.final or "", question.options)


def seed_categories(row: Row, question_id: str) -> dict[str, str]:
    """Kind of data and of question, as far as a row says them.

    Kind of data: what the row says, or what the number of its question type means, or else the `v` with which the
    published answers begin the ids of questions about videos; a row of numbers and letters alone says nothing else.
    """
    # VLMEvalKit calls the type `category`
    names, number = row.get("question_type") or row.get("category"), id_of(row.get("question_type_id"))
    kind = text_of(row.get("data_type")).strip().lower()
    if not kind and (type_id := whole_of(number)) is not None:
        kind = "image" if type_id in _IMAGE_TYPES else "video" if type_id in _VIDEO_TYPES else ""
    if not kind and question_id.removeprefix("v").isdecimal():
        kind = "video" if question_id.startswith("v") else "image"
    name = _type_name(names, number)
    return {**({DATA_TYPE: kind} if kind else {}), **({QUESTION_TYPE: name} if name else {})}


def seed_options(row: Row) -> dict[str, str]:
    """The four choices of a row, in the benchmark's or in VLMEvalKit's columns, those that it has.

    An empty cell beside others is the choice "None", which pandas reads and writes as a missing value; there are always
    four choices.
    """
    names = {
        letter: next((name for name in (f"choice_{letter.lower()}", letter) if name in row), "") for letter in LETTERS
    }
    found = {letter: text_of(row[name]).strip() for letter, name in names.items() if name}
    if len(found) == len(LETTERS) and any(found.values()):
        return {letter: text or "None" for letter, text in found.items()}
    return {letter: text for letter, text in found.items() if text}


def _type_name(names: Any, number: str) -> str:
    """Name of a question type: the file says `{name: number}` once."""
    if isinstance(names, dict):
        return next((str(name) for name, own in names.items() if id_of(own) == number), "")
    return text_of(names).strip()


def _question(place: str, row: Row) -> Question:
    name = id_of(row.get("question_id")) or id_of(row.get("index"))
    text, options = text_of(row.get("question")).strip(), seed_options(row)
    choices = " ".join(options) if len(options) == len(LETTERS) else ""
    check_fields(place, {"question_id (or index)": name, "question": text, "choice_a to choice_d (or A to D)": choices})
    truth = Seed().says_truth(text_of(row.get("answer")), options)
    if not truth:
        raise ValueError(f"{place}: the answer is {short(row.get('answer'))}, none of the options {', '.join(options)}")
    categories = seed_categories(row, name)
    image = None if categories.get(DATA_TYPE) == "video" else text_of(row.get("data_id")) or None
    return Question(name, text, truth, image, options, categories=categories)


def _right(pairs: Sequence[Pair], protocol: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each answer is right, and whether it could be read, `[N]` bool."""
    letters = [chosen(question, answer, protocol) for question, answer in pairs]
    right = [letter == question.truth for letter, (question, _) in zip(letters, pairs, strict=True)]
    return np.array(right, dtype=bool), np.array([one is not None for one in letters], dtype=bool)


def _share(right: NDArray[np.bool_]) -> dict[str, float]:
    return {"accuracy": choice_accuracy(right), "n": len(right)}
