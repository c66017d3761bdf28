"""Questions of the embedded worlds' benchmarks, as rows of the files of the benchmarks that they are modelled on."""

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.scenes.benchmark_scenes import ASKED_OF_EACH, BenchmarkScene

SPLITS = ("random", "popular", "adversarial")
LETTERS = "ABCD"
# as in MMBench, the indices of the rows of one question differ by multiples of this
ROTATION = 1_000_000
COLUMNS = ("index", "question", "hint", *LETTERS, "answer", "category", "l2-category", "image", "split")


def yes_no_rows(scenes: Sequence[BenchmarkScene], split: str) -> list[dict[str, Any]]:
    """Rows of one split of POPE: for each image two things that are there and two that are not, in turn.

    Those that are there are the same in every split, and a thing is asked for in the same words in all of them.

    Args:
        scenes: the images.
        split: `random` draws absent things uniformly; `popular` takes those that are there most often in the set;
            `adversarial` draws among those that the prior expects in the image.
    """
    frequency = Counter(name for one in scenes for name in one.scene.things)
    rows = list[dict[str, Any]]()
    for one in scenes:
        if split == "popular":
            # among equally frequent ones, in the order of the world's names
            absent = sorted(one.absent, key=lambda name: -frequency[name])[:ASKED_OF_EACH]
        else:
            absent = stream(split, one.key).sample(one.absent if split == "random" else one.missed, ASKED_OF_EACH)
        present = stream("there", one.key).sample(sorted(one.scene.things), ASKED_OF_EACH)
        for pair in zip(present, absent, strict=True):
            for name, label in zip(pair, ("yes", "no"), strict=True):
                text = one.world.presence_question(name, stream("words", one.key, name))
                rows.append({"question_id": len(rows) + 1, "image": one.key, "text": text, "label": label})
    return rows


@dataclass(frozen=True)
class ChoiceQuestion:
    """A question with four different options, the prior's usual answer always among them."""

    key: str
    kind: str
    category: str
    question: str
    options: tuple[str, ...]
    truth: str


def choice_questions(scenes: Sequence[BenchmarkScene], name: str) -> Iterator[ChoiceQuestion]:
    """One question of each kind about each image; another name draws other questions."""
    for one in scenes:
        for kind, category in one.world.choice_kinds.items():
            random = stream(name, one.key, kind)
            choice = one.world.choice(one.scene, kind, random)
            required = list(dict.fromkeys((choice.truth, choice.usual)))
            others = [answer for answer in choice.answers if answer not in required]
            options = required + random.sample(others, len(LETTERS) - len(required))
            random.shuffle(options)
            question = random.choice(choice.wordings)
            yield ChoiceQuestion(one.key, kind, category, question, tuple(options), choice.truth)


def seed_file(scenes: Sequence[BenchmarkScene]) -> dict[str, Any]:
    """The object in the file of SEED-Bench."""
    asked = list(choice_questions(scenes, "seed"))
    types = {kind: number for number, kind in enumerate(dict.fromkeys(one.kind for one in asked), start=1)}
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
        for number, one in enumerate(asked, start=1)
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
                "l2-category": one.category,
                "image": base64.b64encode(images[one.key]).decode("ascii"),
                "split": "dev",
            }


def llava_files(scenes: Sequence[BenchmarkScene]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the three files of LLaVA-Bench in the wild, by name, with the truth as reference answers."""
    questions, references = list[dict[str, Any]](), list[dict[str, Any]]()
    for number, one in enumerate(scenes):
        for asked in one.world.open_questions(one.key, one.scene, number):
            index, category = len(questions), f"llava_bench_{asked.kind}"
            row = {"question_id": index, "image": one.key, "category": category, "text": asked.question}
            questions.append(row)
            references.append({"question_id": index, "text": asked.reference, "model_id": "truth"})
    contexts = [
        {"id": number, "image": one.key, "caption": one.world.describe(one.scene)} for number, one in enumerate(scenes)
    ]
    return {"questions.jsonl": questions, "context.jsonl": contexts, "answers_gpt4.jsonl": references}
