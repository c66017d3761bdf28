"""Open questions in the manner of LLaVA-Bench in the wild, with the truth as reference answers.

The world's LVLM speaks its small language alone, so the three kinds are what it can be asked: `conv` is one of the
world's questions, `detail` a description of the whole image, and `complex` to find a question of a kind that the
image can answer, and to answer it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.scenes.curriculum import INSTRUCTIONS, WRITTEN
from lightning_c3l.scenes.language import CAPTION_REQUEST, KINDS, ask, caption, queries, true_answer
from lightning_c3l.scenes.shown import Shown


@dataclass(frozen=True)
class OpenQuestion:
    """What is asked about an image, and a true answer."""

    shown: Shown
    kind: str
    text: str
    reference: str


def open_questions(shown: Sequence[Shown]) -> Iterator[OpenQuestion]:
    """One question of each of the three kinds about each image; the world's four kinds take turns."""
    for number, one in enumerate(shown):
        kind, other = KINDS[number % len(KINDS)], KINDS[(number + 1) % len(KINDS)]
        yield OpenQuestion(one, "conv", *_pair(one, kind))
        yield OpenQuestion(one, "detail", CAPTION_REQUEST, caption(one.scene))
        question, answer = _pair(one, other)
        yield OpenQuestion(one, "complex", INSTRUCTIONS[other], WRITTEN.format(question=question, answer=answer))


def _pair(shown: Shown, kind: str) -> tuple[str, str]:
    random = stream("open", shown.key, kind)
    query = random.choice(queries(shown.scene, kind))
    return ask(query, random), str(true_answer(shown.scene, query))


def llava_files(shown: Sequence[Shown]) -> dict[str, list[dict[str, object]]]:
    """Rows of the three files of LLaVA-Bench, by name."""
    questions, references = list[dict[str, object]](), list[dict[str, object]]()
    for number, one in enumerate(open_questions(shown)):
        named = {"question_id": number, "image": one.shown.key, "category": f"llava_bench_{one.kind}"}
        questions.append({**named, "text": one.text})
        references.append({"question_id": number, "text": one.reference, "model_id": "truth"})
    contexts: list[dict[str, object]] = [
        {"id": number, "image": one.key, "caption": caption(one.scene)} for number, one in enumerate(shown)
    ]
    return {"questions.jsonl": questions, "context.jsonl": contexts, "answers_gpt4.jsonl": references}
