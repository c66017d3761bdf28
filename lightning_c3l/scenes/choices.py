"""Four-choice questions in the manner of SEED-Bench, and of MMBench with all rotations of the options."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.scenes.language import ANSWERS, Query, ask, queries, true_answer, usual_answer
from lightning_c3l.scenes.shown import Shown
from lightning_c3l.scenes.world import Scene

LETTERS = "ABCD"
# a question whether something is there has two answers alone
CHOICE_KINDS = ("color", "place", "number")
# as MMBench has it, rows of one question differ by multiples of this
ROTATION = 1_000_000
COLUMNS = ("index", "question", "hint", *LETTERS, "answer", "category", "l2-category", "image", "split")
_L2 = {"color": "attribute", "place": "attribute", "number": "quantity"}


@dataclass(frozen=True)
class Choice:
    """A question with four different options, the prior's usual answer always among them."""

    shown: Shown
    kind: str
    question: str
    options: tuple[str, ...]
    truth: str


def choices(shown: Sequence[Shown], name: str) -> Iterator[Choice]:
    """One question of each kind about each image; other names draw other ones."""
    for one in shown:
        for kind in CHOICE_KINDS:
            random = stream(name, one.key, kind)
            query = random.choice(queries(one.scene, kind))
            options, truth = _options(one.scene, query, random)
            yield Choice(one, kind, ask(query, random), options, truth)


def _options(scene: Scene, query: Query, random: Random) -> tuple[tuple[str, ...], str]:
    """Four answers in random order, and the true one."""
    truth = str(true_answer(scene, query))
    needed = list(dict.fromkeys((truth, usual_answer(query))))
    others = [answer for answer in ANSWERS[query.kind] if answer not in needed]
    options = needed + random.sample(others, len(LETTERS) - len(needed))
    random.shuffle(options)
    return tuple(options), truth


def seed_file(shown: Sequence[Shown]) -> dict[str, Any]:
    """The object that SEED-Bench's file holds."""
    types = {kind: number for number, kind in enumerate(CHOICE_KINDS, start=1)}
    questions = [
        {
            "answer": LETTERS[one.options.index(one.truth)],
            **{f"choice_{letter.lower()}": text for letter, text in zip(LETTERS, one.options, strict=True)},
            "data_id": one.shown.key,
            "data_type": "image",
            "question": one.question,
            "question_id": str(number),
            "question_type_id": types[one.kind],
        }
        for number, one in enumerate(choices(shown, "seed"), start=1)
    ]
    return {"questions": questions, "question_type": types}


def mmbench_rows(shown: Sequence[Shown], images: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    """The rows of MMBench's table, all questions as they are first, then with their options turned by one, and so on.

    Args:
        shown: the images.
        images: their files' bytes, by key.
    """
    asked = list(choices(shown, "mmbench"))
    for turn in range(len(LETTERS)):
        for number, one in enumerate(asked, start=1):
            options = one.options[turn:] + one.options[:turn]
            yield {
                "index": number + ROTATION * turn,
                "question": one.question,
                "hint": "",
                **dict(zip(LETTERS, options, strict=True)),
                "answer": LETTERS[options.index(one.truth)],
                "category": one.kind,
                "l2-category": _L2[one.kind],
                "image": base64.b64encode(images[one.shown.key]).decode("ascii"),
                "split": "dev",
            }
