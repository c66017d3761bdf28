"""Joins answers with their questions, and refuses files that do not belong together."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lightning_c3l.evaluation.benchmarks.answers import AnswerFile, AnswerRow, reasoning_counts, reasoning_notes
from lightning_c3l.evaluation.benchmarks.base import Pair, Question, QuestionReference, QuestionSet, ScoredBenchmark
from lightning_c3l.evaluation.benchmarks.mmbench import first_passes
from lightning_c3l.evaluation.benchmarks.rows import collapse_spaces, quoted

# what each row must contain to be scored without a question file
_CARRIED = {
    "pope": "question_id, label and split",
    "mmbench": "index, the options and answer",
    "seed": "question_id and gt_answer",
}
# what to do with answers to another version of the questions
OTHER_VERSION = "answer these with `test`, or give the questions that were asked"


@dataclass(frozen=True)
class MatchedAnswers:
    """Questions with their answers, in the order of the questions.

    Attributes:
        questions: all of them, including those without an answer.
        pairs: what is scored.
        counts: rows, questions, repeats, empty answers and so on.
        notes: remarks for a reader of the figures.
        answered: number of questions that the file answers, including those that are not in `questions`.
    """

    questions: QuestionSet
    pairs: tuple[Pair, ...]
    counts: dict[str, int]
    notes: tuple[str, ...]
    answered: int

    @property
    def ids(self) -> set[str]:
        """Ids of the questions that are scored."""
        return {question.id for question, _ in self.pairs}


def match_answers(
    benchmark: ScoredBenchmark,
    questions: QuestionSet | None,
    file: AnswerFile,
    partial: bool = False,
    carried: bool = False,
    shared: bool = False,
) -> MatchedAnswers:
    """Join answers and questions by id, or by order if no row has an id and the texts agree.

    Args:
        benchmark: the benchmark.
        questions: its questions; None takes those in the answer file.
        file: the answers.
        partial: leave out questions without an answer instead of refusing them.
        carried: the questions are those in another answer file.
        shared: leave out answers to other questions, too, instead of refusing them.

    Returns:
        The first answer to each question that is scored.

    Raises:
        ValueError: names both files and the first question that does not fit.
    """
    questions = _usable_questions(benchmark, questions, file, carried, shared)
    by_id = {question.id: question for question in questions.questions}
    ids = _question_ids(benchmark, questions, file)
    unknown = [name for name in dict.fromkeys(ids) if name not in by_id]
    if unknown and (not shared or by_id.keys().isdisjoint(ids)):
        hint = "; the answers contain their own questions: leave --questions out" if file.carried else ""
        raise ValueError(
            f"{file.source} answers question {quoted(unknown[0])} (and {len(unknown) - 1} more), which is not in "
            f"{questions.source}: another version of the questions?{hint}"
        )
    rows: dict[str, AnswerRow] = {}
    repeats: Counter[str] = Counter()
    for name, row in zip(ids, file.rows, strict=True):
        if name in by_id:
            first = rows.setdefault(name, row)
            if first is not row:
                texts = [(one.answer.text or "").strip() for one in (first, row)]
                same = texts[0] == texts[1] and first.answer.losses == row.answer.losses
                repeats["same" if same else "contradicting"] += 1
    wording = _check_wording(rows, questions, file)
    scored = _scored_questions(benchmark, questions, rows, file, partial or shared)
    pairs = tuple((question, replace(rows[question.id].answer, id=question.id)) for question in scored)
    answers = [answer for _, answer in pairs]
    counts = {
        "rows": len(file.rows),
        "questions": len(questions.questions),
        "scored": len(pairs),
        "missing": len(questions.questions) - len(rows),
        "repeated_same": repeats["same"],
        "repeated_contradicting": repeats["contradicting"],
        "empty": sum(answer.losses is None and answer.hit is None and answer.empty for answer in answers),
        "problems": sum(bool(answer.problem) for answer in answers),
        **reasoning_counts(answers),
    }
    notes = [*_count_notes(counts, benchmark.name, shared), *wording]
    return MatchedAnswers(questions, pairs, counts, tuple(notes), len(set(ids)))


def contains_text(text: str, question: Question) -> bool:
    """Whether a text contains the question's, apart from case and white space."""
    return collapse_spaces(question.text).casefold() in collapse_spaces(text).casefold()


def _usable_questions(
    benchmark: ScoredBenchmark, questions: QuestionSet | None, file: AnswerFile, carried: bool, shared: bool
) -> QuestionSet:
    if questions is None and file.carried is None:
        needed = _CARRIED.get(benchmark.name, "question_id and truth")
        raise ValueError(
            f"{file.source}: not every row contains what scoring needs ({needed}): {file.missing}; "
            "name the benchmark's question file with --questions"
        )
    if questions is None:
        assert file.carried is not None
        return file.carried
    if any(row.answer.hit is not None for row in file.rows):  # verdicts, one row a base question
        questions = first_passes(questions)
    # if each row contains its question, `_check_wording` compares those that both have
    checked = shared and file.carried is not None and all(row.question.text for row in file.rows)
    if file.version and file.version != questions.digest and not checked:
        hint = "give the questions that both answer with --questions" if carried else OTHER_VERSION
        raise ValueError(
            f"{file.source} answers version {file.version} of the questions, {questions.source} is "
            f"{questions.digest}; {hint}"
        )
    if unknown := next((question for question in questions.questions if not question.truth), None):
        raise ValueError(f"{questions.source}: question {unknown.id} has no right answer, so nothing can be scored")
    return questions


def _question_ids(benchmark: ScoredBenchmark, questions: QuestionSet, file: AnswerFile) -> list[str]:
    """Id of the question that each row answers."""
    nameless = [row for row in file.rows if not row.answer.id]
    if not nameless:
        references = [
            QuestionReference(row.answer.id, row.question.splits, row.question.text or row.prompt) for row in file.rows
        ]
        try:
            return benchmark.question_ids(references, questions.questions)
        except ValueError as error:
            raise ValueError(f"{file.source}: {error}") from None
    if len(nameless) < len(file.rows):
        raise ValueError(f"{nameless[0].where}: no question_id, although other rows have one")
    queues: dict[tuple[str, ...], list[Question]] = {}
    for question in questions.questions:
        queues.setdefault(question.splits, []).append(question)
    ids = []
    for row in file.rows:  # each must contain the text of the next question of its split
        splits = row.question.splits or (next(iter(queues)) if len(queues) == 1 else ())
        if splits not in queues:
            raise ValueError(f"{row.where}: has neither a question_id nor a split of {questions.source}")
        if not queues[splits]:
            where = f" in {','.join(splits)}" if splits else ""
            raise ValueError(f"{row.where}: more rows than {questions.source} has questions{where}")
        question = queues[splits].pop(0)
        text = row.question.text or row.prompt
        if not text or not contains_text(text, question):
            raise ValueError(
                f"{row.where}: without a question_id rows must follow {questions.source}, "
                f"whose next question is {quoted(question.text)}, not {quoted(text)}"
            )
        ids.append(question.id)
    return ids


def _check_wording(rows: Mapping[str, AnswerRow], questions: QuestionSet, file: AnswerFile) -> list[str]:
    """Compare what rows say about their questions; prompts may use any wording, if all of them do."""
    by_id = {question.id: question for question in questions.questions}
    if rows and all(_is_question(row, by_id[name]) for name, row in rows.items()):
        raise ValueError(
            f"{file.source}: the fields read as answers contain the questions; call the answers' field `prediction`"
        )
    if questions is file.carried:
        return []

    def refuse(name: str, given: str, known: str) -> ValueError:
        return ValueError(
            f"{rows[name].where}: question {quoted(name)} is {quoted(given)}, in {questions.source} it is "
            f"{quoted(known)}: another version of the questions"
        )

    prompts, reworded = 0, list[str]()
    for name, row in rows.items():
        question, given = by_id[name], row.question
        if given.text and not contains_text(given.text, question):
            raise refuse(name, given.text, question.text)
        # other tools may write a truth in any way: only two of the same kind are compared
        truths = {given.truth.lower(), question.truth.lower()}
        comparable = truths <= {"yes", "no"} or len(given.truth) == len(question.truth) == 1
        if len(truths) == 2 and comparable:
            raise refuse(name, f"truth {given.truth}", f"truth {question.truth}")
        prompts += bool(row.prompt)
        if row.prompt and not contains_text(row.prompt, question):
            reworded.append(name)
    if 0 < len(reworded) < prompts:
        raise refuse(reworded[0], rows[reworded[0]].prompt, by_id[reworded[0]].text)
    return ["no prompt in the answer file contains its question's text: it was reworded"] if reworded else []


def _is_question(row: AnswerRow, question: Question) -> bool:
    """Whether what was read as the answer is the question, or looks like one if its text is not known."""
    text = collapse_spaces(row.answer.text or "")
    return bool(text) and (
        text == collapse_spaces(question.text) or (not question.text and len(text) > 3 and text[-1] == "?")
    )


def _scored_questions(
    benchmark: ScoredBenchmark,
    questions: QuestionSet,
    rows: Mapping[str, AnswerRow],
    file: AnswerFile,
    partial: bool,
) -> list[Question]:
    """Questions to score: all, or with `partial` those whose whole unit is answered."""
    missing = [question for question in questions.questions if question.id not in rows]
    if missing and not partial:
        raise ValueError(
            f"{file.source}: {len(missing)} of {len(questions.questions)} questions of {questions.source} have no "
            f"answer, the first is {quoted(missing[0].id)}; --partial scores only the others"
        )
    incomplete = {benchmark.unit(question) for question in missing}
    scored = [question for question in questions.questions if benchmark.unit(question) not in incomplete]
    if not scored:
        raise ValueError(
            f"{file.source}: nothing left to score: no question of {questions.source} is answered completely"
        )
    return scored


def _count_notes(counts: Mapping[str, int], name: str, shared: bool) -> list[str]:
    notes = reasoning_notes(counts)
    if again := counts["repeated_same"] + counts["repeated_contradicting"]:
        notes.append(
            f"{again} rows answer a question again, {counts['repeated_contradicting']} of them differently: "
            "the first answer counts"
        )
    if counts["missing"] and not shared:
        whole = " (complete base questions only)" if name == "mmbench" else ""
        notes.append(
            f"{counts['missing']} of {counts['questions']} questions have no answer; the figures are of the "
            f"{counts['scored']} rows left{whole}"
        )
    return notes
