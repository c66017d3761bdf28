"""Memory of `score` over a long set, with an LVLM that costs nothing."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image
from torch import nn

from data_modules.dataset_scoring import ScoringDataModule
from lightning_c3l.cli.scored_output import Scored, write_scored
from lightning_c3l.lvlm.base import AnswerTokens, Chats, Images
from lightning_c3l.modules.dataset_scoring import ScoringModule
from lightning_c3l.runs.row_jobs import RowJob

# distinct pictures of the made set
_PICTURES = 20


class _FreeLVLM:
    """Gives every answer one token of the same probability."""

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
    """Resident memory of this process after each batch, and its highest ever, in bytes."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.highest: list[int] = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, loader: int = 0
    ) -> None:
        self.seen.append(resident())
        self.highest.append(highest())


def bench_set_scoring(records: int = 200_000) -> dict[str, float]:
    """Score a made set and look how memory grows.

    Returns:
        `grown_mb`: most resident memory in the last nine tenths of the run, its writing included, above the most in
        the first tenth; `records_per_second` of both passes; on Linux.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _made_set(folder, records)
        job, memory = RowJob(folder / "parts"), _Memory()
        began = perf_counter()
        data = ScoringDataModule(str(source), folder, job, records, workers=1)
        lvlm: Any = _FreeLVLM()
        _trainer(memory).predict(ScoringModule(lvlm, job, 8, 0), datamodule=data, return_predictions=False)
        write_scored(Scored(str(source), folder / "out.jsonl", folder, job.files, {}))
        seconds = perf_counter() - began
        first = max(len(memory.seen) // 10, 1)
        # the pass that writes is seen by the highest mark, where it left that of the beginning behind
        passed = highest() if highest() > memory.highest[first - 1] else 0
        last = max(*memory.seen[first:], resident(), passed)
    return {
        "grown_mb": (last - max(memory.seen[:first])) / 1e6,
        "records_per_second": records / seconds,
    }


def resident() -> int:
    """Resident memory of this process, in bytes."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096


def highest() -> int:
    """The most memory that was ever resident in this process, in bytes."""
    return getrusage(RUSAGE_SELF).ru_maxrss * 1024


def _trainer(memory: Callback) -> Trainer:
    return Trainer(
        accelerator="cpu",
        devices=1,
        callbacks=[memory],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _made_set(folder: Path, records: int) -> Path:
    for number in range(_PICTURES):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(folder / f"{number}.png")
    with (folder / "set.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in _records(records))
    return folder / "set.jsonl"


def _records(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        turns = [{"from": "human", "value": f"<image>\nWhat is {number}?"}, {"from": "gpt", "value": "a thing " * 20}]
        yield {"id": str(number), "image": f"{number % _PICTURES}.png", "conversations": turns}
