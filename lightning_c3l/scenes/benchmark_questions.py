"""Questions of the embedded world's benchmarks, as rows of the files of the benchmarks that they are modelled on."""

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.scenes.benchmark_scenes import ASKED_OF_EACH, BenchmarkScene
from lightning_c3l.scenes.curriculum import INSTRUCTIONS, WRITTEN
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
)
from lightning_c3l.scenes.world import SHAPES

SPLITS = ("random", "popular", "adversarial")
LETTERS = "ABCD"
# presence is left out: it has two answers only
CHOICE_KINDS = ("color", "place", "number")
# as in MMBench, the indices of the rows of one question differ by multiples of this
ROTATION = 1_000_000
COLUMNS = ("index", "question", "hint", *LETTERS, "answer", "category", "l2-category", "image", "split")
_L2 = {"color": "attribute", "place": "attribute", "number": "quantity"}


def yes_no_rows(scenes: Sequence[BenchmarkScene], split: str) -> list[dict[str, Any]]:
    """Rows of one split of POPE: for each image two shapes that are there and two that are not, in turn.

    Those that are there are the same in every split, and a shape is asked for in the same words in all of them.

    Args:
        scenes: the images.
        split: `random` draws absent shapes uniformly; `popular` takes those that are there most often in the set;
            `adversarial` draws among those that the prior says are usually there.
    """
    frequency = Counter(shape for one in scenes for shape in one.scene.things)
    rows = list[dict[str, Any]]()
    for one in scenes:
        if split == "popular":
            by_frequency = sorted(one.absent, key=lambda shape: (-frequency[shape], SHAPES.index(shape)))
            absent = by_frequency[:ASKED_OF_EACH]
        else:
            absent = stream(split, one.key).sample(one.absent if split == "random" else one.missed, ASKED_OF_EACH)
        present = stream("there", one.key).sample(sorted(one.scene.things), ASKED_OF_EACH)
        for pair in zip(present, absent, strict=True):
            for shape, label in zip(pair, ("yes", "no"), strict=True):
                text = ask(Query("presence", shape), stream("words", one.key, shape))
                rows.append({"question_id": len(rows) + 1, "image": one.key, "text": text, "label": label})
    return rows


@dataclass(frozen=True)
class ChoiceQuestion:
    """A question with four different options, the prior's usual answer always among them."""

    key: str
    kind: str
    question: str
    options: tuple[str, ...]
    truth: str


def choice_questions(scenes: Sequence[BenchmarkScene], name: str) -> Iterator[ChoiceQuestion]:
    """One question of each kind about each image; another name draws other questions."""
    for one in scenes:
        for kind in CHOICE_KINDS:
            random = stream(name, one.key, kind)
            query = random.choice(queries(one.scene, kind))
            truth = str(true_answer(one.scene, query))
            required = list(dict.fromkeys((truth, usual_answer(query))))
            others = [answer for answer in ANSWERS[kind] if answer not in required]
            options = required + random.sample(others, len(LETTERS) - len(required))
            random.shuffle(options)
            yield ChoiceQuestion(one.key, kind, ask(query, random), tuple(options), truth)


def seed_file(scenes: Sequence[BenchmarkScene]) -> dict[str, Any]:
    """The object in the file of SEED-Bench."""
    types = {kind: number for number, kind in enumerate(CHOICE_KINDS, start=1)}
    questions = [
        {
            "answer": LETTERS[one.options.index(one.truth)],
            **{f"choice_{letter.lower()}": text for letter, text in zip(LETTERS, one.options, strict=True)},
            "data_id": one.key,
            "data_type": "image",
            "question": one.question,
            "question_id": str(number),
            "question_type_id": types[one.kind],
        }
        for number, one in enumerate(choice_questions(scenes, "seed"), start=1)
    ]
    return {"questions": questions, "question_type": types}


def mmbench_rows(scenes: Sequence[BenchmarkScene], images: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    """Rows of the table of MMBench: all questions, then all again with their options rotated by one, and so on.

    Args:
        scenes: the images.
        images: bytes of their files, by key.
    """
    questions = list(choice_questions(scenes, "mmbench"))
    for shift in range(len(LETTERS)):
        for number, one in enumerate(questions, start=1):
            options = one.options[shift:] + one.options[:shift]
            yield {
                "index": number + ROTATION * shift,
                "question": one.question,
                "hint": "",
                **dict(zip(LETTERS, options, strict=True)),
                "answer": LETTERS[options.index(one.truth)],
                "category": one.kind,
                "l2-category": _L2[one.kind],
                "image": base64.b64encode(images[one.key]).decode("ascii"),
                "split": "dev",
            }


def llava_files(scenes: Sequence[BenchmarkScene]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the three files of LLaVA-Bench in the wild, by name, with the truth as reference answers.

    There is one question of each of the three kinds about each image; the world's four kinds take turns. The world's
    LVLM speaks its small language only, so they are what it can be asked: `conv` is one of the world's questions,
    `detail` a description of the whole image, and `complex` to find a question of a kind that the image can answer,
    and to answer it.
    """
    questions, references = list[dict[str, Any]](), list[dict[str, Any]]()
    for number, one in enumerate(scenes):
        pairs = list[tuple[str, str]]()
        kinds = [KINDS[(number + offset) % len(KINDS)] for offset in (0, 1)]
        for kind in kinds:
            random = stream("open", one.key, kind)
            query = random.choice(queries(one.scene, kind))
            pairs.append((ask(query, random), str(true_answer(one.scene, query))))
        written = WRITTEN.format(question=pairs[1][0], answer=pairs[1][1])
        for kind, text, reference in (
            ("conv", *pairs[0]),
            ("detail", CAPTION_REQUEST, caption(one.scene)),
            ("complex", INSTRUCTIONS[kinds[1]], written),
        ):
            index = len(questions)
            row = {"question_id": index, "image": one.key, "category": f"llava_bench_{kind}", "text": text}
            questions.append(row)
            references.append({"question_id": index, "text": reference, "model_id": "truth"})
    contexts = [{"id": number, "image": one.key, "caption": caption(one.scene)} for number, one in enumerate(scenes)]
    return {"questions.jsonl": questions, "context.jsonl": contexts, "answers_gpt4.jsonl": references}
