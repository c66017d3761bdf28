"""A benchmark's questions as chunks: shared out without loss, each picture with its questions, bad input refused."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.benchmark import CHUNK, BenchmarkDataModule, chunk_indices
from lightning_c3l.lvlm.samples import QuestionChunk
from lightning_c3l.runs.row_files import Done
from tests.helpers.benchmark_files import PICTURES, write_benchmark


def module(benchmark_files: dict[str, tuple[str, str]], name: str, **options: Any) -> BenchmarkDataModule:
    questions, images = benchmark_files[name]
    return BenchmarkDataModule(
        **{"benchmark": name, "questions": questions, "images": images, "num_workers": 1, **options}
    )


def chunks(data: BenchmarkDataModule, rank: int = 0, world: int = 1) -> list[QuestionChunk]:
    return list(data.chunks(rank, world))


def test_questions_about_one_picture_stand_together(benchmark_files: dict[str, tuple[str, str]]) -> None:
    data = module(benchmark_files, "pope")
    (chunk,) = chunks(data)
    assert sorted(item.number for item in chunk.items) == list(range(1, len(data.selected) + 1))
    about = [item.image for item in chunk.items]
    runs = [key for place, key in enumerate(about) if place == 0 or about[place - 1] != key]
    assert len(runs) == len(set(about)) == PICTURES
    # the one that no decoder reads is known to its questions, and the others are there
    broken = [item for item in chunk.items if item.image and item.image.endswith("/2.png")]
    assert broken
    assert all("image: " in item.reason for item in broken)
    assert {item.reason for item in chunk.items if item not in broken} == {""}
    assert set(chunk.images) == {item.image for item in chunk.items} - {broken[0].image}
    for item in chunk.items:
        question = data.selected[item.number - 1]
        assert item.prompt == data.benchmark.prompt(question)
        assert item.question == question.text
        assert item.image == str(Path(benchmark_files["pope"][1]) / str(question.image))


def test_pictures_that_the_file_carries_need_no_folder(benchmark_files: dict[str, tuple[str, str]]) -> None:
    data = module(benchmark_files, "mmbench", images=None)
    (chunk,) = chunks(data)
    # ten rows are rotations of three questions, about three pictures
    assert (len(chunk.items), len(chunk.images)) == (10, 3)
    assert {len(item.options) for item in chunk.items} == {2, 4}
    hinted = next(item for item in chunk.items if "1?" in item.question)
    assert hinted.question == "Look closely.\nWhich one is it, 1?"


def test_questions_about_videos_are_asked_blindly_alone(benchmark_files: dict[str, tuple[str, str]]) -> None:
    seen, blind = module(benchmark_files, "seed"), module(benchmark_files, "seed", blind=True, images=None)
    assert (len(seen.selected), seen.skipped) == (6, 2)
    assert (len(blind.selected), blind.skipped) == (8, 0)
    (chunk,) = chunks(blind)
    assert chunk.images == {}
    assert all(item.image is None and not item.reason for item in chunk.items)
    assert chunk.items[0].options == ("one", "two", "three or more", "none")


def test_the_first_questions_and_ones_own_words(benchmark_files: dict[str, tuple[str, str]]) -> None:
    data = module(benchmark_files, "llava_w", limit=2, prompt="Look: {question}")
    (chunk,) = chunks(data)
    assert sorted(item.prompt for item in chunk.items) == ["Look: What is it, 0?", "Look: What is it, 1?"]
    assert len(chunk.images) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": 0}, "limit must be at least 1"),
        ({"num_workers": 0}, "num_workers must be at least 1"),
        ({"benchmark": "vqa"}, "data.benchmark must be one of pope, seed, mmbench, llava_w"),
        ({"images": "no/such"}, "images: no/such: no such folder"),
        ({"images": None}, r"images is not set, but question \S+ of .* needs \d.png"),
        ({"prompt": "{word}"}, "{word} is unknown"),
        ({"questions": "no/such/file.json"}, "no/such/file.json"),
    ],
)
def test_options_that_nothing_can_be_asked_with(
    benchmark_files: dict[str, tuple[str, str]], options: dict[str, Any], said: str
) -> None:
    with pytest.raises((ValueError, OSError), match=said):
        module(benchmark_files, "pope", **options)


def test_missing_pictures_are_counted_before_anything_is_asked(tmp_path: Path) -> None:
    questions, images = write_benchmark(tmp_path, "pope")
    (Path(images) / "1.png").unlink()
    (Path(images) / "3.png").rename(Path(images) / "4.png")
    with pytest.raises(ValueError, match=r"2 of the 4 images of .* are missing, the first is \d.png"):
        BenchmarkDataModule("pope", questions, images)
    shutil.rmtree(images)
    assert len(BenchmarkDataModule("pope", questions, blind=True).selected) == 15


def test_a_set_of_videos_alone_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "seed.json"
    file.write_text(
        '{"questions": [{"question_id": "1", "question": "What?", "choice_a": "a", "choice_b": "b", "choice_c": "c", '
        '"choice_d": "d", "answer": "A", "data_id": "x", "data_type": "video", "question_type_id": 10}]}'
    )
    with pytest.raises(ValueError, match="no question is about an image"):
        BenchmarkDataModule("seed", str(file), str(tmp_path))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([None, *"abcdefg"]), max_size=60), st.integers(1, 9))
def test_chunks_hold_each_place_once_and_pictures_together(keys: list[str | None], size: int) -> None:
    found = chunk_indices(keys, size)
    assert sorted(place for chunk in found for place in chunk) == list(range(len(keys)))
    assert all(0 < len(chunk) <= size for chunk in found)
    for key in set(keys):
        own = [number for number, chunk in enumerate(found) for place in chunk if keys[place] == key]
        # in as few chunks as they need
        assert len(set(own)) == -(-len(own) // size)


def test_processes_share_out_what_is_left(
    benchmark_files: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = module(benchmark_files, "pope", blind=True)
    data._chunks = chunk_indices(data._keys, 2)
    data.done = Done(len(data.selected))
    for number in (1, 2, 5):
        data.done.add(number)
    # a chunk of which nothing is left is not opened; one of which something is left is asked again as a whole
    for world in (1, 2, 3, 20):
        shares = [[item.number for chunk in chunks(data, rank, world) for item in chunk.items] for rank in range(world)]
        assert sorted(number for share in shares for number in share) == list(range(3, 16))
        assert [len(share) for share in shares] == [data.questions_left(rank, world) for rank in range(world)]
    assert CHUNK >= 8
