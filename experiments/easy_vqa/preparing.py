"""The easy-VQA images as a folder, and records to train and to score on."""

import json
import random
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.easy_vqa.questions import KINDS, ColoredShape, answer_words, judge_answer, parse_question
from experiments.easy_vqa.truth import EasyVQATruth, Row, kind_of, read_rows
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.report.progress import track
from lightning_c3l.runs.atomic import atomic_path, write_text_atomic

# the words in which the method asks for a description (`anchor: description`)
CAPTION = "Describe the picture."

_Pair = tuple[str, str]


def prepare(
    out: Path,
    archive: Path | None,
    instructions: Mapping[str, str],
    *,
    alignment: int = 12,
    caption_share: float = 0.2,
    blind_share: float = 0.15,
    seed: int = 0,
) -> None:
    """Write `out/{train,test}/images/<id>.png`, `out/train.json` and `out/{train,test}_questions.json`.

    A conversation (LLaVA's format, image paths relative to `out`) asks one question of each kind about its
    image, in any order, so that each kind of turn is often the first, which nothing but the image can
    answer. One of the questions is written ("instruction -> Question: ... Answer: ..."), the others are
    answered. Each question occurs; those of rarer kinds, as often as it takes to balance the kinds.

    The file begins with `alignment` passes of descriptions alone, one record an image: a small network that has
    not learnt to see answers from the prior, and hardly learns to see afterwards. Keep the records in their order.

    Args:
        out: folder to write, created; what it holds of an earlier run is replaced.
        archive: the set as a tar file; None takes the data of the installed package `easy-vqa`.
        instructions: what to ask for, by kind of question: color, shape, yes_no.
        alignment: how often each image is described at the beginning.
        caption_share: share of the conversations that hold a description too.
        blind_share: share of conversations without an image, so that the model has something to go by without
            one; each of their questions comes from another image.
        seed: of every draw.

    Raises:
        ValueError: the set is not there, or damaged, or an option is out of range.
        OSError: `out` cannot be written.
    """
    missing = set(KINDS) - set(instructions)
    if missing:
        raise ValueError(f"instructions lack the kinds {', '.join(sorted(missing))}")
    if alignment < 0 or not 0 <= caption_share <= 1 or not 0 <= blind_share < 1:
        raise ValueError("alignment must not be negative, caption_share in 0..1 and blind_share in 0..1, below 1")
    out.mkdir(parents=True, exist_ok=True)
    with _data_folder(archive, out) as data:
        for split in ("train", "test"):
            _copy_images(data / split / "images", out / split / "images")
            with atomic_path(out / f"{split}_questions.json") as temporary:
                shutil.copyfile(data / split / "questions.json", temporary)
        rows = read_rows(data / "train" / "questions.json")
        truth = EasyVQATruth(str(data / "train" / "questions.json"))
        described = _descriptions(rows, truth, alignment, stream(seed))
        records = _records(rows, truth, instructions, caption_share, blind_share, stream(seed))
    lines = ",\n".join(json.dumps(record) for record in [*described, *records])
    write_text_atomic(out / "train.json", f"[\n{lines}\n]\n")


@contextmanager
def _data_folder(archive: Path | None, out: Path) -> Iterator[Path]:
    """The folder that holds `train` and `test`."""
    if archive is None:
        package = find_spec("easy_vqa")
        if package is None or package.origin is None:
            raise ValueError(
                "the easy-VQA data is not installed: pip install easy-vqa, or give its tar file with --archive"
            )
        yield Path(package.origin).parent / "data"
        return
    with tempfile.TemporaryDirectory(dir=out, prefix=".tmp-") as folder:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        except (OSError, EOFError, tarfile.TarError) as error:
            raise ValueError(f"{archive}: cannot be unpacked: {error}") from error
        found = next(Path(folder).rglob("train/questions.json"), None)
        if found is None:
            raise ValueError(f"{archive}: is not the easy-VQA set, it has no train/questions.json")
        yield found.parent.parent


def _copy_images(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    images = sorted(source.glob("*.png"))
    for image in track(images, f"copy {target.parent.name}", "images"):
        shutil.copyfile(image, target / image.name)


def _descriptions(rows: Sequence[Row], truth: EasyVQATruth, passes: int, rng: random.Random) -> list[dict[str, Any]]:
    """Passes over all images, each in an order of its own."""
    images = sorted({row[2] for row in rows})
    records: list[dict[str, Any]] = []
    for number in range(passes):
        for image in rng.sample(images, len(images)):
            figure = truth.figure(f"{image}.png")
            if figure is not None:
                name = f"{image}-described-{number}"
                records.append(_record(name, _path("train", image), [(CAPTION, _description(figure))]))
    return records


def _description(figure: ColoredShape) -> str:
    return f"a {figure.color} {figure.shape}"


def _records(
    rows: Sequence[Row],
    truth: EasyVQATruth,
    instructions: Mapping[str, str],
    caption_share: float,
    blind_share: float,
    rng: random.Random,
) -> list[dict[str, Any]]:
    by_image: dict[int, list[Row]] = {}
    for row in rows:
        by_image.setdefault(row[2], []).append(row)
    records: list[dict[str, Any]] = []
    for image, own in sorted(by_image.items()):
        figure = truth.figure(f"{image}.png")
        for number, dealt in enumerate(_deal(own, rng)):
            turns = _turns(dealt, instructions, rng)
            if figure is not None and rng.random() < caption_share:
                turns.insert(rng.randint(0, len(turns)), (CAPTION, _description(figure)))
            records.append(_record(f"{image}-{number}", _path("train", image), turns))
    # without an image nothing is to be learnt but the prior, so their questions come from all images
    blind = round(len(records) * blind_share / (1 - blind_share))
    by_kind = list(_by_kind(rows).values())
    for number in range(blind):
        drawn = [rng.choice(of_kind) for of_kind in by_kind]
        records.append(_record(f"blind-{number}", None, _turns(drawn, instructions, rng)))
    rng.shuffle(records)
    return records


def _by_kind(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The questions by what they ask for; all are understood, since the truth was read from them."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(kind_of(row[0]), []).append(row)
    return kinds


def _deal(rows: Sequence[Row], rng: random.Random) -> Iterator[list[Row]]:
    """Hands of one question of each kind, until all have been dealt; those of rarer kinds come again."""
    kinds = [rng.sample(own, len(own)) for own in _by_kind(rows).values()]
    for number in range(max(len(own) for own in kinds)):
        yield [own[number % len(own)] for own in kinds]


def _turns(rows: Sequence[Row], instructions: Mapping[str, str], rng: random.Random) -> list[_Pair]:
    """One of the questions is written with its answer, the others are answered, in any order."""
    pairs = [(question, answer) for question, answer, _ in rng.sample(rows, len(rows))]
    written = rng.randrange(len(pairs))
    question, answer = pairs[written]
    pairs[written] = instructions[kind_of(question)], f"Question: {question}\nAnswer: {answer}"
    return pairs


def _path(split: str, image: int) -> str:
    """Path of an image in the prepared folder."""
    return f"{split}/images/{image}.png"


def _record(name: str, image: str | None, pairs: Sequence[_Pair]) -> dict[str, Any]:
    """A conversation in LLaVA's format, about the image at a path or about none."""
    turns: list[dict[str, str]] = []
    for user, assistant in pairs:
        turns += [{"from": "human", "value": user}, {"from": "gpt", "value": assistant}]
    if image is None:
        return {"id": name, "conversations": turns}
    turns[0]["value"] = f"<image>\n{turns[0]['value']}"
    return {"id": name, "image": image, "conversations": turns}


def write_answers(questions: Path, out: Path, passes: int, blind_share: float = 0.15, seed: int = 0) -> None:
    """Write each question with its answer as a LLaVA record, one a line, `passes` times over in new orders.

    A share of them comes without the image: what the model says then is the other side of S(I2C), and should be what
    the questions alone let expect.

    Args:
        questions: JSON list of [question, answer, number of the image].
        out: the file, paths relative to the prepared folder.
        passes: how often each question comes.
        blind_share: share of records without their image.
        seed: of every draw.

    Raises:
        ValueError: `questions` holds something else.
    """
    rng, records = stream(seed), list[dict[str, Any]]()
    for number, (question, answer, image) in enumerate(read_rows(questions)):
        path = _path("train", image) if rng.random() >= blind_share else None
        records.append(_record(str(number), path, [(question, answer)]))
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for number in range(passes):
            for record in rng.sample(records, len(records)):
                file.write(json.dumps({**record, "id": f"{record['id']}-{number}"}) + "\n")


def write_exchanged(questions: Path, out: Path, seed: int = 0) -> Mapping[str, int]:
    """Write the test pairs, half of them about another test image, with what is true of them then.

    Each record has `exchanged`, and `verdict`: right, wrong, or unanswerable where the question takes for granted what
    the image does not show. Most exchanged yes/no pairs stay right.

    Args:
        questions: JSON list of [question, answer, number of the image].
        out: the file, one LLaVA record a line, sorted by image, paths relative to the prepared folder.
        seed: of the exchange.

    Returns:
        How many records have each verdict.

    Raises:
        ValueError: `questions` holds something else, or a pair that cannot be judged.
    """
    exchanged = _exchanged(read_rows(questions), EasyVQATruth(str(questions)), stream(seed))
    records = sorted(exchanged, key=lambda one: one["image"])
    write_text_atomic(out, "".join(json.dumps(record) + "\n" for record in records))
    return Counter(str(record["verdict"]) for record in records)


def _exchanged(rows: Sequence[Row], truth: EasyVQATruth, rng: random.Random) -> Iterator[dict[str, Any]]:
    images = sorted({row[2] for row in rows})
    moved = set(rng.sample(range(len(rows)), len(rows) // 2))
    for number, (question, answer, own) in enumerate(rows):
        image = rng.choice([other for other in images if other != own]) if number in moved else own
        query, words = parse_question(question), answer_words(answer)
        figure = truth.figure(f"{image}.png")
        if query is None or words is None or figure is None:
            raise ValueError(f"easy-VQA: cannot judge {question!r} with {answer!r} about image {image}")
        record = _record(str(number), _path("test", image), [(question, answer)])
        yield {**record, "exchanged": number in moved, "verdict": judge_answer(query, words, figure)}
