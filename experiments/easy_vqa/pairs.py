"""Single easy-VQA pairs: the training questions to answer, and the test pairs with half of their pictures exchanged."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.easy_vqa.questions import answer_words, parse_question, verdict
from experiments.easy_vqa.truth import EasyVQATruth
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.runs.atomic import atomic_path

Row = tuple[str, str, int]


def write_answers(questions: Path, out: Path, passes: int, blind_share: float = 0.15, seed: int = 0) -> None:
    """Writes each question with its answer as a LLaVA record, one a line, `passes` times over in new orders.

    A share of them comes without the picture: what the model says then is the other side of S(I2C), and should be what
    the questions alone let expect.

    Args:
        questions: JSON list of [question, answer, number of the picture].
        out: the file, paths relative to the prepared folder.
        passes: how often each question comes.
        blind_share: share of records without their picture.
        seed: of every draw.
    """
    rows = _rows(questions)
    rng = stream(seed)
    records = [
        _record(number, row, "train" if rng.random() >= blind_share else None) for number, row in enumerate(rows)
    ]
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for number in range(passes):
            for record in rng.sample(records, len(records)):
                file.write(json.dumps({**record, "id": f"{record['id']}-{number}"}) + "\n")


def write_exchanged(questions: Path, out: Path, seed: int = 0) -> Mapping[str, int]:
    """Writes the test pairs, half of them about another test picture, with what is true of them then.

    Each record has `exchanged`, and `verdict`: right, wrong, or unanswerable where the question takes for granted what
    the picture does not show. Most exchanged yes/no pairs stay right.

    Args:
        questions: JSON list of [question, answer, number of the picture].
        out: the file, one LLaVA record a line, sorted by picture, paths relative to the prepared folder.
        seed: of the exchange.

    Returns:
        How many records have each verdict.

    Raises:
        ValueError: a pair that cannot be judged.
    """
    rows = _rows(questions)
    records = sorted(_exchanged(rows, EasyVQATruth(str(questions)), stream(seed)), key=lambda one: one["image"])
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    return Counter(str(record["verdict"]) for record in records)


def _rows(questions: Path) -> list[Row]:
    return [(question, answer, picture) for question, answer, picture in json.loads(questions.read_text("utf-8"))]


def _exchanged(rows: Sequence[Row], truth: EasyVQATruth, rng: random.Random) -> Iterator[dict[str, Any]]:
    pictures = sorted({row[2] for row in rows})
    moved = set(rng.sample(range(len(rows)), len(rows) // 2))
    for number, (question, answer, own) in enumerate(rows):
        picture = rng.choice([other for other in pictures if other != own]) if number in moved else own
        query, words = parse_question(question), answer_words(answer)
        figure = truth.figure(f"{picture}.png")
        if query is None or words is None or figure is None:
            raise ValueError(f"easy-VQA: cannot judge {question!r} with {answer!r} about picture {picture}")
        record = _record(number, (question, answer, picture), "test")
        yield {**record, "exchanged": number in moved, "verdict": verdict(query, words, figure)}


def _record(number: int, row: Row, split: str | None) -> dict[str, Any]:
    question, answer, picture = row
    turns = [
        {"from": "human", "value": question if split is None else f"<image>\n{question}"},
        {"from": "gpt", "value": answer},
    ]
    image = {} if split is None else {"image": f"{split}/images/{picture}.png"}
    return {"id": str(number), **image, "conversations": turns}
