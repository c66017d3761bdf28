"""Which answer belongs to which question, and every way in which the two files may not fit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lightning_c3l.evaluation.benchmarks.answers import AnswerFile, AnswerRow
from lightning_c3l.evaluation.benchmarks.base import Answer, Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.cells import plain, short
from lightning_c3l.evaluation.benchmarks.mmbench import first_passes
from lightning_c3l.evaluation.benchmarks.reasoning import reasoning_counts, reasoning_notes
from lightning_c3l.evaluation.benchmarks.scored import Asked, Pair, ScoredBenchmark


@dataclass(frozen=True)
class Matched:
    """Questions with their answers, in the order of the questions.

    Attributes:
        questions: all of them, those without an answer too.
        pairs: what is scored.
        counts: rows, questions, repeats, empty answers and so on.
        notes: what a reader must know.
        answered: questions that the file answers, also those that are not among `questions`.
    """

    questions: QuestionSet
    pairs: tuple[Pair, ...]
    counts: dict[str, int]
    notes: tuple[str, ...]
    answered: int


def match(
    benchmark: ScoredBenchmark,
    questions: QuestionSet | None,
    file: AnswerFile,
    partial: bool = False,
    carried: bool = False,
    shared: bool = False,
) -> Matched:
    """Join answers and questions by id; rows without one by their order, where the texts agree.

    Args:
        benchmark: whose questions they are.
        questions: None takes those that the answer file carries.
        file: the answers.
        partial: leave out what has no answer; else that is an error.
        carried: the questions are those that another answer file carries.
        shared: leave out answers to other questions too; else they are an error.

    Raises:
        ValueError: names both files and the first question that does not fit.
    """
    questions = _questions(benchmark, questions, file, carried, shared)
    by_id = {question.id: question for question in questions.questions}
    ids = _ids(benchmark, questions, file)
    if not shared or not any(name in by_id for name in ids):
        _check_known(ids, by_id, questions, file)
    rows: dict[str, AnswerRow] = {}
    repeats: Counter[str] = Counter()
    for name, row in zip(ids, file.rows, strict=True):
        if name not in by_id:
            continue
        first = rows.setdefault(name, row)
        if first is not row:
            repeats["same" if _said(first) == _said(row) else "contradicting"] += 1
    note = _check_questions(rows, by_id, questions, file)
    left = _answered(benchmark, questions, rows, file, partial or shared)
    pairs = tuple((one, _answer(rows[one.id], one.id)) for one in left)
    counts = _counts(questions, file, pairs, repeats, rows)
    notes = _notes(counts) if shared else [*_notes(counts), *_missing_note(counts, benchmark.name)]
    return Matched(questions, pairs, counts, (*notes, *note), len(set(ids)))


def _questions(
    benchmark: ScoredBenchmark, questions: QuestionSet | None, file: AnswerFile, carried: bool, shared: bool
) -> QuestionSet:
    if questions is None and file.own is None:
        raise ValueError(
            f"{file.source}: not every row carries what scoring needs ({_carried(benchmark.name)}): {file.lacks}; "
            "name the benchmark's question file with --questions"
        )
    if questions is None:
        assert file.own is not None
        return file.own
    if file.judged:
        questions = first_passes(questions)
    # where each row carries its question, `_check_questions` looks at those that both have
    checked = shared and file.own is not None and all(row.question.text for row in file.rows)
    if file.version and file.version != questions.digest and not checked:
        hint = "; give the questions that both answer with --questions" if carried else ""
        raise ValueError(
            f"{file.source} answers version {file.version} of the questions, {questions.source} is "
            f"{questions.digest}{hint}"
        )
    untrue = next((one for one in questions.questions if not one.truth), None)
    if untrue:
        raise ValueError(
            f"{questions.source}: question {untrue.id} has no right answer in it, so nothing can be scored"
        )
    return questions


def _carried(name: str) -> str:
    known = {"pope": "question_id, label and split", "mmbench": "index, the options and answer"}
    return known.get(name, "question_id and gt_answer")


def _ids(benchmark: ScoredBenchmark, questions: QuestionSet, file: AnswerFile) -> list[str]:
    """Id of the question that each row answers."""
    nameless = [row for row in file.rows if not row.answer.id]
    if not nameless:
        named = [Asked(row.answer.id, row.question.splits, row.question.text or row.prompt) for row in file.rows]
        try:
            return benchmark.question_ids(named, questions.questions)
        except ValueError as error:
            raise ValueError(f"{file.source}: {error}") from None
    if len(nameless) < len(file.rows):
        raise ValueError(f"{nameless[0].place}: no question_id, while other rows have one")
    queues: dict[tuple[str, ...], list[Question]] = {}
    for question in questions.questions:
        queues.setdefault(question.splits, []).append(question)
    return [_next(row, queues, questions) for row in file.rows]


def _next(row: AnswerRow, queues: dict[tuple[str, ...], list[Question]], questions: QuestionSet) -> str:
    """The next question of the row's split; it must be the one that the row says."""
    splits = row.question.splits or (next(iter(queues)) if len(queues) == 1 else ())
    queue = queues.get(splits)
    if queue is None:
        raise ValueError(f"{row.place}: neither a question_id nor a split that {questions.source} has")
    if not queue:
        raise ValueError(f"{row.place}: more rows than {questions.source} has questions of {','.join(splits) or 'it'}")
    question = queue.pop(0)
    said = row.question.text or row.prompt
    if not said or not _holds(said, question):
        raise ValueError(
            f"{row.place}: without a question_id rows must follow {questions.source}, "
            f"whose next question is {short(question.text)}, not {short(said)}"
        )
    return question.id


def _check_known(ids: Sequence[str], by_id: dict[str, Question], questions: QuestionSet, file: AnswerFile) -> None:
    unknown = [name for name in dict.fromkeys(ids) if name not in by_id]
    if unknown:
        hint = "; the answers carry their own questions: leave --questions out" if file.own else ""
        raise ValueError(
            f"{file.source} answers question {short(unknown[0])} (and {len(unknown) - 1} more) that "
            f"{questions.source} has not: another version of the questions?{hint}"
        )


def _check_questions(
    rows: dict[str, AnswerRow], by_id: dict[str, Question], questions: QuestionSet, file: AnswerFile
) -> list[str]:
    """What rows say of their questions must be what the questions are; prompts may be worded in any way, but alike."""
    if rows and all(_is_question(row, by_id[name]) for name, row in rows.items()):
        raise ValueError(
            f"{file.source}: what is read as answers are the questions; name the answers' field `prediction`"
        )
    if questions is file.own:
        return []
    prompted, strange = 0, list[str]()
    for name, row in rows.items():
        question = by_id[name]
        said = row.question
        if said.text and not _holds(said.text, question):
            raise _other_version(row, name, said.text, question.text, questions)
        if said.truth and question.truth and _differ(said.truth, question.truth):
            raise _other_version(row, name, f"truth {said.truth}", f"truth {question.truth}", questions)
        if row.prompt:
            prompted += 1
            strange += [] if _holds(row.prompt, question) else [name]
    if strange and len(strange) < prompted:
        name = strange[0]
        raise _other_version(rows[name], name, rows[name].prompt, by_id[name].text, questions)
    return ["no prompt in the answer file holds its question's text: it was worded anew"] if strange else []


def _other_version(row: AnswerRow, name: str, said: str, known: str, questions: QuestionSet) -> ValueError:
    return ValueError(
        f"{row.place}: question {short(name)} is {short(said)}, in {questions.source} it is {short(known)}: "
        "another version of the questions"
    )


def _differ(said: str, known: str) -> bool:
    """Whether two truths of the same kind differ: other tools may write a truth as they like."""
    same_kind = {said.lower(), known.lower()} <= {"yes", "no"} or len(said) == len(known) == 1
    return same_kind and said.lower() != known.lower()


def _holds(text: str, question: Question) -> bool:
    return plain(question.text).casefold() in plain(text).casefold()


def _is_question(row: AnswerRow, question: Question) -> bool:
    """Whether what was taken for an answer is the question, or looks like one where its text is not known."""
    said = plain(row.answer.text or "")
    return bool(said) and (said == plain(question.text) or (not question.text and len(said) > 3 and said[-1] == "?"))


def _said(row: AnswerRow) -> tuple[str, tuple[float, ...] | None]:
    return (row.answer.text or "").strip(), row.answer.losses


def _answer(row: AnswerRow, name: str) -> Answer:
    return replace(row.answer, id=name)


def _answered(
    benchmark: ScoredBenchmark, questions: QuestionSet, rows: dict[str, AnswerRow], file: AnswerFile, partial: bool
) -> list[Question]:
    """Questions to score: all, or with `partial` those whose unit is answered in whole."""
    missing = [question for question in questions.questions if question.id not in rows]
    if missing and not partial:
        raise ValueError(
            f"{file.source}: {len(missing)} of {len(questions.questions)} questions of {questions.source} have no "
            f"answer, {short(missing[0].id)} is the first; --partial scores the others alone"
        )
    broken = {benchmark.unit(question) for question in missing}
    left = [question for question in questions.questions if benchmark.unit(question) not in broken]
    if not left:
        raise ValueError(
            f"{file.source}: nothing left to score: no question of {questions.source} is answered in whole"
        )
    return left


def _counts(
    questions: QuestionSet, file: AnswerFile, pairs: Sequence[Pair], repeats: Counter[str], rows: dict[str, AnswerRow]
) -> dict[str, int]:
    return {
        "rows": len(file.rows),
        "questions": len(questions.questions),
        "scored": len(pairs),
        "missing": len(questions.questions) - len(rows),
        "repeated_same": repeats["same"],
        "repeated_contradicting": repeats["contradicting"],
        "empty": sum(answer.losses is None and answer.hit is None and answer.silent for _, answer in pairs),
        "problems": sum(bool(answer.problem) for _, answer in pairs),
        **reasoning_counts([answer for _, answer in pairs]),
    }


def _notes(counts: dict[str, int]) -> list[str]:
    notes = reasoning_notes(counts)
    if again := counts["repeated_same"] + counts["repeated_contradicting"]:
        notes.append(
            f"{again} rows answer a question again, {counts['repeated_contradicting']} of them otherwise: "
            "the first answer counts"
        )
    return notes


def _missing_note(counts: dict[str, int], name: str) -> list[str]:
    if not counts["missing"]:
        return []
    whole = " (whole base questions only)" if name == "mmbench" else ""
    return [
        f"{counts['missing']} of {counts['questions']} questions have no answer; the figures are of the "
        f"{counts['scored']} rows left{whole}"
    ]
