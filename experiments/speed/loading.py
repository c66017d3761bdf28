"""Speed of decoding images, by the pool and by Pillow alone.

Its processes import this module, so it imports neither torch nor Lightning, which take seconds.
"""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from data_modules.loading.decode_pool import DecodePool
from experiments.speed.timing import ratio, side_by_side, spread


def bench_loading(
    images: int = 300, size: tuple[int, int] = (640, 480), longest_side: int = 160, repeats: int = 5
) -> dict[str, Any]:
    """Images per second of `DecodePool` with one and two processes, and of Pillow alone.

    Two processes are not twice as fast as one where cores share caches or are shared with others. `pillow_2`, Pillow in
    two processes that send nothing back, is the upper limit.

    Args:
        images: files that are made and decoded.
        size: their width and height in pixels.
        longest_side: pixels that they are shrunk to in the second comparison, in which Pillow decodes in full and
            shrinks.
        repeats: of each comparison.

    Returns:
        Spreads of images/s: `pillow` in this process, `pillow_2`, `pool_1`, `pool_2`, and the same with `_shrunk`.
        Repeat by repeat `pool_2` over twice `pillow` (`relative`, `relative_shrunk`) and over `pillow_2` (`of_two`,
        `of_two_shrunk`).
    """
    found: dict[str, Any] = {"images": images}
    with tempfile.TemporaryDirectory(prefix="c3l-loading-") as folder:
        files = write_photographs(Path(folder), images, size)
        for suffix, side in (("", None), ("_shrunk", longest_side)):
            seconds = _decoding_seconds(files, side, repeats)
            rates = {name: [images / second for second in values] for name, values in seconds.items()}
            found |= {name + suffix: spread(values) for name, values in rates.items()}
            found["relative" + suffix] = ratio(rates["pool_2"], [2 * rate for rate in rates["pillow"]])
            found["of_two" + suffix] = ratio(rates["pool_2"], rates["pillow_2"])
    return found


def _decoding_seconds(files: Sequence[Path], longest_side: int | None, repeats: int) -> dict[str, list[float]]:
    with (
        DecodePool(1, longest_side=longest_side) as one,
        DecodePool(2, longest_side=longest_side) as two,
        ProcessPoolExecutor(2, get_context("spawn")) as plain,
    ):
        halves = [files[::2], files[1::2]]
        implementations: dict[str, Callable[[], object]] = {
            "pillow": lambda: _decode_with_pillow(files, longest_side),
            "pillow_2": lambda: list(plain.map(_decode_with_pillow, halves, [longest_side] * 2)),
            "pool_1": lambda: _decode_with_pool(one, files),
            "pool_2": lambda: _decode_with_pool(two, files),
        }
        return side_by_side(implementations, repeats)  # the processes start in the repeat that does not count


def _decode_with_pillow(files: Sequence[Path], longest_side: int | None) -> None:
    for file in files:
        with Image.open(file) as image:
            image.load()
            rgb = image.convert("RGB")
        if longest_side is not None:
            rgb = ImageOps.contain(rgb, (longest_side, longest_side))


def _decode_with_pool(pool: DecodePool, files: Sequence[Path]) -> None:
    for file, image in pool.map((file, file) for file in files):
        if not isinstance(image, Image.Image):
            raise ValueError(f"{file}: {image.reason}")


def write_photographs(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write JPEG files like photographs: large soft areas and a little noise, about one bit per pixel."""
    files = [folder / f"{number}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        random = np.random.default_rng(number)
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        soft = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
        noisy = soft + random.normal(0, 12, soft.shape).astype(np.float32)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, quality=92)
    return files
