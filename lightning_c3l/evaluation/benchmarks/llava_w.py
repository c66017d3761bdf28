"""LLaVA-Bench in the wild (Liu et al., 2023): open questions about 24 images, whose answers a judge compares."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lightning_c3l.evaluation.benchmarks.base import Benchmark, Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.questions import DIGEST_LENGTH, read_question_files
from lightning_c3l.evaluation.benchmarks.rows import Row, cell_id, cell_text, quoted, read_rows
from lightning_c3l.runs.digests import sha256_of_files

KIND = "kind"
# prefix of the kind of question in the published reviews
_PREFIX = "llava_bench_"
QUESTIONS, CONTEXT, REFERENCES = "questions.jsonl", "context.jsonl", "answers_gpt4.jsonl"


class LlavaW(Benchmark):
    """The benchmark's three files and its prompt; answers are scored from reviews (see `review_scores`)."""

    name, headline = "llava_w", "score"
    protocols: tuple[str, ...] = ("reference", "strict")

    def files(self, paths: Sequence[Path]) -> list[Path]:
        """List the files of questions, image descriptions and references.

        Raises:
            ValueError: several paths are given.
        """
        if len(paths) != 1:
            raise ValueError(f"llava_w takes one folder of questions, or its {QUESTIONS}, not {len(paths)} paths")
        file = paths[0] / QUESTIONS if paths[0].is_dir() else paths[0]
        return [file, file.parent / CONTEXT, file.parent / REFERENCES]

    def read_questions(self, paths: Sequence[Path]) -> QuestionSet:
        """Read the folder, or its `questions.jsonl`; the other two files must be in the same folder."""
        files = self.files(paths)
        captions = {cell_text(row.get("image")): row.get("caption") for row in read_rows(files[1])}
        contexts = {
            # a description may be a list of sentences
            image: "\n".join(map(cell_text, caption)) if isinstance(caption, list) else cell_text(caption)
            for image, caption in captions.items()
        }
        references = {cell_id(row.get("question_id")): cell_text(row.get("text")) for row in read_rows(files[2])}

        def parse(row: Row, where: str, file: Path) -> Question:
            name, text = cell_id(row.get("question_id")), cell_text(row.get("text")).strip()
            image = cell_text(row.get("image"))
            if not name or not text or not image:
                raise ValueError(f"{where}: a question needs question_id, text and image, not {quoted(row)}")
            if not contexts.get(image):
                raise ValueError(f"{where}: {CONTEXT} describes no image {quoted(image)}")
            if not references.get(name):
                raise ValueError(f"{where}: {REFERENCES} has no answer to question {quoted(name)}")
            kind = llava_w_kind(cell_text(row.get("category")))
            return Question(
                name, text, "", image, categories={KIND: kind}, context=contexts[image], reference=references[name]
            )

        return replace(read_question_files(files[:1], parse), digest=sha256_of_files(files)[:DIGEST_LENGTH])

    def prompt(self, question: Question) -> str:
        """The question as it is."""
        return question.text


def llava_w_kind(category: str) -> str:
    """Kind of a question, without the prefix in the published reviews."""
    return category.strip().removeprefix(_PREFIX)
