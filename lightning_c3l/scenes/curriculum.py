"""What the base LVLM is trained on: captions first, then a mix of writing pairs and answering, with and without image.

A share of the answers comes from the prior instead of the image, so that the trained base invents as real LVLMs do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from random import Random

from PIL.Image import Image

from lightning_c3l.records import Conversation, Turn
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.language import (
    ANSWERS,
    CAPTION_REQUEST,
    KINDS,
    Query,
    ask,
    caption,
    queries,
    true_answer,
    usual_answer,
    wordings,
)
from lightning_c3l.scenes.world import SHAPES, Scene, sample_scene

INSTRUCTIONS: Mapping[str, str] = {kind: f"Write a {kind} question with its answer." for kind in KINDS}
WRITTEN = "Question: {question}\nAnswer: {answer}"


@dataclass(frozen=True)
class Curriculum:
    """The mix of the base's training records.

    Attributes:
        captions: share of the run, at its start, that is captions alone.
        later_captions: share of captions in the mix that follows.
        blind: share of records without image in that mix.
        invented: share of answers that come from the prior.
        follow: probability with which each attribute of a training scene obeys the prior.
    """

    captions: float = 0.4
    later_captions: float = 0.1
    blind: float = 0.1
    invented: float = 0.3
    follow: float = 0.4


def record(number: int, total: int, curriculum: Curriculum, seed: int) -> tuple[Conversation, Image | None]:
    """One training record; the same arguments give the same record.

    Args:
        number: of the record.
        total: records of the run.
        curriculum: the mix.
        seed: of the run.

    Returns:
        The conversation, and its image if it has one.
    """
    random = Random(f"record {seed} {number}")
    scene = sample_scene(random.getrandbits(40), curriculum.follow)
    name = f"{seed}-{number}"
    aligned = number < curriculum.captions * total
    if aligned or random.random() < curriculum.later_captions:
        turns = (Turn("user", CAPTION_REQUEST), Turn("assistant", caption(scene)))
        return Conversation(name, name, turns), draw(scene)
    # not two turns as above, which mypy would hold it to
    turns = tuple(_questions(scene, random, curriculum))  # type: ignore[assignment]
    if random.random() < curriculum.blind:
        return Conversation(name, None, turns), None
    return Conversation(name, name, turns), draw(scene)


def _questions(scene: Scene, random: Random, curriculum: Curriculum) -> Iterator[Turn]:
    """Turns about one query of each kind, one of them written as a pair and half of the time the first."""
    written = random.choice((0, 0, 0, 1, 2, 3))
    for place, kind in enumerate(random.sample(KINDS, len(KINDS))):
        query = random.choice(queries(scene, kind))
        answer = usual_answer(query) if random.random() < curriculum.invented else true_answer(scene, query)
        question = ask(query, random)
        if place == written:
            yield Turn("user", INSTRUCTIONS[kind])
            yield Turn("assistant", WRITTEN.format(question=question, answer=answer))
        else:
            yield Turn("user", question)
            yield Turn("assistant", str(answer))


def corpus() -> Iterator[str]:
    """Every wording of this world, for the tokenizer."""
    for kind, shape in product(KINDS, SHAPES):
        for question, answer in product(wordings(Query(kind, shape)), ANSWERS[kind]):
            yield f"USER: {INSTRUCTIONS[kind]} ASSISTANT: {WRITTEN.format(question=question, answer=answer)}"
            yield f"USER: {question} ASSISTANT: {answer}"
    for seed in range(400):
        yield f"USER: {CAPTION_REQUEST} ASSISTANT: {caption(sample_scene(seed, 0.5))}"
