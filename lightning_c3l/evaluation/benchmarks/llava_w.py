"""LLaVA-Bench in the wild (Liu et al., 2023): open questions about 24 pictures, whose answers a judge compares."""

from collections.abc import Sequence
from pathlib import Path

from lightning_c3l.evaluation.benchmarks.adding import add_question
from lightning_c3l.evaluation.benchmarks.base import Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.cells import id_of, short, text_of, version_of
from lightning_c3l.evaluation.benchmarks.rows import Row, read_rows

KIND = "kind"
# what the published reviews write before the kind of question
_PREFIX = "llava_bench_"
QUESTIONS, CONTEXT, REFERENCES = "questions.jsonl", "context.jsonl", "answers_gpt4.jsonl"


class LlavaW:
    """The benchmark's three files and its prompt; what answers are worth says a judge (see `reviewed`)."""

    name = "llava_w"
    protocols: tuple[str, ...] = ("reference", "strict")

    def read_questions(self, paths: Sequence[Path]) -> QuestionSet:
        """Read the folder, or its `questions.jsonl`; the pictures' descriptions and the references lie beside it.

        Raises:
            OSError: a file cannot be read.
            ValueError: names the file, the record and what is wrong.
        """
        files = self.files(paths)
        asked = files[0]
        contexts = {text_of(row.get("image")): _caption(row.get("caption")) for row in read_rows(files[1])}
        references = {id_of(row.get("question_id")): text_of(row.get("text")) for row in read_rows(files[2])}
        found: dict[str, Question] = {}
        for number, row in enumerate(read_rows(asked), start=1):
            place = f"{asked}, record {number}"
            add_question(found, _question(place, row, contexts, references), place)
        return QuestionSet(tuple(found.values()), version_of(files), str(asked))

    def files(self, paths: Sequence[Path]) -> list[Path]:
        """Questions, descriptions of the pictures, and references.

        Raises:
            ValueError: more than one place is named.
        """
        if len(paths) != 1:
            raise ValueError(f"llava_w has one folder of questions, or its {QUESTIONS}, not {len(paths)} of them")
        asked = paths[0] / QUESTIONS if paths[0].is_dir() else paths[0]
        return [asked, asked.parent / CONTEXT, asked.parent / REFERENCES]

    def prompt(self, question: Question) -> str:
        """The question as it is."""
        return question.text


def kind_of(category: str) -> str:
    """Kind of a question, without what the published reviews write before it."""
    return category.strip().removeprefix(_PREFIX)


def _question(place: str, row: Row, contexts: dict[str, str], references: dict[str, str]) -> Question:
    name, text, image = id_of(row.get("question_id")), text_of(row.get("text")).strip(), text_of(row.get("image"))
    if not name or not text or not image:
        raise ValueError(f"{place}: a question needs question_id, text and image, not {short(row)}")
    context, reference = contexts.get(image, ""), references.get(name, "")
    if not context:
        raise ValueError(f"{place}: {CONTEXT} describes no picture {short(image)}")
    if not reference:
        raise ValueError(f"{place}: {REFERENCES} has no answer to question {short(name)}")
    categories = {KIND: kind_of(text_of(row.get("category")))}
    return Question(name, text, image=image, categories=categories, context=context, reference=reference)


def _caption(value: object) -> str:
    """A description, whose sentences may be a list."""
    return "\n".join(map(text_of, value)) if isinstance(value, list) else text_of(value)
