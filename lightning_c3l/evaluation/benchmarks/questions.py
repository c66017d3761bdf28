"""Question files: rows to questions, ids that are unique, and images in the cells of a table."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lightning_c3l.evaluation.benchmarks.base import Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.rows import Row, cell_id, cell_text, read_rows
from lightning_c3l.runs.digests import sha256_of_files

# a shorter cell is not an image but the index of the row whose image this row shares
_LONGEST_REFERENCE = 64
# digits of the SHA-256 of the files that name a version of the questions
DIGEST_LENGTH = 16


def read_question_files(files: Sequence[Path], parse: Callable[[Row, str, Path], Question]) -> QuestionSet:
    """Read files with one question a row; a table with an `index` column may contain its images.

    Args:
        files: in the order of their questions.
        parse: makes a question from a row, its file and record for messages, and its file.

    Returns:
        The questions, each once: a repeated one is left out.

    Raises:
        OSError: a file cannot be read.
        ValueError: names the file, the record and what is wrong, such as two different questions with one id.
    """
    questions: dict[str, Question] = {}
    images: dict[str, bytes] = {}
    for file in files:
        rows = read_rows(file)
        keys, carried = carried_images(rows) if "index" in rows[0] else (None, {})
        images |= carried
        for number, row in enumerate(rows, start=1):
            where = f"{file}, record {number}"
            question = parse(row, where, file)
            if keys:
                question = replace(question, image=keys[number - 1])
            first = questions.setdefault(question.id, question)
            # the same image may be stored in two cells
            if replace(first, image=None) != replace(question, image=None):
                raise ValueError(f"{where}: question id {question.id} is used twice, for different questions")
    digest = sha256_of_files(files)[:DIGEST_LENGTH]
    return QuestionSet(tuple(questions.values()), digest, ", ".join(map(str, files)), images)


def require_fields(where: str, fields: Mapping[str, str]) -> None:
    """Refuse a question with a missing or empty field.

    Raises:
        ValueError: names the fields.
    """
    if missing := [name for name, value in fields.items() if not value]:
        raise ValueError(f"{where}: a question needs {', '.join(fields)}; missing or empty: {', '.join(missing)}")


def carried_images(rows: Sequence[Row]) -> tuple[list[str | None], dict[str, bytes]]:
    """Key of each row's image, and the images by key.

    A cell that is not base64 is kept as it is: decoding reports that one image later, and the others are not lost.

    Args:
        rows: with `index` and, as a rule, `image` in base64 or `image_path`.

    Returns:
        For each row the `index` of the row that contains its image, else its `image_path`, or None; and the images'
        bytes by key.
    """
    keys: list[str | None] = []
    images: dict[str, bytes] = {}
    for row in rows:
        cell = cell_text(row.get("image"))
        if not cell:
            keys.append(cell_text(row.get("image_path")) or None)
        elif len(cell) <= _LONGEST_REFERENCE:
            keys.append(cell_id(cell))
        else:
            key = cell_id(row.get("index"))
            keys.append(key)
            # several images are written as a Python list; the first is the question's
            content = cell.removeprefix("['").split("'", 1)[0]
            try:
                images[key] = base64.b64decode("".join(content.split()), validate=True)
            except (binascii.Error, ValueError):
                images[key] = cell.encode("utf-8", "replace")
    return keys, images
