"""Answers of an LVLM to a benchmark's questions: generated texts, and losses of the options."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from lightning_c3l.evaluation.benchmarks.base import Answer
from lightning_c3l.lvlm.base import (
    LVLM,
    ConversationError,
    GenerationRequest,
    ImageError,
    InferenceLVLM,
    LVLMError,
    Sampling,
    TextGenerator,
)
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.samples import QuestionChunk, QuestionItem
from lightning_c3l.records import exchange
from lightning_c3l.runs.row_files import Row

_T = TypeVar("_T")
# makes results for questions, stores them by the questions' numbers, in batches of a size
_Work = Callable[[Sequence[QuestionItem], dict[int, _T | LVLMError], int], None]
# digits that a float32 holds; with more, files of the same run would differ
_DECIMALS = 6


@dataclass(frozen=True)
class PredictionConfig:
    """What to make for each question.

    Attributes:
        max_new_tokens: longest text, in tokens.
        text: generate an answer, greedily.
        losses: compute the mean negative log-likelihood per token of each option.
    """

    max_new_tokens: int = 64
    text: bool = True
    losses: bool = False

    def __post_init__(self) -> None:
        """Refuse a configuration without output."""
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")
        if not self.text and not self.losses:
            raise ValueError("text and losses are both false: set at least one of them")


def predict_chunk(
    lvlm: InferenceLVLM,
    chunk: QuestionChunk,
    config: PredictionConfig,
    batch_size: BatchSize,
    generator: TextGenerator | None = None,
) -> list[Row]:
    """Answer a chunk of questions.

    In float32 the rows do not depend on the other questions or on the batch size (losses to 1e-5).

    Args:
        lvlm: the LVLM.
        chunk: questions with their images.
        config: what to make for each question.
        batch_size: questions at the same time.
        generator: generates the texts; default the LVLM.

    Returns:
        A row per question: its number as `record`, `text` and `losses` as configured, or the `problem` that prevents
        them.
    """
    writer = lvlm if generator is None else generator

    def generate(items: Sequence[QuestionItem], results: dict[int, Any], size: int) -> None:
        def finished(index: int, texts: list[str]) -> None:
            results[items[index].number] = texts[0]

        requests = [GenerationRequest(item.prompt, chunk.images.get(str(item.image))) for item in items]
        writer.generate(requests, Sampling(1, config.max_new_tokens, 0.0), size, finished=finished)

    def compute_losses(items: Sequence[QuestionItem], results: dict[int, Any], size: int) -> None:
        for start in range(0, len(items), size):
            batch = items[start : start + size]
            found = [chunk.images.get(str(item.image)) for item in batch]
            images = [() if image is None else (image,) for image in found]
            chats = [[exchange(item.question, option) for option in item.options] for item in batch]
            losses = lvlm.mean_nll(images, chats)
            results |= {item.number: own for item, own in zip(batch, losses, strict=True)}

    with lvlm.cache_image_features():
        items = _mark_unsupported(lvlm, chunk, batch_size)
        texts = _for_each(items, batch_size, generate) if config.text else {}
        losses = _for_each(items, batch_size, compute_losses) if config.losses else {}
    rows = list[Row]()
    for item in items:
        row: Row = {"record": item.number}
        text, own = texts.get(item.number), losses.get(item.number)
        failed = [one for one in (text, own) if isinstance(one, LVLMError)]
        if item.reason or failed:
            row["problem"] = item.reason or " ".join(str(failed[0]).split())
        elif isinstance(own, list) and not all(map(math.isfinite, own)):
            row["problem"] = "the loss of an option is not finite (an option without tokens?)"
        else:
            if isinstance(own, list):
                row["losses"] = [round(loss, _DECIMALS) for loss in own]
            if text is not None:
                row["text"] = text
        rows.append(row)
    return rows


def answer_from_row(question_id: str, row: Mapping[str, Any]) -> Answer:
    """Return the answer in a row of `predict_chunk`."""
    losses = row.get("losses")
    return Answer(question_id, row.get("text"), None if losses is None else tuple(losses), row.get("problem", ""))


def _mark_unsupported(lvlm: LVLM, chunk: QuestionChunk, batch_size: BatchSize) -> list[QuestionItem]:
    """The questions; those about an image that the LVLM does not accept have a `reason`."""
    keys = list(dict.fromkeys(str(item.image) for item in chunk.items if item.image in chunk.images))

    def check(size: int) -> list[str]:
        batches = [[chunk.images[key] for key in keys[start : start + size]] for start in range(0, len(keys), size)]
        return [reason for batch in batches for reason in lvlm.unsupported_images(batch)]

    reasons = dict(zip(keys, batch_size.run(check), strict=True))
    unsupported = {key: reason for key, reason in reasons.items() if reason}
    return [item.without(unsupported) for item in chunk.items]


def _for_each(items: Sequence[QuestionItem], batch_size: BatchSize, work: _Work[_T]) -> dict[int, _T | LVLMError]:
    """Results of `work` by the questions' numbers; a question that fails does not take its batch along."""
    results = dict[int, _T | LVLMError]()

    def left() -> list[QuestionItem]:
        # results from before memory ran out are kept
        return [item for item in items if not item.reason and item.number not in results]

    try:
        batch_size.run(lambda size: work(left(), results, size))
    except (ConversationError, ImageError):
        for item in left():
            try:
                batch_size.run(partial(work, [item], results))
            except (ConversationError, ImageError) as error:
                results[item.number] = error
    return results
