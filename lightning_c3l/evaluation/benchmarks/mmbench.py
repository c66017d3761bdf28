"""MMBench (Liu et al., 2023): choices that must be found in every order of the options."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.evaluation.benchmarks.adding import add_question, check_fields
from lightning_c3l.evaluation.benchmarks.base import Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.cells import id_of, letter_of, short, text_of, version_of, whole_of
from lightning_c3l.evaluation.benchmarks.choice import choice_prompt, option_letter
from lightning_c3l.evaluation.benchmarks.pictures import carried_pictures
from lightning_c3l.evaluation.benchmarks.rows import Row, read_rows
from lightning_c3l.evaluation.benchmarks.scored import Asked, Pair, Scored, by_category
from lightning_c3l.evaluation.metrics.choice import choice_accuracy, circular_accuracy, circular_groups

TABLES = ("category", "l2-category")
_FEWER = "groups_with_fewer_rows_than_options"
# rows of one base question share their index modulo this
_ROUND = 1_000_000


class MMBench:
    """MMBench's table, prompt and CircularEval."""

    name = "mmbench"
    protocols: tuple[str, ...] = ("circular", "judged")

    def read_questions(self, paths: Sequence[Path]) -> QuestionSet:
        """Read the table of questions.

        Raises:
            OSError: a file cannot be read.
            ValueError: names the file, the record and what is wrong.
        """
        found: dict[str, Question] = {}
        pictures: dict[str, bytes] = {}
        for path in paths:
            rows = read_rows(path)
            images, own = carried_pictures(rows)
            pictures |= own
            for number, (row, image) in enumerate(zip(rows, images, strict=True), start=1):
                place = f"{path}, record {number}"
                add_question(found, _question(place, row, image), place)
        return QuestionSet(tuple(found.values()), version_of(paths), ", ".join(map(str, paths)), pictures)

    def files(self, paths: Sequence[Path]) -> list[Path]:
        """The files themselves."""
        return list(paths)

    def prompt(self, question: Question) -> str:
        """Hint, question, options and the request for a letter, as LLaVA-1.5 was evaluated."""
        return choice_prompt(question)

    def unit(self, question: Question) -> str:
        """The base question."""
        return str(group_of(question))

    def question_ids(self, rows: Sequence[Asked], questions: Sequence[Question]) -> list[str]:
        """Ids are the table's own."""
        return [row.id for row in rows]

    def says_truth(self, truth: str, options: Mapping[str, str]) -> str:
        """The letter of an option."""
        letter = letter_of(truth)
        return letter if letter in options else ""

    def needs(self, protocol: str) -> str:
        """What was written, or the verdicts that VLMEvalKit wrote beside it."""
        return "hit" if protocol == "judged" else "text"

    def columns(self, pairs: Sequence[Pair], protocol: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Number of each row's base question, and whether its answer is right, `[N]`."""
        return _ids(pairs) % _ROUND, _right(pairs, protocol)[0]

    def score(self, pairs: Sequence[Pair], protocol: str) -> Scored:
        """Circular accuracy, single-pass accuracy beside it where the file has all passes, and both by category."""
        right, parsed = _right(pairs, protocol)
        ids = _ids(pairs)
        whole = circular_groups(ids % _ROUND, right)[1]
        tables = {
            table: {name: _figures(ids[places], right[places], protocol) for name, places in categories.items()}
            for table, categories in by_category(pairs).items()
        }
        return Scored(
            headline=choice_accuracy(whole),
            n=len(pairs),
            unparsable=int((~parsed).sum()),
            figures=_figures(ids, right, protocol) | ({} if protocol == "judged" else {_FEWER: _short(pairs)}),
            tables=tables,
            parts=[np.stack([whole, np.ones(len(whole))], axis=1)],
            figure=lambda totals: totals[..., 0, 0] / totals[..., 0, 1],
            right=whole,
            meaning="VLMEvalKit's verdicts on whole base questions" if protocol == "judged" else "",
        )

    def notes(self, pairs: Sequence[Pair], protocol: str) -> list[str]:
        """Which tables the files could not give."""
        missing = [table for table in TABLES if table not in by_category(pairs)]
        notes = [f"no table by {table}: the files do not say it" for table in missing]
        if protocol == "judged":
            return ["the file has one row a base question (columns hit and log): no single passes", *notes]
        if _short(pairs) == len({group_of(question) for question, _ in pairs}):
            return ["no base question has a row for each of its options: this is no circular evaluation", *notes]
        return notes


def first_passes(questions: QuestionSet) -> QuestionSet:
    """The first row of each base question alone, as files of verdicts have it."""
    return replace(questions, questions=tuple(one for one in questions.questions if int(one.id) < _ROUND))


def judged_rows(rows: Sequence[Row]) -> bool:
    """Whether these are VLMEvalKit's verdicts: columns `hit` and `log`, and one row for each base question.

    A base question is right (`hit` 1) if its judge found the right option in every rotation; the other columns are
    those of the first rotation alone.
    """
    indices = [whole_of(id_of(row.get("index"))) for row in rows]
    return all("hit" in row and "log" in row for row in rows) and all(
        index is not None and index < _ROUND for index in indices
    )


def group_of(question: Question) -> int:
    """Number of the base question."""
    return int(question.id) % _ROUND


def option_columns(row: Row) -> dict[str, str]:
    """Options of a row in columns A, B, ...; empty ones are none."""
    found = {name: text_of(row[name]).strip() for name in sorted(row) if len(name) == 1 and "A" <= name <= "Z"}
    return {letter: text for letter, text in found.items() if text}


def mmbench_categories(row: Row) -> dict[str, str]:
    """Values of a row's category columns."""
    # lmms-eval writes L2-category
    lower = {name.lower().replace("_", "-"): value for name, value in row.items()}
    found = {table: text_of(lower.get(table)).strip() for table in TABLES}
    return {table: value for table, value in found.items() if value}


def _question(place: str, row: Row, image: str | None) -> Question:
    name, text, options = id_of(row.get("index")), text_of(row.get("question")).strip(), option_columns(row)
    if name and whole_of(name) is None:
        raise ValueError(f"{place}: a question needs index, a whole number below 2**63, not {short(name)}")
    check_fields(place, {"index": name, "question": text, "A, B, ... (the options)": " ".join(options)})
    truth = text_of(row.get("answer")).strip()
    if truth and not MMBench().says_truth(truth, options):
        raise ValueError(f"{place}: the answer is {short(truth)}, none of the options {', '.join(options)}")
    split = text_of(row.get("split")).strip()
    return Question(
        name,
        text,
        truth.upper(),
        image,
        options,
        text_of(row.get("hint")).strip(),
        (split,) if split else (),
        mmbench_categories(row),
    )


def _ids(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    return np.array([int(question.id) for question, _ in pairs], dtype=np.int64)


def _right(pairs: Sequence[Pair], protocol: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each answer is right, and whether it could be read, `[N]` bool."""
    if protocol == "judged":
        hits = np.array([bool(answer.hit) for _, answer in pairs], dtype=bool)
        return hits, np.ones_like(hits)
    letters = [option_letter(answer.final or "", question.options) for question, answer in pairs]
    right = [letter == question.truth for letter, (question, _) in zip(letters, pairs, strict=True)]
    return np.array(right, dtype=bool), np.array([one is not None for one in letters], dtype=bool)


def _figures(ids: NDArray[np.int64], right: NDArray[np.bool_], protocol: str) -> dict[str, float]:
    """Circular and single-pass accuracy, over all rows and over each base question's first one."""
    groups = ids % _ROUND
    if protocol == "judged":
        return {"circular": circular_accuracy(groups, right), "n": len(right)}
    names, places = np.unique(groups, return_inverse=True)
    first = np.full_like(names, np.iinfo(np.int64).max)
    np.minimum.at(first, places, ids)
    return {
        "circular": circular_accuracy(groups, right),
        "single_pass": choice_accuracy(right),
        "first_pass": choice_accuracy(right[ids == first[places]]),
        "groups": len(names),
        "n": len(right),
    }


def _short(pairs: Sequence[Pair]) -> int:
    """Base questions with fewer rows than options: their options were not put in every order."""
    rows: dict[int, list[Question]] = {}
    for question, _ in pairs:
        rows.setdefault(group_of(question), []).append(question)
    return sum(len(own) < max(len(question.options) for question in own) for own in rows.values())
