"""Scores of every answer of an existing instruction-tuning set, made by any number of processes and resumable."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lightning import LightningModule

from lightning_c3l.lvlm.base import AnswerScorer
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.samples import ScoringChunk, ScoringItem
from lightning_c3l.report.progress import stage
from lightning_c3l.rounds.scoring import Context, score_contexts
from lightning_c3l.rounds.turn_scores import TurnScore
from lightning_c3l.runs.row_files import Row
from lightning_c3l.runs.row_jobs import RowJob
from lightning_c3l.selection.scoring_config import ScoringConfig


class ScoringModule(LightningModule):
    """Scores chunks of a set in `predict` and appends their rows to this rank's row file.

    Args:
        lvlm: scores the answers.
        job: takes the rows; the datamodule begins it.
        batch_size: records per batch, with their images; halved if memory runs out.
        config: how answers are scored.
    """

    def __init__(self, lvlm: AnswerScorer, job: RowJob, batch_size: int, config: ScoringConfig) -> None:
        super().__init__()
        self.lvlm, self.job, self.config = lvlm, job, config
        self.network = lvlm.network.eval()
        self.size = BatchSize(batch_size, "--batch-size")
        self._answers, self._began = 0, 0.0

    def on_predict_start(self) -> None:
        """Show progress over the records of this rank."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        self._progress = stage("score", "records", data.records_left(self.global_rank, self.trainer.world_size))
        self._began = time.perf_counter()

    def predict_step(self, chunk: ScoringChunk, batch_idx: int) -> None:
        """Score a chunk and append its rows."""
        rows = score_chunk(self.lvlm, chunk, self.size, self.config)
        self.job.append(rows)
        self._answers += sum(turn["status"] == "scored" for row in rows for turn in row["turns"])
        rate = self._answers / (time.perf_counter() - self._began)
        self._progress.note = f"{rate:.1f} pairs/s"
        self._progress.update(len(rows))

    def on_predict_end(self) -> None:
        """Wait until all ranks have appended their rows."""
        self._progress.close()
        self.job.finish()


def score_chunk(lvlm: AnswerScorer, chunk: ScoringChunk, batch_size: BatchSize, config: ScoringConfig) -> list[Row]:
    """A row for each record: its number, and the state of each of the assistant's turns.

    Rows are `{"record": number, "turns": [...]}`; a turn has its index among the record's messages (`turn`), and a
    `status`: `scored` (with the readings, `shuffled`, and where the unit is a sentence, `supported`), `text_only` (no
    image before it) or `rejected` (with a `reason`). They do not depend on which process scores the chunk.
    """
    with lvlm.cache_image_features():
        keys = list(dict.fromkeys(key for item in chunk.items if item.conversation for key in item.images))
        refusals = lvlm.unsupported_images([chunk.images[key] for key in keys]) if keys else []
        refused = {key: reason for key, reason in zip(keys, refusals, strict=True) if reason}
        items = [item.without(refused) for item in chunk.items]
        by_images = defaultdict[tuple[str, ...], list[ScoringItem]](list)
        for item in items:
            if item.conversation is not None and item.images:
                by_images[item.images].append(item)
        contexts = [
            Context(images, tuple(one.conversation.turns for one in own if one.conversation))
            for images, own in by_images.items()
        ]
        if config.shuffle_seed is not None:
            config = replace(config, shuffle_seed=config.shuffle_seed + chunk.number)
        found = score_contexts(lvlm, contexts, chunk.images.__getitem__, batch_size, config)
    scored = dict[int, list[TurnScore]]()
    for own, turns in zip(by_images.values(), found, strict=True):
        waiting = iter(turns)
        for item in own:
            scored[item.number] = [next(waiting) for _ in item.answers]
    return [{"record": one.number, "turns": _turns(one, scored.get(one.number))} for one in items]


def _turns(item: ScoringItem, scores: Sequence[TurnScore] | None) -> list[dict[str, Any]]:
    """The state of each of the assistant's turns of a record."""
    if item.conversation is None:
        return [{"turn": index, "status": "rejected", "reason": item.reason} for index in item.answers]
    # images that no turn mentions come with the first
    first = next((index for index, turn in enumerate(item.conversation.turns) if turn.images), 0)
    out = list[dict[str, Any]]()
    for index, found in zip(item.answers, scores or [TurnScore(None)] * len(item.answers), strict=True):
        if not item.conversation.images or index < first:
            out.append({"turn": index, "status": "text_only"})
        elif found.scores is None:
            out.append({"turn": index, "status": "rejected", "reason": found.reason})
        else:
            row = {"turn": index, "status": "scored", **found.scores.to_row(), "shuffled": found.shuffled}
            out.append(row | ({"supported": found.supported.to_row()} if found.supported else {}))
    return out
