"""Selecting pairs and writing them: which are kept, and what the files hold."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import lightning_c3l
from data_modules.formats import image_root, read_records
from data_modules.images.given import given_images
from lightning_c3l import ScoredCandidate
from tests.helpers.scored import scored


def kept(candidates: list[ScoredCandidate], size: int | None = None, **rules: Any) -> list[int]:
    """Samples of the pairs kept."""
    found = lightning_c3l.select(candidates, size, **rules)
    assert all(one.status == "kept" for one in found)
    return [one.candidate.sample for one in found]


def test_all_but_near_duplicates_and_rejected_texts() -> None:
    same = [scored(0.1, 0, "What is here?"), scored(0.3, 1, "What is here?", "blue"), scored(0.2, 2, "Where is it?")]
    assert kept([*same, scored(None, 3)]) == [1, 2]
    assert kept([scored(0.1, 0, "one two three"), scored(0.2, 1, "one two four")]) == [0, 1]
    # with the answer, 3 of 5 words in common
    assert kept([scored(0.1, 0, "one two three"), scored(0.2, 1, "one two four")], near_duplicates=0.6) == [1]


def test_the_best_by_a_reading() -> None:
    three = [scored(0.1, 0, gap=3.0), scored(0.3, 1, gap=1.0), scored(0.2, 2, gap=2.0)]
    assert kept(three, 2) == [1, 2]
    assert kept(three, 2, reading="gap") == [0, 2]
    assert kept(three, 2, min_score=0.25) == [1]
    assert kept(three, min_score=1.0) == []


def test_quotas_of_images_kinds_and_answers() -> None:
    images = [scored(1.0 - n / 10, n, image="ab"[n > 1]) for n in range(4)]
    assert kept(images, per_image=1) == [0, 2]
    kinds = [scored(1.0 - n / 10, n, kind="xxxy"[n], image=str(n)) for n in range(4)]
    assert kept(kinds, 2) == [0, 3]
    assert kept(kinds, 2, balance=["yes_no"]) == [0, 1]
    answers = [scored(1.0 - n / 10, n, answer=["yes", "yes", "no"][n], image=str(n)) for n in range(3)]
    assert kept(answers, 2) == [0, 2]
    assert kept(answers, 2, balance=["kinds"]) == [0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be at least 1, not 0"),
        ({"reading": "best"}, "unknown reading 'best'"),
        ({"near_duplicates": 0.0}, "^near_duplicates must be above 0"),
        ({"per_image": 0}, "^per_image must be at least 1"),
        ({"balance": "kinds"}, "balance must hold none but kinds, yes_no, not d, i, k, n, s"),
        ({"reading": "my_reading.surprise"}, "was not scored by my_reading.surprise"),
        ({"candidates": [ScoredCandidate(scored(0.5).candidate)]}, "has no scores"),
        ({"candidates": [scored(0.5).candidate]}, "`score_candidates` gives them"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lightning_c3l.select(**{"candidates": [scored(0.5)], **options})


def test_images_in_memory_are_written_beside_the_set(tmp_path: Path) -> None:
    images = [Image.new("RGB", (4, 4), name) for name in ("red", "blue", "green")]
    red, blue, _ = given_images(images).keys
    pairs = [scored(0.5, 0, "What is it?", image=red), scored(0.25, 1, "And here?", "blue", image=blue)]
    file = lightning_c3l.write_vlit(pairs, images, tmp_path / "new" / "set.json", model="mine")
    assert file == tmp_path / "new" / "set.json"
    first, second = json.loads(file.read_text())
    assert [turn["value"] for turn in first["conversations"]] == ["<image>\nWhat is it?", "red"]
    assert [turn["value"] for turn in second["conversations"]] == ["<image>\nAnd here?", "blue"]
    assert first["c3l"]["scores"]["answer"] == 0.5
    assert first["c3l"]["provenance"]["model"] == "mine"
    assert [entry.reason for entry in read_records(str(file))] == ["", ""]
    root = image_root(file)
    assert sorted(path.name for path in root.iterdir()) == sorted([red, blue])
    assert Image.open(root / second["image"]).getpixel((0, 0)) == (0, 0, 255)


def test_files_stay_where_they_are(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    file = lightning_c3l.write_vlit([scored(0.5, image="x.png")], [tmp_path / "x.png"], tmp_path / "out" / "set.json")
    assert json.loads(file.read_text())[0]["image"] == "x.png"
    assert image_root(file) == tmp_path
    assert {path.name for path in file.parent.iterdir()} == {"set.json", "set.meta.json"}


@pytest.mark.parametrize(
    ("pairs", "name", "message"),
    [
        ([], "set.json", "set.json: there is no pair to write"),
        ([scored(0.5, image="x.png")], "set.csv", "set.csv: is written as .json"),
        ([scored(0.5, image="y.png")], "set.json", "about y.png, which is none of the images given"),
        ([ScoredCandidate(scored(0.5, image="x.png").candidate)], "set.json", "x.png is exported without scores"),
    ],
)
def test_what_is_not_written(pairs: list[ScoredCandidate], name: str, message: str, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=message):
        lightning_c3l.write_vlit(pairs, [tmp_path / "x.png"], tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
