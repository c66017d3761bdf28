"""MMBench (Liu et al., 2023): multiple choice, each question in every order of its options."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from lightning_c3l.evaluation.benchmarks.extraction import choice_prompt, grade_letters, option_letter, truth_letter
from lightning_c3l.evaluation.benchmarks.questions import read_question_files, require_fields
from lightning_c3l.evaluation.benchmarks.rows import Row, cell_id, cell_text, parse_index, quoted
from lightning_c3l.evaluation.metrics.functional import (
    accuracy_of_totals,
    accuracy_parts,
    choice_accuracy,
    circular_accuracy,
    circular_groups,
)

TABLES = ("category", "l2-category")
# rows of one base question share their index modulo this
_ROTATION = 1_000_000


class MMBench(ScoredBenchmark):
    """MMBench's table, prompt and CircularEval."""

    name, headline = "mmbench", "circular"
    protocols: tuple[str, ...] = ("circular", "judged")

    def read_questions(self, paths: Sequence[Path]) -> QuestionSet:
        """Read the table of questions."""
        return read_question_files(paths, _parse_question)

    def prompt(self, question: Question) -> str:
        """Show hint, question and options, and request a letter, as LLaVA-1.5 was evaluated."""
        return choice_prompt(question)

    def unit(self, question: Question) -> str:
        """The base question."""
        return str(int(question.id) % _ROTATION)

    def parse_truth(self, truth: str, options: Mapping[str, str]) -> str:
        """The letter of an option."""
        return truth_letter(truth, options)

    def required_field(self, protocol: str) -> str:
        """The generated text, or the verdicts of VLMEvalKit."""
        return "hit" if protocol == "judged" else "text"

    def metric_inputs(self, pairs: Sequence[Pair], protocol: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the number of each row's base question, and whether its answer is right, `[N]`."""
        return _indices(pairs) % _ROTATION, _grade(pairs, protocol)[0]

    def score(self, pairs: Sequence[Pair], protocol: str) -> ProtocolScore:
        """Compute circular accuracy, single-pass accuracy if the file has all passes, and both by category."""
        right, parsed = _grade(pairs, protocol)
        indices = _indices(pairs)
        whole = circular_groups(indices % _ROTATION, right)[1]
        tables = {
            table: {name: _figures(indices[rows], right[rows], protocol) for name, rows in categories.items()}
            for table, categories in by_category(pairs).items()
        }
        figures = _figures(indices, right, protocol)
        if protocol != "judged":
            figures["groups_with_fewer_rows_than_options"] = self._incomplete(pairs)
        return ProtocolScore(
            headline=choice_accuracy(whole),
            n=len(pairs),
            unparsable=int((~parsed).sum()),
            figures=figures,
            tables=tables,
            parts=accuracy_parts(whole),
            figure=accuracy_of_totals,
            right=whole,
            meaning="VLMEvalKit's verdicts on whole base questions" if protocol == "judged" else "",
        )

    def notes(self, pairs: Sequence[Pair], protocol: str) -> list[str]:
        """Name what the files cannot provide: tables, single passes, all orders of the options."""
        missing = [table for table in TABLES if table not in by_category(pairs)]
        notes = [f"no table by {table}: the files do not say it" for table in missing]
        if protocol == "judged":
            return ["the file has one row a base question (columns hit and log): no single passes", *notes]
        if self._incomplete(pairs) == len({self.unit(question) for question, _ in pairs}):
            return ["no base question has a row for each of its options: this is no circular evaluation", *notes]
        return notes

    def _incomplete(self, pairs: Sequence[Pair]) -> int:
        """Number of base questions with fewer rows than options: their options were not put in every order."""
        rows: dict[str, list[Question]] = {}
        for question, _ in pairs:
            rows.setdefault(self.unit(question), []).append(question)
        return sum(len(own) < max(len(question.options) for question in own) for own in rows.values())


def first_passes(questions: QuestionSet) -> QuestionSet:
    """The first row of each base question, as files of verdicts have it."""
    return replace(questions, questions=tuple(one for one in questions.questions if int(one.id) < _ROTATION))


def are_verdicts(rows: Sequence[Row]) -> bool:
    """Whether these are VLMEvalKit's verdicts: columns `hit` and `log`, and one row for each base question.

    A base question is right (`hit` 1) if VLMEvalKit's judge found the right option in every rotation; the other columns
    are those of the first rotation.
    """
    indices = [parse_index(cell_id(row.get("index"))) for row in rows]
    first = all(index is not None and index < _ROTATION for index in indices)
    return first and all("hit" in row and "log" in row for row in rows)


def option_columns(row: Row) -> dict[str, str]:
    """Options of a row in columns A, B, ...; empty cells are no options."""
    found = {name: cell_text(row[name]).strip() for name in sorted(row) if len(name) == 1 and "A" <= name <= "Z"}
    return {letter: text for letter, text in found.items() if text}


def mmbench_categories(row: Row) -> dict[str, str]:
    """Values of a row's category columns."""
    # lmms-eval writes L2-category
    lower = {name.lower().replace("_", "-"): value for name, value in row.items()}
    found = {table: cell_text(lower.get(table)).strip() for table in TABLES}
    return {table: value for table, value in found.items() if value}


def _parse_question(row: Row, where: str, file: Path) -> Question:
    name, text, options = cell_id(row.get("index")), cell_text(row.get("question")).strip(), option_columns(row)
    if name and parse_index(name) is None:
        raise ValueError(f"{where}: a question needs index, a whole number below 2**63, not {quoted(name)}")
    require_fields(where, {"index": name, "question": text, "A, B, ... (the options)": " ".join(options)})
    truth = cell_text(row.get("answer")).strip()
    if truth and not truth_letter(truth, options):
        raise ValueError(f"{where}: the answer is {quoted(truth)}, none of the options {', '.join(options)}")
    hint, split = cell_text(row.get("hint")).strip(), cell_text(row.get("split")).strip()
    splits = (split,) if split else ()
    return Question(name, text, truth.upper(), None, options, hint, splits, mmbench_categories(row))


def _indices(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    return np.array([int(question.id) for question, _ in pairs], dtype=np.int64)


def _grade(pairs: Sequence[Pair], protocol: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each answer is right, and whether it could be read, `[N]` bool."""
    if protocol == "judged":
        hits = np.array([bool(answer.hit) for _, answer in pairs], dtype=bool)
        return hits, np.ones_like(hits)
    return grade_letters(pairs, [option_letter(answer.final or "", question.options) for question, answer in pairs])


def _figures(indices: NDArray[np.int64], right: NDArray[np.bool_], protocol: str) -> dict[str, float]:
    """Circular and single-pass accuracy, over all rows and over each base question's first row."""
    groups = indices % _ROTATION
    circular = circular_accuracy(groups, right)
    if protocol == "judged":
        return {"circular": circular, "n": len(right)}
    names, inverse = np.unique(groups, return_inverse=True)
    first = np.full_like(names, np.iinfo(np.int64).max)
    np.minimum.at(first, inverse, indices)
    return {
        "circular": circular,
        "single_pass": choice_accuracy(right),
        "first_pass": choice_accuracy(right[indices == first[inverse]]),
        "groups": len(names),
        "n": len(right),
    }
