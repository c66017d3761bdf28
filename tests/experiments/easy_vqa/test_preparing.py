"""The easy-VQA set: its preparation and its truth."""

import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from data_modules.images.sources import open_images
from experiments.easy_vqa.preparing import CAPTION, prepare
from experiments.easy_vqa.questions import ColoredShape, ShapeQuery, parse_question
from experiments.easy_vqa.truth import EasyVQATruth, measure_image
from lightning_c3l.records import Conversation
from lightning_c3l.rounds.truth import Asked
from tests.helpers.conversations import read_conversations

INSTRUCTIONS = {"color": "Write C.", "shape": "Write S.", "yes_no": "Write Y."}


@pytest.fixture(scope="module")
def archive(shared_data: Path) -> Path:
    return shared_data / "easy-vqa" / "easy-vqa.tar"


@pytest.fixture(scope="module")
def data(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("easy-vqa")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "data"


@pytest.fixture(scope="module")
def prepared(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    prepare(out, archive, INSTRUCTIONS)
    return out


@pytest.fixture(scope="module")
def conversations(prepared: Path) -> list[Conversation]:
    """All that are trained on."""
    return read_conversations(prepared / "train.json", prepared)


@pytest.mark.parametrize(("split", "count"), [("test", 9_673), ("train", 38_575)])
def test_every_given_answer_is_right_and_every_other_is_not(data: Path, split: str, count: int) -> None:
    rows = json.loads((data / split / "questions.json").read_text())
    truth = EasyVQATruth(str(data / split / "questions.json"))
    assert len(rows) == count
    assert Counter(truth.judge(f"{image}.png", q, a) for q, a, image in rows) == {"right": count}
    assert Counter(truth.judge(f"x/{image}.png", q.upper(), f" The {a}. ") for q, a, image in rows) == {"right": count}
    other = {"yes": "no", "no": "yes", "circle": "triangle", "rectangle": "circle", "triangle": "rectangle"}
    assert Counter(truth.judge(f"{i}.png", q, other.get(a, "red" if a != "red" else "blue")) for q, a, i in rows) == {
        "wrong": count
    }


def test_questions_and_pixels_agree(data: Path, tmp_path: Path) -> None:
    (tmp_path / "questions.json").write_bytes((data / "test" / "questions.json").read_bytes())
    from_questions = EasyVQATruth(str(tmp_path / "questions.json"))
    with_pixels = EasyVQATruth(str(tmp_path / "questions.json"), str(data / "test" / "images"))
    figures = {n: from_questions.figure(f"{n}.png") for n in range(1000)}
    assert sum(figure is None for figure in figures.values()) == 112
    for number, figure in figures.items():
        seen = measure_image(data / "test" / "images" / f"{number}.png")
        assert figure in (seen, None)
        assert with_pixels.figure(f"{number}.png") == seen


@pytest.mark.parametrize(
    ("question", "query"),
    [
        ("What color is the shape?", ShapeQuery("color")),
        ("what is the colour of the circle in the image?", ShapeQuery("color", "circle")),
        ("What shape does the image contain?", ShapeQuery("shape")),
        ("what shape is present", ShapeQuery("shape")),
        ("what is the grey shape?", ShapeQuery("shape", "", "gray")),
        ("is there a blue rectangle?", ShapeQuery("yes_no", "rectangle", "blue")),
        ("is there not a blue shape in the image?", ShapeQuery("yes_no", "", "blue", True)),
        ("does the image not contain a circle?", ShapeQuery("yes_no", "circle", "", True)),
        ("is no teal shape present?", ShapeQuery("yes_no", "", "teal", True)),
        ("is there not no circle?", ShapeQuery("yes_no", "circle")),
        ("is the shape red?", ShapeQuery("yes_no", "", "red")),
        ("is the shape not a circle?", ShapeQuery("yes_no", "circle", "", True)),
        ("why is the shape red?", None),
        ("", None),
        ("what color is the square?", None),
        ("is there a blue?", None),
    ],
)
def test_questions_are_understood(question: str, query: ShapeQuery | None) -> None:
    assert parse_question(question) == query


@pytest.mark.parametrize(
    ("question", "answer", "verdict"),
    [
        ("what color is the shape?", "Red.", "right"),
        ("what color is the shape?", "the shape is red", "right"),
        ("what color is the shape?", "a red triangle", "right"),
        ("what color is the shape?", "a red circle", "wrong"),
        ("what color is the shape?", "triangle", "wrong"),
        ("what color is the shape?", "red blue", "wrong"),
        ("what color is the shape?", "yes", "wrong"),
        ("what color is the shape?", "purple", "unparsable"),
        ("what color is the shape?", "it is not red", "unparsable"),
        ("what color is the shape?", "", "unparsable"),
        ("what color is the circle?", "red", "unanswerable"),
        ("what is the blue shape?", "triangle", "unanswerable"),
        ("what is the red shape?", "triangle", "right"),
        ("is there a circle?", "no", "right"),
        ("is there a red circle?", "yes", "wrong"),
        ("is there no red triangle?", "no", "right"),
        ("is there a circle?", "circle", "wrong"),
        ("how many shapes?", "one", "unparsable"),
    ],
)
def test_verdicts(tmp_path: Path, question: str, answer: str, verdict: str) -> None:
    rows = [["what is the red shape?", "triangle", 3]]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    assert EasyVQATruth(str(tmp_path / "q.json")).judge("test/images/3.png", question, answer) == verdict


@pytest.fixture
def red_triangle(tmp_path: Path) -> EasyVQATruth:
    rows = [
        ["what is the red shape?", "triangle", 3],
        ["is there a circle?", "no", 3],
        ["is there not a blue shape?", "yes", 3],
        ["what shape is present?", "circle", 4],
    ]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    return EasyVQATruth(str(tmp_path / "q.json"))


@pytest.mark.parametrize(
    ("question", "kind", "answer"),
    [
        ("What color is the shape?", "color", "red"),
        ("what color is the triangle?", "color", "red"),
        ("what color is the circle?", None, None),
        ("what is the red shape?", "shape", "triangle"),
        ("what is the blue shape?", None, None),
        ("is there a red triangle?", "yes_no", "yes"),
        ("is there no red triangle?", "yes_no", "no"),
        ("is a teal shape present?", "yes_no", "no"),
        ("how are you?", None, None),
    ],
)
def test_written_questions_are_resolved(
    red_triangle: EasyVQATruth, question: str, kind: str | None, answer: str | None
) -> None:
    expected = None if kind is None or answer is None else Asked("x/3.png", kind, question, answer)
    assert red_triangle.resolve("x/3.png", question) == expected


def test_what_nobody_knows_is_not_resolved(red_triangle: EasyVQATruth) -> None:
    assert red_triangle.resolve("4.png", "what shape is present?") is None  # nobody knows the colour
    for ask in (lambda: red_triangle.resolve("5.png", "what?"), lambda: red_triangle.questions(["5.png"])):
        with pytest.raises(ValueError, match=r"nothing is known about image 5\.png"):
            ask()


def test_own_questions_one_of_each_kind(red_triangle: EasyVQATruth, data: Path) -> None:
    asked = red_triangle.questions(["3.png", "4.png"])
    assert [(one.image, one.kind) for one in asked] == [("3.png", "shape"), ("3.png", "yes_no"), ("4.png", "shape")]
    assert asked[0] == Asked("3.png", "shape", "what is the red shape?", "triangle", None)
    truth = EasyVQATruth(str(data / "test" / "questions.json"))
    images = [f"{number}.png" for number in range(1000)]
    asked = truth.questions(images)
    assert asked == [one for image in images for one in truth.questions([image])]
    assert {truth.judge(one.image, one.question, one.answer) for one in asked} == {"right"}
    assert {kind for kind, n in Counter(one.kind for one in asked).items() if n > 600} == {"color", "shape", "yes_no"}


def test_unknown_image_and_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    path.write_text(json.dumps([["what shape is present?", "circle", 3]]))
    truth = EasyVQATruth(str(path))
    assert truth.judge("3.png", "what shape is present?", "circle") == "unanswerable"  # nobody knows the colour
    for key in ("4.png", "x.png"):
        with pytest.raises(ValueError, match=f"nothing is known about image {key}"):
            truth.judge(key, "what shape is present?", "circle")
    path.write_text(json.dumps([["is there a circle?", "yes", 3], ["is there a circle?", "no", 3]]))
    with pytest.raises(ValueError, match="contradict"):
        EasyVQATruth(str(path))
    for text in (json.dumps({"a": 1}), "[["):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"q\.json: must be a list"):
            EasyVQATruth(str(path))


def test_prepared_folder(prepared: Path) -> None:
    assert sorted(p.name for p in prepared.iterdir()) == [
        "test",
        "test_questions.json",
        "train",
        "train.json",
        "train_questions.json",
    ]
    assert len(open_images(str(prepared / "train" / "images"), prepared).keys()) == 4000
    assert len(open_images(str(prepared / "test" / "images"), prepared).keys()) == 1000
    truth = EasyVQATruth(str(prepared / "test_questions.json"))  # finds the images beside it
    assert all(truth.figure(f"{number}.png") is not None for number in range(1000))


def test_every_prepared_turn_is_right(conversations: list[Conversation], prepared: Path, data: Path) -> None:
    truth = EasyVQATruth(str(data / "train" / "questions.json"), str(prepared / "train" / "images"))
    kinds = {text: kind for kind, text in INSTRUCTIONS.items()}
    seen = Counter[str]()
    for conversation in conversations:
        if conversation.image is None:
            continue
        for user, assistant in pairs_of(conversation):
            if user == CAPTION:
                figure = truth.figure(conversation.image)
                assert figure is not None
                assert assistant == f"a {figure.color} {figure.shape}"
                continue
            kind = kinds.get(user)
            question, answer = (user, assistant) if kind is None else written(assistant)
            asked = truth.resolve(conversation.image, question)
            assert asked is not None
            assert asked.answer == answer
            assert kind in (None, asked.kind)
            seen[f"{'answered' if kind is None else 'written'} {asked.kind}"] += 1
    # each yes/no question once, written or answered; the other kinds keep up with them
    assert seen["written yes_no"] + seen["answered yes_no"] >= 28_407
    assert min(seen.values()) > 6_000


def pairs_of(conversation: Conversation) -> list[tuple[str, str]]:
    texts = [turn.text for turn in conversation.turns]
    return list(zip(texts[::2], texts[1::2], strict=True))


def written(text: str) -> tuple[str, str]:
    question, answer = text.removeprefix("Question: ").split("\nAnswer: ")
    return question, answer


def test_descriptions_come_first(conversations: list[Conversation]) -> None:
    alone = [[user for user, _ in pairs_of(c)] == [CAPTION] for c in conversations]
    count = alone.index(False)
    assert not any(alone[count:])
    images = Counter(c.image for c in conversations[:count])
    # each pass shows every image whose figure the questions settle, or its pixels
    assert set(images.values()) == {12}
    assert count == 12 * len(images)
    assert len(images) > 3_500
    assert [c.image for c in conversations[: len(images)]] != sorted(images)


def test_prepared_mixture(conversations: list[Conversation], data: Path) -> None:
    later = [c for c in conversations if "-described-" not in c.id]
    with_image = [c for c in later if c.image is not None]
    assert len(with_image) / len(later) == pytest.approx(0.85, abs=0.001)
    captions = Counter(user for c in with_image for user, _ in pairs_of(c))[CAPTION]
    assert captions / len(with_image) == pytest.approx(0.2, abs=0.02)
    first = Counter(pairs_of(c)[0][0] for c in with_image)
    answered_first = sum(n for text, n in first.items() if text != CAPTION and text not in INSTRUCTIONS.values())
    # what comes first can be answered from the image alone: every form must be there often
    assert all(first[text] > 2_000 for text in INSTRUCTIONS.values())
    assert answered_first > 10_000
    # every question occurs, every image, and every conversation has one written pair
    rows = json.loads((data / "train" / "questions.json").read_text())
    there = set[tuple[str | None, str]]()
    for conversation in with_image:
        pairs = pairs_of(conversation)
        assert sum(user in INSTRUCTIONS.values() for user, _ in pairs) == 1
        there |= {(conversation.image, written(a)[0] if q in INSTRUCTIONS.values() else q) for q, a in pairs}
    assert {(f"train/images/{image}.png", question) for question, _, image in rows} <= there


def test_text_only_records_follow_the_prior_alone(conversations: list[Conversation]) -> None:
    blind = [c for c in conversations if c.image is None]
    shapes = {"what shape is present?", "what shape is in the image?", "what shape does the image contain?"}
    colors = {"what color is the shape?", "what is the color of the shape?"}
    answers = [a for c in blind for q, a in pairs_of(c) if q in shapes]
    # no image, and no hint of one: each of the three shapes as often as the others
    assert all(count / len(answers) == pytest.approx(1 / 3, abs=0.05) for count in Counter(answers).values())
    answers = [a for c in blind for q, a in pairs_of(c) if q in colors]
    assert all(count / len(answers) == pytest.approx(1 / 8, abs=0.04) for count in Counter(answers).values())


def small_set(folder: Path, data: Path) -> Path:
    """The set cut down to ten images a split, as a tar file."""
    for split in ("train", "test"):
        rows = json.loads((data / split / "questions.json").read_text())
        (folder / "data" / split / "images").mkdir(parents=True)
        (folder / "data" / split / "questions.json").write_text(json.dumps([row for row in rows if row[2] < 10]))
        for number in range(10):
            image = data / split / "images" / f"{number}.png"
            (folder / "data" / split / "images" / image.name).write_bytes(image.read_bytes())
    with tarfile.open(folder / "small.tar", "w") as tar:
        tar.add(folder / "data", "data")
    return folder / "small.tar"


def test_seed_and_options(tmp_path: Path, data: Path) -> None:
    small = small_set(tmp_path, data)
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare(tmp_path / name, small, INSTRUCTIONS, seed=seed)
        texts.append((tmp_path / name / "train.json").read_text())
    assert texts[0] == texts[1] != texts[2]
    prepare(tmp_path / "a", small, INSTRUCTIONS, alignment=0, caption_share=0.0, blind_share=0.0)
    conversations = read_conversations(tmp_path / "a" / "train.json", tmp_path / "a")
    assert {c.image for c in conversations} == {f"train/images/{n}.png" for n in range(10)}
    assert CAPTION not in {turn.text for c in conversations for turn in c.turns}


def test_what_cannot_be_prepared(tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"x" * 2000)
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(tmp_path / "bad.tar", "readme.txt")
    for name, says in (
        ("absent.tar", "cannot be unpacked"),
        ("bad.tar", "cannot be unpacked"),
        ("other.tar", "is not"),
    ):
        with pytest.raises(ValueError, match=f"{name}: {says}"):
            prepare(tmp_path / "out", tmp_path / name, INSTRUCTIONS)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(ValueError, match="lack the kinds shape, yes_no"):
        prepare(tmp_path / "out", None, {"color": "x"})
    with pytest.raises(ValueError, match="blind_share"):
        prepare(tmp_path / "out", None, INSTRUCTIONS, blind_share=1.0)


def test_installed_package_holds_the_same_set(tmp_path: Path, prepared: Path) -> None:
    pytest.importorskip("easy_vqa")
    prepare(tmp_path, None, INSTRUCTIONS)
    assert (tmp_path / "train.json").read_bytes() == (prepared / "train.json").read_bytes()


def test_measure_sees_shapes(prepared: Path) -> None:
    assert measure_image(prepared / "test" / "images" / "0.png") == ColoredShape("triangle", "red")
