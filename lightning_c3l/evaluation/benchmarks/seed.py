"""SEED-Bench v1 (Li et al., 2023): four choices about an image or a video."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.evaluation.benchmarks.base import (
    Pair,
    ProtocolScore,
    Question,
    QuestionSet,
    ScoredBenchmark,
    by_category,
)
from lightning_c3l.evaluation.benchmarks.extraction import (
    choice_prompt,
    grade_letters,
    least_loss,
    only_letter,
    option_letter,
    truth_letter,
)
from lightning_c3l.evaluation.benchmarks.questions import read_question_files, require_fields
from lightning_c3l.evaluation.benchmarks.rows import Row, cell_id, cell_text, parse_index, quoted
from lightning_c3l.evaluation.metrics.functional import accuracy_of_totals, accuracy_parts, choice_accuracy

DATA_TYPE, QUESTION_TYPE = "data_type", "question_type"
LETTERS = "ABCD"
# numbers of the question types about images and about videos
_IMAGE_TYPES = range(1, 10)
_VIDEO_TYPES = range(10, 13)


class Seed(ScoredBenchmark):
    """SEED-Bench's file, prompt and three ways to take an answer."""

    name, headline = "seed", "accuracy"
    protocols: tuple[str, ...] = ("rank", "letter", "strict")

    def read_questions(self, paths: Sequence[Path]) -> QuestionSet:
        """Read the question file or VLMEvalKit's table; questions about videos are kept, without an image."""
        return read_question_files(paths, _parse_question)

    def prompt(self, question: Question) -> str:
        """Show the choices, as LLaVA-1.5 was evaluated; `rank` asks the question's text alone."""
        return choice_prompt(question)

    def parse_truth(self, truth: str, options: Mapping[str, str]) -> str:
        """The letter of an option."""
        return truth_letter(truth, options)

    def required_field(self, protocol: str) -> str:
        """`rank` reads the losses of all options, the others the generated text."""
        return "losses" if protocol == "rank" else "text"

    def metric_inputs(self, pairs: Sequence[Pair], protocol: str) -> tuple[NDArray[np.bool_]]:
        """Return whether each answer is right, `[N]`."""
        return (_grade(pairs, protocol)[0],)

    def score(self, pairs: Sequence[Pair], protocol: str) -> ProtocolScore:
        """Compute the accuracy over all questions, and by type of data and of question."""
        right, parsed = _grade(pairs, protocol)
        tables = {
            table: {name: {"accuracy": choice_accuracy(right[rows]), "n": len(rows)} for name, rows in own.items()}
            for table, own in by_category(pairs).items()
        }
        return ProtocolScore(
            headline=choice_accuracy(right),
            n=len(pairs),
            unparsable=int((~parsed).sum()),
            figures={},
            tables=tables,
            parts=accuracy_parts(right),
            figure=accuracy_of_totals,
            right=right,
        )

    def notes(self, pairs: Sequence[Pair], protocol: str) -> list[str]:
        """Name the tables that the files cannot provide."""
        missing = {DATA_TYPE, QUESTION_TYPE} - by_category(pairs).keys()
        return [f"no table by {table}: the files do not say it" for table in sorted(missing)]


def seed_categories(row: Row, question_id: str) -> dict[str, str]:
    """Type of data and of question, as far as a row says them.

    The type of data is what the row says, or follows from the number of its question type, or else from the `v` at the
    start of the ids of questions about videos in the published answers.
    """
    names, type_id = row.get("question_type"), cell_id(row.get("question_type_id"))
    kind = cell_text(row.get("data_type")).strip().lower()
    if not kind and (number := parse_index(type_id)) is not None:
        kind = "image" if number in _IMAGE_TYPES else "video" if number in _VIDEO_TYPES else ""
    if not kind and question_id.removeprefix("v").isdecimal():
        kind = "video" if question_id.startswith("v") else "image"
    names = names or row.get("category")  # as VLMEvalKit calls it
    if isinstance(names, dict):  # the file says `{name: number}` once
        name = next((str(name) for name, own in names.items() if cell_id(own) == type_id), "")
    else:
        name = cell_text(names).strip()
    return {table: value for table, value in ((DATA_TYPE, kind), (QUESTION_TYPE, name)) if value}


def seed_options(row: Row) -> dict[str, str]:
    """The choices of a row, in the benchmark's or in VLMEvalKit's columns, as far as it has them.

    There are always four choices, so an empty cell next to others is the choice "None", which pandas reads and writes
    as a missing value.
    """
    columns = {letter: [name for name in (f"choice_{letter.lower()}", letter) if name in row] for letter in LETTERS}
    found = {letter: cell_text(row[names[0]]).strip() for letter, names in columns.items() if names}
    if len(found) == len(LETTERS) and any(found.values()):
        return {letter: text or "None" for letter, text in found.items()}
    return {letter: text for letter, text in found.items() if text}


def _parse_question(row: Row, where: str, file: Path) -> Question:
    name = cell_id(row.get("question_id")) or cell_id(row.get("index"))
    text, options = cell_text(row.get("question")).strip(), seed_options(row)
    choices = " ".join(options) if len(options) == len(LETTERS) else ""
    fields = {"question_id (or index)": name, "question": text, "choice_a to choice_d (or A to D)": choices}
    require_fields(where, fields)
    truth = truth_letter(cell_text(row.get("answer")), options)
    if not truth:
        raise ValueError(
            f"{where}: the answer is {quoted(row.get('answer'))}, none of the options {', '.join(options)}"
        )
    categories = seed_categories(row, name)
    image = None if categories.get(DATA_TYPE) == "video" else cell_text(row.get("data_id")) or None
    return Question(name, text, truth, image, options, categories=categories)


def _grade(pairs: Sequence[Pair], protocol: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each answer is right, and whether it could be read, `[N]` bool."""
    if protocol == "rank":
        return grade_letters(pairs, [least_loss(answer.losses, question.options) for question, answer in pairs])
    extract = only_letter if protocol == "letter" else option_letter
    return grade_letters(pairs, [extract(answer.final or "", question.options) for question, answer in pairs])
