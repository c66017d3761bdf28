"""Speed and memory of data in and out: `convert`, decoding images, and `score` over a long set."""

import json
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image, ImageOps
from torch import nn

from data_modules.dataset_scoring import ScoringDataModule
from data_modules.loading.decode_pool import DecodePool
from experiments.speed.timing import process_memory, ratio, side_by_side, spread
from lightning_c3l.cli.convert import Job, convert
from lightning_c3l.cli.scored_output import Scored, write_scored
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.base import AnswerTokens, Chats, Images
from lightning_c3l.modules.dataset_scoring import ScoringModule
from lightning_c3l.runs.row_jobs import RowJob

_WORDS = ("a", "of", "the", "is", "two", "shape", "color", "image", "left", "right", "circle", "people", "standing")
# distinct images of the set that is scored
_IMAGES = 20


def conversion_rate(records: int = 100_000) -> float:
    """Records per second from JSONL to Parquet: LLaVA-like, about 500 bytes each, with an image's name."""
    with tempfile.TemporaryDirectory(prefix="c3l-bench-") as name:
        source = Path(name, "made.jsonl")
        write_records(source, records)
        start = perf_counter()
        written, _ = convert(Job(str(source), Path(name, "made.parquet")))
        return written / (perf_counter() - start)


def write_records(path: Path, records: int) -> None:
    """Write LLaVA-like records of two or four turns of random words as JSONL."""
    draw = stream(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(records):
            turns = [
                {"from": ("human", "gpt")[turn % 2], "value": " ".join(draw.choices(_WORDS, k=18))}
                for turn in range(draw.choice((2, 4)))
            ]
            turns[0]["value"] = f"<image>\n{turns[0]['value']}"
            image = f"coco/train2017/{number:012d}.jpg"
            file.write(json.dumps({"id": f"{number:012d}", "image": image, "conversations": turns}) + "\n")


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


class _FreeLVLM:
    """Scores every answer as one token of the same probability, at no cost."""

    fingerprint = "free"

    def __init__(self) -> None:
        self.network: nn.Module = nn.Linear(1, 1)

    def score(
        self, images: Sequence[Images], chats: Sequence[Chats], shuffled: Sequence[Images] | None = None
    ) -> AnswerTokens:
        count = sum(turn.role == "assistant" for own in chats for chat in own for turn in chat)
        half = torch.full((count, 1), 0.5).log()
        return AnswerTokens(half, 2 * half, -half, torch.ones(count, 1, dtype=torch.bool), half)

    def unsupported_images(self, images: Sequence[Any]) -> list[str]:
        return [""] * len(images)

    def cache_image_features(self) -> AbstractContextManager[None]:
        return nullcontext()


class _Memory(Callback):
    """Resident memory of this process after each batch, and its peak so far, in bytes."""

    def __init__(self) -> None:
        self.resident = list[int]()
        self.peaks = list[int]()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, loader: int = 0
    ) -> None:
        self.resident.append(process_memory("VmRSS"))
        self.peaks.append(process_memory("VmHWM"))


def bench_set_scoring(records: int = 200_000) -> dict[str, float]:
    """Score a generated set and measure how memory grows, on Linux.

    Returns:
        `grown_mb`: most resident memory in the last nine tenths of the run, its writing included, above the most in
        the first tenth; `records_per_second` of both passes.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _write_set(folder, records)
        job, memory = RowJob(folder / "parts"), _Memory()
        start = perf_counter()
        data = ScoringDataModule(str(source), folder, job, records, workers=1)
        lvlm: Any = _FreeLVLM()
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            callbacks=[memory],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.predict(ScoringModule(lvlm, job, 8, 0), datamodule=data, return_predictions=False)
        write_scored(Scored(str(source), folder / "out.jsonl", folder, job.files, {}))
        seconds = perf_counter() - start
        first, peak = max(len(memory.resident) // 10, 1), process_memory("VmHWM")
        # only the peak shows what writing took, and only if it was reached after the first tenth
        late_peak = peak if peak > memory.peaks[first - 1] else 0
        last = max(*memory.resident[first:], process_memory("VmRSS"), late_peak)
    return {"grown_mb": (last - max(memory.resident[:first])) / 1e6, "records_per_second": records / seconds}


def _write_set(folder: Path, records: int) -> Path:
    for number in range(_IMAGES):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(folder / f"{number}.png")
    path = folder / "set.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(records):
            question = {"from": "human", "value": f"<image>\nWhat is {number}?"}
            turns = [question, {"from": "gpt", "value": "a thing " * 20}]
            image = f"{number % _IMAGES}.png"
            file.write(json.dumps({"id": str(number), "image": image, "conversations": turns}) + "\n")
    return path
