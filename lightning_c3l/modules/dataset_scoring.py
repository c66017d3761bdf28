"""Scores of every answer of an existing instruction-tuning set, made by any number of processes and resumable."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lightning import LightningModule
from tqdm import tqdm

from lightning_c3l.lvlm.base import AnswerScorer
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.samples import ScoringChunk, ScoringItem
from lightning_c3l.records import Conversation
from lightning_c3l.rounds.scoring import Context, TurnScore, score_contexts
from lightning_c3l.runs.row_files import Row
from lightning_c3l.runs.row_jobs import RowJob


class ScoringModule(LightningModule):
    """Scores chunks of a set in `predict` and appends their rows to this rank's row file.

    Args:
        lvlm: scores the answers.
        job: takes the rows; the datamodule begins it.
        batch_size: records per batch, with their images; halved if memory runs out.
        seed: of the shuffled-image control.
        shuffle: whether to score each answer with other images too.
    """

    def __init__(self, lvlm: AnswerScorer, job: RowJob, batch_size: int, seed: int, shuffle: bool = True) -> None:
        super().__init__()
        self.lvlm, self.job, self.seed, self.shuffle = lvlm, job, seed, shuffle
        self.network = lvlm.network.eval()
        self.size = BatchSize(batch_size, "--batch-size")
        self._answers, self._began = 0, 0.0

    def on_predict_start(self) -> None:
        """Show a progress bar over the records of this rank."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        self._bar = tqdm(
            total=data.records_left(self.global_rank, self.trainer.world_size),
            desc="score",
            unit="record",
            disable=self.global_rank > 0,
        )
        self._began = time.perf_counter()

    def predict_step(self, chunk: ScoringChunk, batch_idx: int) -> None:
        """Score a chunk and append its rows."""
        rows = score_chunk(self.lvlm, chunk, self.size, self.seed, self.shuffle)
        self.job.append(rows)
        self._answers += sum(turn["status"] == "scored" for row in rows for turn in row["turns"])
        rate = self._answers / (time.perf_counter() - self._began)
        self._bar.set_postfix_str(f"{rate:.1f} pairs/s", refresh=False)
        self._bar.update(len(rows))

    def on_predict_end(self) -> None:
        """Wait until all ranks have appended their rows."""
        self._bar.close()
        self.job.finish()


def score_chunk(
    lvlm: AnswerScorer, chunk: ScoringChunk, batch_size: BatchSize, seed: int, shuffle: bool = True
) -> list[Row]:
    """A row for each record: its number, and the state of each of the assistant's turns.

    Rows are `{"record": number, "turns": [...]}`; a turn has its index among the record's messages (`turn`), and a
    `status`: `scored` (with the readings, and `shuffled`), `text_only` (no image before it) or `rejected` (with a
    `reason`). They do not depend on which process scores the chunk.
    """
    with lvlm.cache_image_features():
        items = _without_refused(lvlm, chunk)
        by_images = defaultdict[tuple[str, ...], list[ScoringItem]](list)
        for item in items:
            if item.conversation is not None and item.images:
                by_images[item.images].append(item)
        contexts = [
            Context(images, tuple(one.conversation.turns for one in own if one.conversation))
            for images, own in by_images.items()
        ]
        found = score_contexts(
            lvlm, contexts, chunk.images.__getitem__, batch_size, seed + chunk.number if shuffle else None
        )
    scored = dict[int, list[TurnScore]]()
    for own, turns in zip(by_images.values(), found, strict=True):
        waiting = iter(turns)
        for item in own:
            scored[item.number] = [next(waiting) for _ in item.answers]
    return [{"record": one.number, "turns": _turns(one, scored.get(one.number))} for one in items]


def _without_refused(lvlm: AnswerScorer, chunk: ScoringChunk) -> list[ScoringItem]:
    """The records; those with an image that the LVLM does not support are marked as rejected."""
    keys = list(dict.fromkeys(key for item in chunk.items if item.conversation for key in item.images))
    refusals = lvlm.unsupported_images([chunk.images[key] for key in keys]) if keys else []
    refused = {key: reason for key, reason in zip(keys, refusals, strict=True) if reason}
    return [item.without(refused) for item in chunk.items]


def _turns(item: ScoringItem, scores: Sequence[TurnScore] | None) -> list[dict[str, Any]]:
    if item.conversation is None:
        return [_rejected(index, item.reason) for index in item.answers]
    first = _first_image_turn(item.conversation)
    found = [TurnScore(None)] * len(item.answers) if scores is None else scores
    return [_turn(index, first, one) for index, one in zip(item.answers, found, strict=True)]


def _turn(index: int, first: int | None, found: TurnScore) -> dict[str, Any]:
    if first is None or index < first:
        return {"turn": index, "status": "text_only"}
    if found.scores is None:
        return _rejected(index, found.reason)
    return {"turn": index, "status": "scored", **asdict(found.scores), "shuffled": found.shuffled}


def _rejected(index: int, reason: str) -> dict[str, Any]:
    return {"turn": index, "status": "rejected", "reason": reason}


def _first_image_turn(conversation: Conversation) -> int | None:
    """Index of the first turn with an image, None if there is none."""
    if not conversation.images:
        return None
    return next((index for index, turn in enumerate(conversation.turns) if turn.images), 0)
