"""The easy-VQA set: its preparation and its truth."""

import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from data_modules.easy_vqa import DEFAULT_INSTRUCTIONS, EasyVQATruth, prepare
from data_modules.easy_vqa_truth import Asked, Figure, measure, parse_question
from data_modules.formats import read_llava_json
from data_modules.images import open_images


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
    prepare(out, archive)
    return out


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
        seen = measure(data / "test" / "images" / f"{number}.png")
        assert figure in (seen, None)
        assert with_pixels.figure(f"{number}.png") == seen


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("What color is the shape?", Asked("color")),
        ("what is the colour of the circle in the image?", Asked("color", "circle")),
        ("What shape does the image contain?", Asked("shape")),
        ("what shape is present", Asked("shape")),
        ("what is the grey shape?", Asked("shape", "", "gray")),
        ("is there a blue rectangle?", Asked("yes_no", "rectangle", "blue")),
        ("is there not a blue shape in the image?", Asked("yes_no", "", "blue", True)),
        ("does the image not contain a circle?", Asked("yes_no", "circle", "", True)),
        ("is no teal shape present?", Asked("yes_no", "", "teal", True)),
        ("is there not no circle?", Asked("yes_no", "circle")),
        ("is the shape red?", Asked("yes_no", "", "red")),
        ("is the shape not a circle?", Asked("yes_no", "circle", "", True)),
        ("why is the shape red?", None),
        ("", None),
        ("what color is the square?", None),
        ("is there a blue?", None),
    ],
)
def test_questions_are_understood(question: str, asked: Asked | None) -> None:
    assert parse_question(question) == asked


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
    path.write_text(json.dumps({"a": 1}))
    with pytest.raises(ValueError, match="must be a list"):
        EasyVQATruth(str(path))


def test_prepared_folder(prepared: Path) -> None:
    assert sorted(p.name for p in prepared.iterdir()) == [
        "test",
        "test_questions.json",
        "train",
        "train.json",
    ]
    assert len(open_images(str(prepared / "train" / "images"), prepared).keys()) == 4000
    assert len(open_images(str(prepared / "test" / "images"), prepared).keys()) == 1000
    truth = EasyVQATruth(str(prepared / "test_questions.json"))  # finds the images beside it
    assert all(truth.figure(f"{number}.png") is not None for number in range(1000))


def test_prepared_conversations(prepared: Path, data: Path) -> None:
    conversations = read_llava_json(prepared / "train.json", prepared)
    pairs = Counter((c.image, c.turns[0].text, c.turns[1].text) for c in conversations)
    assert all(len(c.turns) == 2 for c in conversations)
    rows = json.loads((data / "train" / "questions.json").read_text())
    answering = Counter((f"train/images/{image}.png", q, a) for q, a, image in rows)
    assert all(pairs[key] == count for key, count in answering.items())
    written = [c for c in conversations if c.turns[0].text in DEFAULT_INSTRUCTIONS.values()]
    expected = Counter((f"train/images/{image}.png", f"Question: {q}\nAnswer: {a}") for q, a, image in rows)
    assert Counter((c.image, c.turns[1].text) for c in written) == expected
    kinds = {text: kind for kind, text in DEFAULT_INSTRUCTIONS.items()}
    assert Counter(kinds[c.turns[0].text] for c in written) == {
        "yes_no": 28_407,
        "color": 5_166,
        "shape": 5_002,
    }
    blind = [c for c in conversations if c.image is None]
    assert len(blind) == round(0.2 * len(rows))
    assert {(c.turns[0].text, c.turns[1].text) for c in blind} <= {(q, a) for q, a, _ in rows}
    captions = {c.image: c.turns[1].text for c in conversations if c.turns[0].text == "Describe the image."}
    assert len(captions) == 4000
    for number in range(0, 4000, 100):
        figure = measure(prepared / "train" / "images" / f"{number}.png")
        assert captions[f"train/images/{number}.png"] == f"a {figure.color} {figure.shape}"
    assert len(conversations) == 2 * len(rows) + len(blind) + 4000


def small_set(folder: Path, data: Path) -> Path:
    """The set cut down to ten pictures a split, as a tar file."""
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
        prepare(tmp_path / name, small, seed=seed)
        texts.append((tmp_path / name / "train.json").read_text())
    assert texts[0] == texts[1] != texts[2]
    instructions = {"color": "C!", "shape": "S!", "yes_no": "Y!"}
    prepare(tmp_path / "a", small, instructions=instructions, blind_share=0.0, pairs_per_record=10**6)
    conversations = read_llava_json(tmp_path / "a" / "train.json", tmp_path / "a")
    assert sorted(c.image or "" for c in conversations) == [f"train/images/{n}.png" for n in range(10)]
    users = {turn.text for c in conversations for turn in c.turns if turn.role == "user"}
    assert set(instructions.values()) <= users


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
            prepare(tmp_path / "out", tmp_path / name)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(ValueError, match="lack the kinds shape, yes_no"):
        prepare(tmp_path / "out", None, instructions={"color": "x"})
    with pytest.raises(ValueError, match="blind_share"):
        prepare(tmp_path / "out", None, blind_share=2.0)


def test_installed_package_holds_the_same_set(tmp_path: Path, prepared: Path) -> None:
    pytest.importorskip("easy_vqa")
    prepare(tmp_path, None)
    assert (tmp_path / "train.json").read_bytes() == (prepared / "train.json").read_bytes()


def test_measure_sees_shapes(prepared: Path) -> None:
    assert measure(prepared / "test" / "images" / "0.png") == Figure("triangle", "red")
