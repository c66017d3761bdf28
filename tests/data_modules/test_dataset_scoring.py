"""A set as chunks: shared out without loss or repetition, pictures with the records that need them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.dataset_scoring import CHUNK, ScoringDataModule
from lightning_c3l.lvlm.samples import ScoringChunk
from lightning_c3l.runs.row_files import Done
from lightning_c3l.runs.row_jobs import RowJob
from tests.helpers.commandline import write_images

COUNT = 3 * CHUNK + 5


def record(number: int, **changes: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": f"answer {number}"}]
    return {"id": str(number), "image": f"picture {number % 4}.png", "conversations": turns, **changes}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    write_images(folder, 4)
    (folder / "broken.png").write_bytes(b"no image")
    lines = [json.dumps(record(number)) for number in range(1, COUNT + 1)]
    lines[1] = json.dumps(record(2, image="gone.png"))
    lines[2] = json.dumps(record(3, image="broken.png"))
    lines[3] = "{no JSON"
    text_only = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "so"}]
    lines[4] = json.dumps({"id": "5", "conversations": text_only})
    lines[5] = json.dumps(record(6, conversations=[{"from": "gpt", "value": "<image> first"}]))
    twice = [{"from": "human", "value": "<image><image>Same?"}, {"from": "gpt", "value": "yes"}]
    lines[6] = json.dumps(record(7, image=["picture 1.png", "picture 1.png"], conversations=twice))
    (folder / "set.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def chunks(folder: Path, rank: int = 0, world: int = 1, done: Done | None = None) -> list[ScoringChunk]:
    data = ScoringDataModule(str(folder / "set.jsonl"), folder, RowJob(folder / "parts"), COUNT, workers=1)
    data.done = done or Done(COUNT)
    return list(data.chunks(rank, world))


def test_records_in_their_order_with_their_pictures(folder: Path) -> None:
    found = chunks(folder)
    assert [chunk.number for chunk in found] == [0, 1, 2, 3]
    assert [item.number for chunk in found for item in chunk.items] == list(range(1, COUNT + 1))
    for chunk in found:
        assert len(chunk.images) == 4  # each file once, however many records are about it
        for item in chunk.items:
            assert item.conversation is None or set(item.images) <= set(chunk.images)
            if item.number > 7:
                assert item.conversation is not None
                assert item.conversation.turns[1].text == f"answer {item.number}"
                assert item.images == (str(folder / f"picture {item.number % 4}.png"),)


def test_what_cannot_be_scored_says_why(folder: Path) -> None:
    items = {item.number: item for item in chunks(folder)[0].items}
    reasons = {number: item.reason for number, item in items.items() if item.conversation is None}
    assert set(reasons) == {2, 3, 4, 6}
    assert "image gone.png is not below" in reasons[2]
    assert reasons[3] == "image 1: not an image, or of no supported format"
    assert "no valid JSON" in reasons[4]
    assert [items[number].answers for number in (2, 3, 4, 6)] == [(1,), (1,), (), (0,)]
    assert items[5].images == ()
    assert items[7].images == (str(folder / "picture 1.png"),) * 2


@settings(max_examples=20, deadline=None)
@given(world=st.integers(1, 6), data=st.data())
def test_processes_share_out_what_is_left(world: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 5 * CHUNK))
    done = Done(count)
    for number in data.draw(st.sets(st.integers(1, count))) if count else ():
        done.add(number)
    module = ScoringDataModule("no file", None, RowJob(Path("none")), count)
    module.done = done
    left = sum(module.records_left(rank, world) for rank in range(world))
    # a chunk is scored again as long as one of its records is open
    is_open = {(n - 1) // CHUNK for n in range(1, count + 1) if n not in done}
    assert left == sum((n - 1) // CHUNK in is_open for n in range(1, count + 1))


@pytest.mark.parametrize("world", [2, 3, 5, 7])
def test_no_chunk_is_lost_or_read_twice(folder: Path, world: int) -> None:
    done = Done(COUNT)
    for number in range(CHUNK + 1, 2 * CHUNK + 1):
        done.add(number)
    done.add(1)
    found = [chunks(folder, rank, world, done) for rank in range(world)]
    numbers = sorted(item.number for own in found for chunk in own for item in chunk.items)
    assert numbers == [*range(1, CHUNK + 1), *range(2 * CHUNK + 1, COUNT + 1)]
    # chunk 1 is done: a process takes those of the others that its number divides out
    assert [[chunk.number for chunk in own] for own in found] == [
        [number for number in (0, 2, 3) if number % world == rank] for rank in range(world)
    ]
