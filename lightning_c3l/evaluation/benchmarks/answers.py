"""Answer files: our own, one row a question, and other tools'."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_c3l.evaluation.benchmarks import scorable
from lightning_c3l.evaluation.benchmarks.base import Answer, Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.cells import file_hash, short, text_of, whole_of
from lightning_c3l.evaluation.benchmarks.fields import MODELS, answer_of, question_of
from lightning_c3l.evaluation.benchmarks.mmbench import judged_rows
from lightning_c3l.evaluation.benchmarks.other_tools import PLACE, flat
from lightning_c3l.evaluation.benchmarks.pope import pope_id, split_of_name
from lightning_c3l.evaluation.benchmarks.rows import Row, read_rows


@dataclass(frozen=True)
class AnswerRow:
    """A row of an answer file.

    Attributes:
        place: file and record, for messages.
        answer: what was said, under the id that the row has; empty where it has none.
        question: what the row says of its question.
        prompt: how the question was put, where the row says so.
    """

    place: str
    answer: Answer
    question: Question
    prompt: str


@dataclass(frozen=True)
class AnswerFile:
    """Answers of one LVLM to one benchmark, from one file or one a split.

    Attributes:
        rows: in the order of the files.
        source: the files, for messages.
        hashes: SHA-256 of each file's bytes, by its name.
        version: digest of the question set that the rows name, empty where they name none.
        own: the questions, where every row carries its truth; else None.
        lacks: the first row that does not carry it, and what is missing there.
        model: name of the LVLM, empty where no row says it.
        blind: whether the LVLM saw no picture; None where no row says it.
    """

    rows: tuple[AnswerRow, ...]
    source: str
    hashes: dict[str, str]
    version: str = ""
    own: QuestionSet | None = None
    model: str = ""
    blind: bool | None = None
    lacks: str = ""

    @property
    def answers(self) -> tuple[Answer, ...]:
        """What was said, under the ids that the rows have."""
        return tuple(row.answer for row in self.rows)

    @property
    def judged(self) -> bool:
        """Whether another tool has judged the answers, and kept one row a base question."""
        return any(row.answer.hit is not None for row in self.rows)


def answer_row(
    question: Question, answer: Answer, prompt: str, model_id: str, blind: bool, digest: str
) -> dict[str, Any]:
    """A row of our own answer files, which carries what its scoring needs.

    Args:
        question: what was asked.
        answer: what was said.
        prompt: how it was asked.
        model_id: name of the LVLM.
        blind: whether it saw no picture.
        digest: of the question set.
    """
    row: dict[str, Any] = {"question_id": question.id, "text": answer.text}
    if answer.losses is not None:
        row["losses"] = list(answer.losses)
    if answer.problem:
        row["problem"] = answer.problem
    row |= {"prompt": prompt, "question": question.text, "image": question.image, "truth": question.truth}
    if question.options:
        row["options"] = dict(question.options)
    if question.splits:
        row["splits"] = list(question.splits)
    if question.categories:
        row["categories"] = dict(question.categories)
    return row | {"model_id": model_id, "blind": blind, "questions": digest}


def read_answers(paths: Sequence[Path], benchmark_name: str) -> AnswerFile:
    """Read answer files of one LVLM: one, or one a split.

    Raises:
        OSError: a file cannot be read.
        ValueError: names the file, the record and what is wrong.
    """
    rows: list[AnswerRow] = []
    raw: list[Row] = []
    for path in paths:
        numbered = _in_order([(number, flat(row)) for number, row in enumerate(read_rows(path), start=1)])
        raw += [row for _, row in numbered]
        rows += [_row(path, number, row, benchmark_name) for number, row in numbered]
    if benchmark_name == "mmbench" and judged_rows(raw):
        rows = [
            replace(one, answer=replace(one.answer, text=None, hit=_hit(one.place, row["hit"])))
            for one, row in zip(rows, raw, strict=True)
        ]
    source = ", ".join(map(str, paths))
    hashes = {str(path): file_hash([path]) for path in paths}
    version = _only(source, raw, ("questions",), "versions of the questions")
    model = _only(source, raw, MODELS, "models")
    blind = {bool(row["blind"]) for row in raw if isinstance(row.get("blind"), bool)}
    if len(blind) > 1:
        raise ValueError(f"{source}: some answers were given blind and some not; give each run its own file")
    lacks = _lacking(rows, benchmark_name)
    own = None if lacks else _own(rows, source, version or next(iter(hashes.values()))[:16], benchmark_name)
    return AnswerFile(tuple(rows), source, hashes, version, own, model, blind.pop() if blind else None, lacks)


def _in_order(numbered: list[tuple[int, Row]]) -> list[tuple[int, Row]]:
    """Rows of tools that work on several questions at once in the order of the questions, where they say it."""
    if all(isinstance(row.get(PLACE), int) for _, row in numbered):
        return sorted(numbered, key=lambda one: int(one[1][PLACE]))
    return numbered


def _hit(place: str, value: Any) -> bool:
    if value not in (0, 1, "0", "1"):
        raise ValueError(f"{place}: hit is {short(value)}; a verdict is 0 or 1")
    return bool(int(value))


def _row(path: Path, number: int, row: Row, benchmark_name: str) -> AnswerRow:
    place = f"{path}, record {number}"
    question, prompt = question_of(place, row, benchmark_name)
    if benchmark_name == "pope" and not question.splits:
        question = replace(question, splits=split_of_name(path))
    if question.id.isdecimal() and whole_of(question.id) is None:
        raise ValueError(f"{place}: the id {short(question.id)} is too large a number")
    return AnswerRow(place, answer_of(place, row), question, prompt)


def _only(source: str, rows: Sequence[Row], fields: Sequence[str], what: str) -> str:
    """The one value of a field, empty where no row has it."""
    values = dict.fromkeys(text_of(row.get(field)) for row in rows for field in fields if row.get(field))
    if len(values) > 1:
        some = ", ".join(short(value, 40) for value in list(values)[:3])
        raise ValueError(f"{source}: answers of several {what} in one ({some}); give each its own file")
    return next(iter(values), "")


def _lacking(rows: Sequence[AnswerRow], name: str) -> str:
    """The first row that does not say enough of its question to be scored, and what is missing; empty without one."""
    if name == "llava_w":
        return f"{rows[0].place}: a judge needs the references"
    for row in rows:
        question = row.question
        if not question.id:
            return f"{row.place}: no {'index' if name == 'mmbench' else 'question_id'}"
        if name == "mmbench" and not question.id.isdecimal():
            return f"{row.place}: index {short(question.id)} is no whole number"
        if name == "pope" and not question.splits:
            return f"{row.place}: no split (category)"
        if row.answer.hit is None and not scorable(name).says_truth(question.truth, question.options):
            options = f", none of the options {', '.join(question.options) or '(there are none)'}"
            said = f"the right answer is {short(question.truth)}" if question.truth else "no right answer (answer)"
            return f"{row.place}: {said}{'' if name == 'pope' or not question.truth else options}"
    return ""


def _own(rows: Sequence[AnswerRow], source: str, version: str, name: str) -> QuestionSet:
    """The questions that the rows carry.

    Raises:
        ValueError: rows of one id carry different questions.
    """
    found: dict[str, Question] = {}
    for row in rows:
        question = row.question
        truth = scorable(name).says_truth(question.truth, question.options)
        own_id = question.id
        if name == "pope" and "/" not in own_id:
            own_id = pope_id(question.splits, own_id)
        question = replace(question, id=own_id, truth=truth)
        if _asked(found.setdefault(own_id, question)) != _asked(question):
            raise ValueError(f"{row.place}: question {short(own_id)} is there already, and it is another one")
    return QuestionSet(tuple(found.values()), version, source)


def _asked(question: Question) -> tuple[str, dict[str, str], str]:
    return question.text, dict(question.options), question.truth
