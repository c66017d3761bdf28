"""What the park's base is trained on: captions, then true answers, then a mix of generating pairs and answering.

Answers of the mix are about what is imagined (see `world.imagine`), so that the trained base invents as real LVLMs do.
Without the true answers before it, the base learns the prior and never to look.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from PIL.Image import Image

from lightning_c3l.records import Conversation, Turn
from lightning_c3l.scenes.curriculum import WRITTEN
from lightning_c3l.scenes.park.drawing import draw
from lightning_c3l.scenes.park.language import (
    CAPTION_REQUEST,
    KINDS,
    LONG_KINDS,
    SHORT_KINDS,
    Query,
    answer,
    ask,
    caption,
    queries,
)
from lightning_c3l.scenes.park.world import PRIOR, Scene, expected_presence, imagine, sample_scene

INSTRUCTIONS: Mapping[str, str] = {kind: f"Write a {kind} question with its answer." for kind in KINDS}
# of a record, with short and with long answers
_SHORT_TURNS, _LONG_TURNS = 3, 2


@dataclass(frozen=True)
class ParkCurriculum:
    """The mix of the base's training records.

    Attributes:
        captions: share of the run, at its start, that is captions alone.
        truthful: share of the run, after that, whose answers are true.
        later_captions: share of captions after the start.
        blind: share of records without image at the end, where answers follow the prior.
        follow: probability with which each attribute of a training scene obeys the prior.
    """

    captions: float = 0.4
    truthful: float = 0.4
    later_captions: float = 0.1
    blind: float = 0.1
    follow: float = 0.15


def record(number: int, total: int, curriculum: ParkCurriculum, seed: int) -> tuple[Conversation, Image | None]:
    """One training record; the same arguments give the same record.

    Args:
        number: of the record.
        total: records of the run.
        curriculum: the mix.
        seed: of the run.

    Returns:
        The conversation, and its image if it has one.
    """
    random = Random(f"park record {seed} {number}")
    scene = sample_scene(random.getrandbits(40), curriculum.follow)
    name, done = f"{seed}-{number}", number / total
    if done < curriculum.captions or random.random() < curriculum.later_captions:
        captions: tuple[Turn, ...] = (Turn("user", CAPTION_REQUEST), Turn("assistant", caption(scene.things, random)))
        return Conversation(name, name, captions), draw(scene)
    truthful = done < curriculum.captions + curriculum.truthful
    turns = tuple(_questions(scene, random, truthful))
    if not truthful and random.random() < curriculum.blind:
        return Conversation(name, None, turns), None
    return Conversation(name, name, turns), draw(scene)


def _questions(scene: Scene, random: Random, truthful: bool) -> Iterator[Turn]:
    """Turns about queries of some kinds, one of them as a generated pair and half of the time the first."""
    kinds = [*random.sample(SHORT_KINDS, _SHORT_TURNS), *random.sample(LONG_KINDS, _LONG_TURNS)]
    random.shuffle(kinds)
    paired = random.choice((*(0,) * (len(kinds) - 1), *range(1, len(kinds))))
    for position, kind in enumerate(kinds):
        query = random.choice(queries(scene.things, kind))
        question = ask(query, random)
        said = str(answer(scene.things, query)) if truthful else _said(scene, query, random)
        if position == paired:
            yield Turn("user", INSTRUCTIONS[kind])
            yield Turn("assistant", WRITTEN.format(question=question, answer=said))
        else:
            yield Turn("user", question)
            yield Turn("assistant", said)


def _said(scene: Scene, query: Query, random: Random) -> str:
    """What somebody says who falls back on the prior now and then."""
    if query.form == "presence" and random.random() < PRIOR[query.things[0]].strength:
        return expected_presence(scene, query.things[0])
    return str(answer(scene.things if query.form == "presence" else imagine(scene, random), query))


def corpus() -> Iterator[str]:
    """Texts with every word of this world, for the tokenizer."""
    random = Random("park corpus")
    for seed in range(2000):
        scene = sample_scene(seed, 0.5)
        kind = random.choice(KINDS)
        query = random.choice(queries(scene.things, kind))
        question, said = ask(query, random), _said(scene, query, random)
        yield f"USER: {INSTRUCTIONS[kind]} ASSISTANT: {WRITTEN.format(question=question, answer=said)}"
        yield f"USER: {CAPTION_REQUEST} ASSISTANT: {caption(scene.things, random)}"
