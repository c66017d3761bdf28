"""The loading bench decodes real files in all the ways that it names."""

from pathlib import Path

from PIL import Image

from experiments.speed.loading import _photographs, loading_rate
from experiments.speed.timing import Spread


def test_every_way_is_measured() -> None:
    found = loading_rate(images=3, size=(64, 48), longest_side=16, repeats=2)
    assert found.pop("images") == 3
    names = {"pillow", "pillow_2", "pool_1", "pool_2", "relative", "of_two"}
    assert set(found) == names | {f"{name}_shrunk" for name in names}
    for spread in found.values():
        assert isinstance(spread, Spread)
        assert 0 < spread.min <= spread.median <= spread.max


def test_photographs_are_different_and_of_usual_size(tmp_path: Path) -> None:
    files = _photographs(tmp_path, 2, (640, 480))
    assert [Image.open(file).size for file in files] == [(640, 480)] * 2
    assert files[0].read_bytes() != files[1].read_bytes()
    # cameras and the web: one to four bits a pixel; a plain area would have a hundredth
    assert all(0.5 < 8 * file.stat().st_size / (640 * 480) < 4 for file in files)
