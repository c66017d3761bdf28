"""What is to be judged: a benchmark's questions and references beside somebody's answers."""

from collections import Counter
from collections.abc import Sequence

from lightning_c3l.evaluation.benchmarks.answers import AnswerFile
from lightning_c3l.evaluation.benchmarks.base import Answer, Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.llava_w import KIND
from lightning_c3l.evaluation.judging.base import ToJudge

# ids that a message names
_NAMED = 3


def to_judge(question: Question, answer: Answer) -> ToJudge:
    """A question with the final answer to it, without reasoning; one without a text is judged on nothing."""
    kind = question.categories.get(KIND, "")
    return ToJudge(question.id, kind, question.text, question.context, question.reference, answer.final or "")


def pairs_of(questions: QuestionSet, file: AnswerFile) -> list[ToJudge]:
    """Every question with its answer, in the order of the questions.

    Raises:
        ValueError: if the answers are to another version of the questions, too many or too few; names both files.
    """
    if file.version and file.version != questions.digest:
        raise ValueError(
            f"{file.source} answers version {file.version} of the questions, {questions.source} is {questions.digest}"
        )
    answers = {answer.id: answer for answer in file.answers}
    known = {question.id: question for question in questions.questions}
    given = Counter(answer.id for answer in file.answers)
    _refuse(file, questions, [name for name, count in given.items() if count > 1], "are answered several times")
    _refuse(file, questions, [name for name in given if name not in known], "are not among the questions")
    _refuse(file, questions, [name for name in known if name not in given], "have no answer")
    return [to_judge(question, answers[name]) for name, question in known.items()]


def _refuse(file: AnswerFile, questions: QuestionSet, names: Sequence[str], why: str) -> None:
    if names:
        some = ", ".join(name or "(no id)" for name in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        raise ValueError(f"{file.source}, for {questions.source}: {len(names)} ids {why}: {some}")
