"""Parts of a set: all of it, once, evenly."""

import json
from dataclasses import asdict
from hashlib import blake2b
from itertools import chain, pairwise
from pathlib import Path

import pytest
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from data_modules.images.scanning import scan_shared
from data_modules.images.sources import open_images
from data_modules.loading.samplers import share
from tests.helpers.commandline import write_images
from tests.helpers.ranks import run_ranks


def test_by_hand() -> None:
    assert [list(share(7, rank, 3)) for rank in range(3)] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [list(share(2, rank, 4)) for rank in range(4)] == [[0], [1], [], []]


@given(st.integers(0, 300), st.integers(1, 81))
def test_nothing_is_lost_or_taken_twice(count: int, world: int) -> None:
    parts = [list(share(count, rank, world)) for rank in range(world)]
    assert list(chain(*parts)) == list(range(count))  # in order, so also disjoint
    for part in parts:
        assert all(after == before + 1 for before, after in pairwise(part))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_a_million_images_on_many_nodes() -> None:
    sizes = [len(share(1_000_003, rank, 512)) for rank in range(512)]
    assert sum(sizes) == 1_000_003
    assert {*sizes} == {1953, 1954}


@pytest.mark.parametrize("numbers", [(5, 2, 2), (5, -1, 2), (5, 0, 0), (-1, 0, 1)])
def test_no_such_share(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no such share"):
        share(*numbers)


def _scan_on_rank(rank: int, folder: str) -> None:
    source = open_images(f"{folder}/images", Path(folder) / "spool")
    found = {}
    for count in (0, 1, 7):
        digests = dict[str, str]()
        readable, rejected = scan_shared(source, source.keys()[:count], digests)
        files = {key: blake2b((Path(folder) / "images" / key).read_bytes(), digest_size=16) for key in readable}
        assert digests == {key: file.hexdigest() for key, file in files.items()}
        found[count] = [readable, [asdict(one) for one in rejected]]
    (Path(folder) / f"rank-{dist.get_rank()}.json").write_text(json.dumps(found))


def test_every_process_knows_what_all_have_read(tmp_path: Path) -> None:
    write_images(tmp_path / "images", 5)
    for name in ("broken 0.png", "picture 2b.png"):
        (tmp_path / "images" / name).write_bytes(b"no image")
    run_ranks(_scan_on_rank, str(tmp_path))
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2))
    assert first == second
    why = "not an image, or of no supported format"
    pictures = [f"picture {number}.png" for number in range(5)]
    both = [{"key": name, "reason": why} for name in ("broken 0.png", "picture 2b.png")]
    assert first == {"0": [[], []], "1": [[], both[:1]], "7": [pictures, both]}
