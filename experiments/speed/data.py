"""Speed and memory of data in and out: `convert`, and `score` over a long set."""

import json
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image
from torch import nn

from data_modules.dataset_scoring import ScoringDataModule
from experiments.speed.timing import process_memory
from lightning_c3l.cli.convert import Job, convert
from lightning_c3l.cli.scored_output import Scored, write_scored
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.base import AnswerTokens, Chats, Images
from lightning_c3l.modules.dataset_scoring import ScoringModule
from lightning_c3l.runs.row_jobs import RowJob
from lightning_c3l.selection.scoring_config import ScoringConfig

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
        trainer.predict(ScoringModule(lvlm, job, 8, ScoringConfig(0)), datamodule=data, return_predictions=False)
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
