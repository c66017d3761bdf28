"""How fast pictures are decoded: `DecodePool` beside Pillow alone on the same files."""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from data_modules.loading.decode_pool import DecodePool
from experiments.speed.timing import Spread, side_by_side


def loading_rate(
    images: int = 300, size: tuple[int, int] = (640, 480), longest_side: int = 160, repeats: int = 5
) -> dict[str, Any]:
    """Images a second of the pool with one and two processes, and of Pillow alone.

    Two processes are not twice as fast as one where cores share caches or are shared with others. `pillow_2`, Pillow in
    two processes that hand nothing over, shows what there is to be had.

    Args:
        images: files that are made and decoded.
        size: their width and height in pixels.
        longest_side: what they are shrunk to in the second comparison, in which Pillow decodes in full and shrinks.
        repeats: rounds; every round runs all ways, after one that does not count.

    Returns:
        Spreads of images/s: `pillow` in this process, `pillow_2`, `pool_1`, `pool_2`, and the same with `_shrunk`.
        Round by round `pool_2` over twice `pillow` (`relative`, `relative_shrunk`) and over `pillow_2` (`of_two`,
        `of_two_shrunk`).
    """
    with tempfile.TemporaryDirectory(prefix="c3l-loading-") as folder:
        files = _photographs(Path(folder), images, size)
        full = _rates(files, None, repeats)
        shrunk = _rates(files, longest_side, repeats)
    return {"images": images, **_figures(full, ""), **_figures(shrunk, "_shrunk")}


def _figures(rates: dict[str, list[float]], end: str) -> dict[str, Spread]:
    return {
        **{name + end: Spread.of(values) for name, values in rates.items()},
        "relative" + end: Spread.of([a / (2 * b) for a, b in zip(rates["pool_2"], rates["pillow"], strict=True)]),
        "of_two" + end: Spread.of([a / b for a, b in zip(rates["pool_2"], rates["pillow_2"], strict=True)]),
    }


def _rates(files: Sequence[Path], longest_side: int | None, repeats: int) -> dict[str, list[float]]:
    with (
        DecodePool(1, longest_side=longest_side) as one,
        DecodePool(2, longest_side=longest_side) as two,
        ProcessPoolExecutor(2, get_context("spawn")) as plain,
    ):
        halves = [files[::2], files[1::2]]
        ways: dict[str, Callable[[], object]] = {
            "pillow": lambda: _with_pillow(files, longest_side),
            "pillow_2": lambda: list(plain.map(_with_pillow, halves, [longest_side] * 2)),
            "pool_1": lambda: _with_pool(one, files),
            "pool_2": lambda: _with_pool(two, files),
        }
        seconds = side_by_side(ways, repeats)  # the processes start in the round that does not count
    return {name: [len(files) / second for second in values] for name, values in seconds.items()}


def _with_pillow(files: Sequence[Path], longest_side: int | None) -> None:
    for file in files:
        with Image.open(file) as image:
            image.load()
            rgb = image.convert("RGB")
        if longest_side is not None:
            rgb = ImageOps.contain(rgb, (longest_side, longest_side))


def _with_pool(pool: DecodePool, files: Sequence[Path]) -> None:
    for file, image in pool.map((file, file) for file in files):
        if not isinstance(image, Image.Image):
            raise ValueError(f"{file}: {image.reason}")


def _photographs(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """JPEG files with what photographs have: large soft areas and a little noise, about one bit a pixel."""
    files = []
    for number in range(count):
        random = np.random.default_rng(number)
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        soft = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
        noisy = soft + random.normal(0, 12, soft.shape).astype(np.float32)
        files.append(folder / f"{number}.jpg")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(files[-1], quality=92)
    return files
