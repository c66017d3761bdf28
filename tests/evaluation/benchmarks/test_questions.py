"""Reading the benchmarks' own files, and their prompts."""

import base64
import hashlib
import json
from pathlib import Path

import pytest

from lightning_c3l.evaluation.benchmarks import NAMES, load
from tests.evaluation.benchmarks import files


def test_the_catalogue_knows_every_name() -> None:
    assert [load(name).name for name in NAMES] == list(NAMES)
    with pytest.raises(ValueError, match="no benchmark is called 'vqa'"):
        load("vqa")


def test_pope_takes_splits_from_file_names(tmp_path: Path) -> None:
    folder = files.pope(tmp_path)
    (folder / "notes.json").write_text("{")  # not a split's file
    found = load("pope").read_questions([folder])
    assert {question.id: question.truth for question in found.questions} == {
        "random/1": "yes",
        "random/2": "no",
        "popular/1": "yes",
        "popular/2": "no",
        "adversarial/1": "yes",
        "adversarial/2": "no",
        "adversarial/3": "no",
    }
    last = next(question for question in found.questions if question.id == "adversarial/3")
    assert (last.text, last.image, last.splits) == ("Is there a bus?", "3.jpg", ("adversarial",))
    assert load("pope").prompt(last) == "Is there a bus?\nAnswer the question using a single word or phrase."
    joined = b"".join((folder / f"coco_pope_{split}.json").read_bytes() for split in sorted(files.POPE))
    assert found.digest == hashlib.sha256(joined).hexdigest()[:16]
    one = load("pope").read_questions([folder / "coco_pope_random.json"])
    assert [question.id for question in one.questions] == ["random/1", "random/2"]
    assert one.digest != found.digest


def test_pope_takes_joined_splits_and_pictures_from_a_table(tmp_path: Path) -> None:
    picture = base64.b64encode(files.PICTURE).decode()
    rows = [
        {"index": 0, "question": "Dog?", "answer": "yes", "category": "adversarial,popular,random", "image": picture},
        {"index": 1, "question": "Cup?", "answer": "no", "category": "random", "image": "0"},
    ]
    found = load("pope").read_questions([files.write_table(tmp_path / "POPE.tsv", rows)])
    assert [question.id for question in found.questions] == ["random,popular,adversarial/0", "random/1"]
    assert [question.image for question in found.questions] == ["0", "0"]
    assert found.images == {"0": files.PICTURE}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question_id": 1, "text": "Dog?", "label": "maybe"}, "label"),
        ({"question_id": 1, "label": "yes"}, "text"),
        ({"text": "Dog?", "label": "yes"}, "question_id"),
    ],
)
def test_pope_names_a_broken_question(row: dict[str, object], says: str, tmp_path: Path) -> None:
    good = {"question_id": 9, "text": "Dog?", "label": "yes"}
    path = files.write_lines(tmp_path / "pope_random.json", [good, row])
    with pytest.raises(ValueError, match=f"record 2.*{says}"):
        load("pope").read_questions([path])


def test_pope_needs_splits_and_one_question_an_id(tmp_path: Path) -> None:
    rows = [{"question_id": 1, "text": "Dog?", "label": "yes"}]
    with pytest.raises(ValueError, match="no split"):
        load("pope").read_questions([files.write_lines(tmp_path / "pope.json", rows)])
    with pytest.raises(ValueError, match="record 2: question id random/1 is used twice"):
        load("pope").read_questions([files.write_lines(tmp_path / "random.json", [*rows, {**rows[0], "label": "no"}])])
    twice = load("pope").read_questions([files.write_lines(tmp_path / "random.json", rows * 2)])
    assert [question.id for question in twice.questions] == ["random/1"]
    with pytest.raises(ValueError, match="no question file"):
        load("pope").read_questions([_empty(tmp_path / "folder")])


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_seed_keeps_videos_without_a_picture(tmp_path: Path) -> None:
    found = load("seed").read_questions([files.seed(tmp_path / "SEED-Bench.json")])
    first, _, video = found.questions
    assert (first.id, first.text, first.truth, first.image) == ("11", "Q0?", "A", "file0")
    assert first.options == {"A": "red 0", "B": "blue 0", "C": "green 0", "D": "black 0"}
    assert first.categories == {"data_type": "image", "question_type": "Scene Understanding"}
    assert (video.id, video.truth, video.image) == ("v3", "D", None)
    assert video.categories == {"data_type": "video", "question_type": "Action Prediction"}
    assert load("seed").prompt(first).splitlines() == [
        "Q0?",
        "A. red 0",
        "B. blue 0",
        "C. green 0",
        "D. black 0",
        "Answer with the option's letter from the given choices directly.",
    ]


def test_seed_tells_videos_by_the_question_type_where_nothing_else_does(tmp_path: Path) -> None:
    document = json.loads(files.seed(tmp_path / "a.json").read_text())
    for row in document["questions"]:
        del row["data_type"]
    for row in document["questions"]:
        row["question_id"] = "q" + row["question_id"]  # an id that says nothing
    document["questions"][0]["question_type_id"] = 9
    document["questions"][1]["question_type_id"] = 10
    (tmp_path / "a.json").write_text(json.dumps(document))
    kinds = [one.categories["data_type"] for one in load("seed").read_questions([tmp_path / "a.json"]).questions]
    assert kinds == ["image", "video", "video"]


def test_seed_names_a_broken_question(tmp_path: Path) -> None:
    document = json.loads(files.seed(tmp_path / "a.json").read_text())
    document["questions"][1]["answer"] = "E"
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"a\.json, record 2: .*answer"):
        load("seed").read_questions([tmp_path / "a.json"])


def test_mmbench_reads_its_table(tmp_path: Path) -> None:
    found = load("mmbench").read_questions([files.write_table(tmp_path / "dev.tsv", files.mmbench_rows())])
    first, last = found.questions[0], found.questions[-1]
    assert [question.id for question in found.questions] == ["1", "1000001", "2000001", "5", "1000005"]
    assert [question.truth for question in found.questions] == ["B", "A", "C", "A", "B"]
    assert first.options == {"A": "red", "B": "blue", "C": "green"}
    assert (first.hint, last.hint, first.splits) == ("Look.", "", ("dev",))
    assert first.categories == {"category": "color", "l2-category": "perception"}
    assert {question.image for question in found.questions} == {"1"}
    assert found.images == {"1": files.PICTURE}
    lines = ["Q5?", "A. two", "B. one", "Answer with the option's letter from the given choices directly."]
    assert load("mmbench").prompt(last).splitlines() == lines
    assert load("mmbench").prompt(first).startswith("Look.\nQ1?\nA. red\n")


def test_mmbench_without_answers_can_be_read_but_its_broken_rows_are_named(tmp_path: Path) -> None:
    rows = files.mmbench_rows()
    held_out = [{key: value for key, value in row.items() if key != "answer"} for row in rows]
    found = load("mmbench").read_questions([files.write_table(tmp_path / "test.tsv", held_out)])
    assert {question.truth for question in found.questions} == {""}
    for key, value, says in (
        ("answer", "D", "none of the options A, B, C"),
        ("index", "x", "index"),
        ("index", 5, "used twice"),
    ):
        broken = [dict(row) for row in rows]
        broken[1 if says != "used twice" else 4][key] = value
        with pytest.raises(ValueError, match=says):
            load("mmbench").read_questions([files.write_table(tmp_path / "broken.tsv", broken)])


def test_a_picture_that_is_none_does_not_stop_the_others(tmp_path: Path) -> None:
    rows = files.mmbench_rows()
    rows[3]["image"] = "?" * 100
    found = load("mmbench").read_questions([files.write_table(tmp_path / "dev.tsv", rows)])
    assert found.images["1"] == files.PICTURE
    assert found.images["5"] == b"?" * 100


def test_llava_w_joins_its_three_files(tmp_path: Path) -> None:
    folder = files.llava_w(tmp_path)
    found = load("llava_w").read_questions([folder])
    last = found.questions[2]
    assert (last.id, last.text, last.image, last.context, last.reference) == ("2", "Q2?", "001.jpg", "c1", "a2")
    assert last.categories == {"kind": "complex"}
    assert load("llava_w").prompt(last) == "Q2?"
    assert load("llava_w").read_questions([folder / "questions.jsonl"]).digest == found.digest
    (folder / "answers_gpt4.jsonl").write_text('{"question_id": 0, "text": "a0"}\n')
    with pytest.raises(ValueError, match=r"questions\.jsonl, record 2: answers_gpt4.*'1'"):
        load("llava_w").read_questions([folder])
    (folder / "context.jsonl").unlink()
    with pytest.raises(OSError, match=r"context\.jsonl"):
        load("llava_w").read_questions([folder])


def test_one_picture_described_in_several_sentences(tmp_path: Path) -> None:
    folder = files.llava_w(tmp_path)
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    files.write_lines(folder / "questions.jsonl", [row for row in rows if row["image"] == "000.jpg"])
    files.write_lines(folder / "context.jsonl", [{"image": "000.jpg", "caption": ["A dog.", "It barks."]}])
    found = load("llava_w").read_questions([folder])
    assert [one.context for one in found.questions] == ["A dog.\nIt barks."] * 2


@pytest.mark.parametrize("index", [str(2**63), "9" * 5000])
def test_an_index_of_mmbench_beyond_all_is_named(index: str, tmp_path: Path) -> None:
    rows = files.mmbench_rows()
    rows[1]["index"] = index
    with pytest.raises(ValueError, match=r"q\.tsv, record 2: a question needs index"):
        load("mmbench").read_questions([files.write_table(tmp_path / "q.tsv", rows)])


def test_seed_reads_vlmevalkits_table(tmp_path: Path) -> None:
    picture = base64.b64encode(files.PICTURE).decode()
    cells = {"A": "One", "B": "Two", "C": "", "D": "None", "answer": "C", "category": "Instances Counting"}
    rows = [
        {"index": 7, "image": picture, "question": "How many?", **cells},
        {"index": 8, "image": "7", "question": "How many now?", **cells, "answer": "A"},
    ]
    found = load("seed").read_questions([files.write_table(tmp_path / "SEEDBench_IMG.tsv", rows)])
    first, second = found.questions
    # pandas writes the choice "None" as an empty cell
    assert (first.id, first.truth, dict(first.options)) == (
        "7",
        "C",
        {"A": "One", "B": "Two", "C": "None", "D": "None"},
    )
    assert first.categories == {"data_type": "image", "question_type": "Instances Counting"}
    assert (first.image, second.image, found.images) == ("7", "7", {"7": files.PICTURE})


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("question", "", r"record 2: a question needs .*; missing or empty: question$"),
        ("question_id", None, r"record 2: .*missing or empty: question_id \(or index\)$"),
        ("answer", "E", r"record 2: the answer is 'E', none of the options A, B, C, D$"),
        ("answer", None, r"record 2: the answer is 'None', none of the options"),
    ],
)
def test_seed_names_the_field_that_is_missing(field: str, value: str | None, says: str, tmp_path: Path) -> None:
    document = json.loads(files.seed(tmp_path / "a.json").read_text())
    document["questions"][1][field] = value
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=rf"a\.json, {says}"):
        load("seed").read_questions([tmp_path / "a.json"])


@pytest.mark.parametrize(
    ("field", "says"),
    [("index", "index"), ("question", "question"), ("A", r"A, B, \.\.\. \(the options\)")],
)
def test_mmbench_names_the_field_that_is_missing(field: str, says: str, tmp_path: Path) -> None:
    rows = files.mmbench_rows()
    rows[2] |= {field: ""} if field != "A" else dict.fromkeys("ABCD", "")
    with pytest.raises(ValueError, match=rf"q\.tsv, record 3: a question needs .*; missing or empty: {says}$"):
        load("mmbench").read_questions([files.write_table(tmp_path / "q.tsv", rows)])
