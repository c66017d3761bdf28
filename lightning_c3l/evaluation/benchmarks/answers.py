"""Answer files: our own, one row a question, and other tools'."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_c3l.evaluation.benchmarks import load, load_scored
from lightning_c3l.evaluation.benchmarks.answer_rows import (
    MODEL_FIELDS,
    POSITION,
    flatten_row,
    parse_answer,
    parse_row_question,
)
from lightning_c3l.evaluation.benchmarks.base import Answer, Benchmark, Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.final_answer import has_reasoning, object_text
from lightning_c3l.evaluation.benchmarks.mmbench import are_verdicts
from lightning_c3l.evaluation.benchmarks.pope import pope_id, split_of_name
from lightning_c3l.evaluation.benchmarks.questions import DIGEST_LENGTH
from lightning_c3l.evaluation.benchmarks.rows import Row, cell_text, parse_index, quoted, read_rows
from lightning_c3l.runs.digests import sha256_of_files


@dataclass(frozen=True)
class AnswerRow:
    """A row of an answer file.

    Attributes:
        where: file and record, for messages.
        answer: the LVLM's answer; its id is the row's, empty if the row has none.
        question: what the row says about its question.
        prompt: the prompt, if the row has it.
    """

    where: str
    answer: Answer
    question: Question
    prompt: str


@dataclass(frozen=True)
class AnswerFile:
    """Answers of one LVLM to one benchmark, from one file or one per split.

    Attributes:
        rows: in the order of the files.
        source: the files, for messages.
        hashes: SHA-256 of each file's bytes, by its name.
        version: digest of the question set that the rows name, empty if they name none.
        carried: the questions, if every row contains all that scoring needs; else None.
        model: name of the LVLM, empty if no row has it.
        blind: whether the LVLM was shown no image; None if no row says so.
        missing: the first row that does not contain its question, and what is missing there.
    """

    rows: tuple[AnswerRow, ...]
    source: str
    hashes: dict[str, str]
    version: str = ""
    carried: QuestionSet | None = None
    model: str = ""
    blind: bool | None = None
    missing: str = ""

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers, with the ids of their rows."""
        return tuple(row.answer for row in self.rows)


def answer_row(
    question: Question, answer: Answer, prompt: str, model_id: str, blind: bool, digest: str
) -> dict[str, Any]:
    """Return a row of our own answer files, which contains all that scoring needs.

    Args:
        question: the question.
        answer: the LVLM's answer.
        prompt: the prompt that it was given.
        model_id: name of the LVLM.
        blind: whether it was shown no image.
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


def read_answers(paths: Sequence[Path], benchmark: str | Benchmark) -> AnswerFile:
    """Read answer files of one LVLM: one, or one per split.

    Args:
        paths: the files.
        benchmark: whose questions they answer, or its name if it is one of ours.

    Raises:
        OSError: a file cannot be read.
        ValueError: names the file, the record and what is wrong.
    """
    benchmark = load(benchmark)
    name, rows = benchmark.name, list[AnswerRow]()
    raw: list[Row] = []
    for path in paths:
        numbered = [(number, flatten_row(row)) for number, row in enumerate(read_rows(path), start=1)]
        if all(isinstance(row.get(POSITION), int) for _, row in numbered):  # of a tool that answers in any order
            numbered.sort(key=lambda one: int(one[1][POSITION]))
        raw += [row for _, row in numbered]
        rows += [_parse_row(path, number, row, name) for number, row in numbered]
    if name == "mmbench" and are_verdicts(raw):
        for index, (row, hit) in enumerate(zip(rows, (one["hit"] for one in raw), strict=True)):
            if hit not in (0, 1, "0", "1"):
                raise ValueError(f"{row.where}: hit is {quoted(hit)}; a verdict is 0 or 1")
            rows[index] = replace(row, answer=replace(row.answer, text=None, hit=bool(int(hit))))
    source = ", ".join(map(str, paths))
    hashes = {str(path): sha256_of_files([path]) for path in paths}
    version = _only_value(source, raw, ("questions",), "versions of the questions")
    model = _only_value(source, raw, MODEL_FIELDS, "models")
    blind = {bool(row["blind"]) for row in raw if isinstance(row.get("blind"), bool)}
    if len(blind) > 1:
        raise ValueError(f"{source}: contains answers with and without images; use one file per run")
    missing = next(filter(None, (_missing(row, benchmark) for row in rows)), "")
    carried = None
    if not missing:
        questions = _carried_questions(rows, benchmark)
        carried = QuestionSet(questions, version or next(iter(hashes.values()))[:DIGEST_LENGTH], source)
    return AnswerFile(tuple(rows), source, hashes, version, carried, model, blind.pop() if blind else None, missing)


def reasoning_counts(answers: Sequence[Answer]) -> dict[str, int]:
    """Count answers with `reasoning`, those whose reasoning never ends (`reasoning_open`), and `objects`, if any."""
    found = [answer for answer in answers if answer.text is not None and has_reasoning(answer.text)]
    counts = {"reasoning": len(found), "reasoning_open": sum(one.final is None for one in found)} if found else {}
    objects = sum(answer.text is not None and object_text(answer.text) is not None for answer in answers)
    return counts | ({"objects": objects} if objects else {})


def reasoning_notes(counts: Mapping[str, int]) -> list[str]:
    """Describe `reasoning_counts` for a reader of the figures."""
    notes = []
    if objects := counts.get("objects"):
        notes.append(f'{objects} answers are objects ({{"answer": ...}} and the like), of which the text is read')
    if reasoning := counts.get("reasoning"):
        unclosed = counts["reasoning_open"]
        ends = f"; in {unclosed} of them it never ends: no answer, a parse failure" if unclosed else ""
        notes.append(f"{reasoning} answers contain reasoning (<think> and the like), which is left out{ends}")
    return notes


def _parse_row(path: Path, number: int, row: Row, benchmark_name: str) -> AnswerRow:
    where = f"{path}, record {number}"
    question, prompt = parse_row_question(row, benchmark_name)
    if benchmark_name == "pope" and not question.splits:
        question = replace(question, splits=split_of_name(path))
    if question.id.isdecimal() and parse_index(question.id) is None:
        raise ValueError(f"{where}: the id {quoted(question.id)} is too large a number")
    return AnswerRow(where, parse_answer(where, row), question, prompt)


def _only_value(source: str, rows: Sequence[Row], fields: Sequence[str], what: str) -> str:
    """The one value of a field, empty if no row has it."""
    values = dict.fromkeys(cell_text(row.get(field)) for row in rows for field in fields if row.get(field))
    if len(values) > 1:
        some = ", ".join(quoted(value, 40) for value in list(values)[:3])
        raise ValueError(f"{source}: contains answers of several {what} ({some}); use one file for each")
    return next(iter(values), "")


def _missing(row: AnswerRow, benchmark: Benchmark) -> str:
    """What a row lacks to be scored without a question file; empty if nothing."""
    question, name = row.question, benchmark.name
    if name == "llava_w":
        return f"{row.where}: a judge needs the references"
    if not question.id:
        return f"{row.where}: no {'index' if name == 'mmbench' else 'question_id'}"
    if name == "mmbench" and not question.id.isdecimal():
        return f"{row.where}: index {quoted(question.id)} is not a whole number"
    if name == "pope" and not question.splits:
        return f"{row.where}: no split (category)"
    if row.answer.hit is not None or load_scored(benchmark).parse_truth(question.truth, question.options):
        return ""
    if not question.truth:
        return f"{row.where}: no right answer (answer)"
    options = f", none of the options {', '.join(question.options) or '(there are none)'}"
    return f"{row.where}: the right answer is {quoted(question.truth)}{'' if name == 'pope' else options}"


def _carried_questions(rows: Sequence[AnswerRow], benchmark: Benchmark) -> tuple[Question, ...]:
    """The questions in the rows.

    Raises:
        ValueError: rows of one id contain different questions.
    """
    found: dict[str, Question] = {}
    for row in rows:
        question = row.question
        number = question.id
        if benchmark.name == "pope" and "/" not in number:
            number = pope_id(question.splits, number)
        truth = load_scored(benchmark).parse_truth(question.truth, question.options)
        question = replace(question, id=number, truth=truth)
        first = found.setdefault(number, question)
        if (first.text, dict(first.options), first.truth) != (question.text, dict(question.options), truth):
            raise ValueError(f"{row.where}: question id {quoted(number)} is used twice, for different questions")
    return tuple(found.values())
