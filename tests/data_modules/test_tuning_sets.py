"""Files to tune on: what they hold, what they are weighed by, and how several are mixed."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from data_modules.loading.decoding import UnreadableImage
from data_modules.loading.samplers import draw_evenly
from data_modules.tuning_sets import FileRecords, MixedRecords, Part, loss_weights
from lightning_c3l.cli.convert import Job, convert

TURNS = [{"from": "human", "value": "<image>\nWhat color?"}, {"from": "gpt", "value": "blue"}]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (3, 2), "blue").save(tmp_path / "pictures" / "b.png")
    blind = [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}]
    records = [{"id": f"r{n}", "image": "b.png", "conversations": TURNS} for n in range(4)]
    path = tmp_path / "pictures" / "vlit.json"
    path.write_text(json.dumps([*records, {"id": "r4", "conversations": blind}]))
    return path


def test_records_hold_turns_and_picture(file: Path) -> None:
    records = FileRecords(str(file))
    conversation, image = records[0]
    assert [(turn.role, turn.text) for turn in conversation.turns] == [("user", "What color?"), ("assistant", "blue")]
    assert isinstance(image, Image.Image)
    assert image.getpixel((0, 0)) == (0, 0, 255)
    assert records[4][1] is None
    assert len(records) == 5


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_any_format_holds_the_same(file: Path, name: str) -> None:
    out = file.parent / name
    assert convert(Job(str(file), out)) == (5, 0)
    assert FileRecords(str(out)).conversations == FileRecords(str(file)).conversations


@pytest.mark.parametrize("images", [None, "elsewhere"])
@pytest.mark.parametrize("name", ["x.tar", "x.parquet"])
def test_images_that_a_set_carries_become_files(file: Path, tmp_path: Path, name: str, images: str | None) -> None:
    out = tmp_path / "carried" / name
    out.parent.mkdir()
    assert convert(Job(str(file), out, embed=True)) == (5, 0)
    (file.parent / "b.png").unlink()
    folder = tmp_path / "elsewhere" if images else tmp_path / "carried" / "x.images"
    for _ in range(2):  # they are there the second time
        records = FileRecords(str(out), str(folder) if images else None)
        assert len(records) == 5
        assert records.rejected == []
        _, picture = records[0]
        assert isinstance(picture, Image.Image)
        assert picture.getpixel((0, 0)) == (0, 0, 255)
        assert [path.name for path in folder.iterdir()] == ["b.png"]


def test_several_pictures_come_together(file: Path) -> None:
    Image.new("RGB", (1, 1), "red").save(file.parent / "r.png")
    turns = [{"from": "human", "value": "<image>or <image>?"}, {"from": "gpt", "value": "red"}]
    file.write_text(json.dumps([{"image": ["b.png", "r.png"], "conversations": turns}]))
    conversation, pictures = FileRecords(str(file))[0]
    assert conversation.images == ("b.png", "r.png")
    assert isinstance(pictures, tuple)
    assert [picture.getpixel((0, 0)) for picture in pictures] == [(0, 0, 255), (255, 0, 0)]


def test_what_cannot_be_trained_on_is_left_out(file: Path) -> None:
    good = json.loads(file.read_text())
    video = {"conversations": [{"from": "human", "value": "<video> a"}, {"from": "gpt", "value": "b"}]}
    silent = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": " "}]}
    file.write_text(json.dumps([good[0], [], {**good[1], "image": "c.png"}, video, good[4], silent]))
    records = FileRecords(str(file))
    assert [one.id for one in records.conversations] == ["r0", "r4"]
    assert [one.key for one in records.rejected] == [f"{file}, record {number}" for number in (2, 3, 4, 6)]
    assert records.rejected[1].reason == f"image c.png is not below {file.parent}"
    assert records.rejected[3].reason == "the assistant says nothing"


@pytest.mark.parametrize(("text", "says"), [("[]", "it is empty"), ("[[], []]", "the first: must be an object")])
def test_a_file_without_a_record_to_train_on_is_refused(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"vlit\.json: no record to train on.*{says}"):
        FileRecords(str(file))


def test_pictures_may_lie_elsewhere(file: Path, tmp_path: Path) -> None:
    moved = file.rename(tmp_path / "vlit.json")
    assert FileRecords(str(moved), str(tmp_path / "pictures"))[0][1] is not None
    with pytest.raises(ValueError, match="pipe:cat x: give images"):
        FileRecords("pipe:cat x")


def test_a_picture_that_cannot_be_read_is_no_sample(file: Path) -> None:
    good = json.loads(file.read_text())
    file.write_text(json.dumps([[], *good]))
    records = FileRecords(str(file))
    (file.parent / "b.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match="not an image"):
        records[2]
    assert records.name(2) == f"{file}, record 4"
    assert records[4][0].id == "r4"


def scored(kind: str, **scores: Any) -> dict[str, Any]:
    return {"image": "b.png", "conversations": TURNS, "c3l": {"kind": kind, "scores": {"tokens": 1, **scores}}}


def test_weights_go_by_the_score_within_a_kind(file: Path) -> None:
    records = [
        scored("color", answer=1.0, gap=3.0),
        scored("color", answer=3.0, gap=1.0),
        scored("number", answer=0.2),
        scored("number", answer=0.2),
        {"image": "b.png", "conversations": TURNS},
    ]
    file.write_text(json.dumps(records))
    assert [one.weight for one in FileRecords(str(file)).conversations] == [1.0] * 5
    by_answer = [one.weight for one in FileRecords(str(file), weights="answer").conversations]
    assert by_answer == pytest.approx([0.5, 1.5, 1.0, 1.0, 1.0])
    by_gap = [one.weight for one in FileRecords(str(file), weights="gap").conversations]
    assert by_gap == pytest.approx([1.5, 0.5, 1.0, 1.0, 1.0])


def test_weights_that_the_file_cannot_give_are_refused(file: Path) -> None:
    with pytest.raises(ValueError, match=r"vlit\.json: no record has the score 'answer'"):
        FileRecords(str(file), weights="answer")
    with pytest.raises(ValueError, match=r"weights: must be one of answer, .* not 'size'"):
        FileRecords(str(file), weights="size")


def test_no_weight_is_above_three_or_below_zero() -> None:
    # 8 records share 8: the first is held to 3, and the one that it leaves of the other's share of 5 is held too
    weights = loss_weights([("a", 100.0), ("a", 50.0), *[("a", -1.0)] * 6, ("b", math.nan)])
    assert weights == pytest.approx([3.0, 3.0, *[1 / 3] * 6, 1.0])
    assert loss_weights([("a", 4.0), ("a", 0.0), ("a", -4.0), ("a", 4.0)]) == pytest.approx([2.0, 0.0, 0.0, 2.0])


def test_a_mixture_takes_of_each_set_by_its_ratio(file: Path) -> None:
    other = file.with_name("other.json")
    other.write_text(json.dumps([{"id": f"s{n}", "conversations": TURNS, "image": "b.png"} for n in range(4)]))
    mixed = MixedRecords([Part(str(file), ratio=2), Part(str(other), ratio=4), Part(str(other), ratio=0.8)])
    assert (len(mixed), mixed[4][0].id, mixed[5][0].id, mixed[12][0].id) == (13, "r4", "s0", "s3")
    with pytest.raises(IndexError):
        mixed[13]
    for seed in range(5):
        drawn = mixed.draws(torch.Generator().manual_seed(seed))
        assert Counter(drawn[:0] + [n for n in drawn if n < 5]) == Counter(range(5))
        second = Counter(n for n in drawn if 5 <= n < 9)
        assert (sum(second.values()), set(second.values())) == (10, {2, 3})
        assert sum(n >= 9 for n in drawn) == 2
    assert mixed.draws(torch.Generator().manual_seed(1)) != mixed.draws(torch.Generator().manual_seed(2))
    assert mixed.draws(torch.Generator().manual_seed(1)) == mixed.draws(torch.Generator().manual_seed(1))
    # not one set after the other
    assert drawn != sorted(drawn)


def test_draws_are_even() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = Counter(number for _ in range(600) for number in draw_evenly(3, 4, generator))
    # twice 600 draws beyond the one of each: 200 for each number, standard deviation 12
    assert all(abs(drawn[number] - 800) < 60 for number in range(3))


def test_mixtures_that_mean_nothing_are_refused(file: Path) -> None:
    with pytest.raises(ValueError, match=r"vlit\.json: ratio must be above 0, not 0"):
        Part(str(file), ratio=0)
    with pytest.raises(ValueError, match=r"vlit\.json: ratio 1e\+308 draws .* much too large"):
        MixedRecords([Part(str(file)), Part(str(file), ratio=1e308)])
    with pytest.raises(ValueError, match="parts"):
        MixedRecords([])
