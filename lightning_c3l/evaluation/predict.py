"""An LVLM is asked a benchmark's questions: its texts, and how likely it finds each option."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from PIL.Image import Image

from lightning_c3l.lvlm.base import (
    LVLM,
    AnswerScorer,
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
# makes something of questions, so many at once, and puts it in by their numbers
_Work = Callable[[Sequence[QuestionItem], int, dict[int, _T | LVLMError]], None]
# the picture of a key; a question without one has none
_Look = Callable[[str], Image | None]
# a float32 is known to so many places; more would only make files of the same run differ
_PLACES = 6


@dataclass(frozen=True)
class Asking:
    """What is asked for.

    Attributes:
        max_new_tokens: longest text, in tokens.
        text: let it write an answer, its likeliest.
        losses: measure how likely it finds each option.
    """

    max_new_tokens: int = 64
    text: bool = True
    losses: bool = False

    def __post_init__(self) -> None:
        """Refuse to ask for nothing."""
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")
        if not self.text and not self.losses:
            raise ValueError("text and losses are both false: nothing would be asked")


def ask_chunk(lvlm: InferenceLVLM, chunk: QuestionChunk, asking: Asking, size: BatchSize) -> list[Row]:
    """A row for each question: its number, `text` and `losses` as asked for, or the `problem` that prevents them.

    In float32 the rows do not depend on the neighbours or on the batch size (losses to 1e-5).

    Args:
        lvlm: who is asked.
        chunk: questions with their pictures.
        asking: what is asked for.
        size: questions at once.
    """
    with lvlm.cache_image_features():
        items = _without_refused(lvlm, chunk, size)
        look = chunk.pictures.get
        texts = _each(items, size, partial(_write, lvlm, look, asking.max_new_tokens)) if asking.text else {}
        losses = _each(items, size, partial(_measure, lvlm, look)) if asking.losses else {}
    return [_row(item, texts.get(item.number), losses.get(item.number)) for item in items]


def _row(item: QuestionItem, text: str | LVLMError | None, losses: list[float] | LVLMError | None) -> Row:
    row: Row = {"record": item.number}
    for failed in (text, losses):
        if item.reason or isinstance(failed, LVLMError):
            return {**row, "problem": item.reason or " ".join(str(failed).split())}
    if isinstance(losses, list):
        if not all(map(math.isfinite, losses)):
            return {**row, "problem": "the likelihood of an option is no finite number (an option without a token?)"}
        row["losses"] = [round(one, _PLACES) for one in losses]
    return row if text is None else {**row, "text": text}


def _without_refused(lvlm: LVLM, chunk: QuestionChunk, size: BatchSize) -> list[QuestionItem]:
    """The questions, those about a picture that the LVLM cannot take marked so."""
    keys = list(dict.fromkeys(item.image for item in chunk.items if item.image in chunk.pictures))

    def ask(batch_size: int) -> list[str]:
        batches = (keys[start : start + batch_size] for start in range(0, len(keys), batch_size))
        return [
            reason
            for batch in batches
            for reason in lvlm.unsupported_images([chunk.pictures[str(key)] for key in batch])
        ]

    reasons = size.run(ask)
    refused = {str(key): reason for key, reason in zip(keys, reasons, strict=True) if reason}
    return [item.without(refused) for item in chunk.items]


def _each(items: Sequence[QuestionItem], size: BatchSize, work: _Work[_T]) -> dict[int, _T | LVLMError]:
    """What `work` makes of each question that can be asked; where one cannot be read, the others do not go with it."""
    made = dict[int, _T | LVLMError]()

    def todo() -> list[QuestionItem]:
        # what was made before memory ran out stays
        return [item for item in items if not item.reason and item.number not in made]

    try:
        size.run(lambda batch_size: work(todo(), batch_size, made))
    except (ConversationError, ImageError):
        for item in todo():
            try:
                size.run(partial(_alone, work, item, made))
            except (ConversationError, ImageError) as error:
                made[item.number] = error
    return made


def _alone(work: _Work[_T], item: QuestionItem, made: dict[int, _T | LVLMError], batch_size: int) -> None:
    work([item], batch_size, made)


def _write(
    lvlm: TextGenerator, look: _Look, longest: int, items: Sequence[QuestionItem], batch_size: int, made: dict[int, Any]
) -> None:
    """The likeliest text to each question."""

    def keep(place: int, texts: list[str]) -> None:
        made[items[place].number] = texts[0]

    requests = [GenerationRequest(item.prompt, look(str(item.image))) for item in items]
    lvlm.generate(requests, Sampling(1, longest, 0.0), batch_size, finished=keep)


def _measure(
    lvlm: AnswerScorer, look: _Look, items: Sequence[QuestionItem], batch_size: int, made: dict[int, Any]
) -> None:
    """How unlikely each option is as an answer to each question."""
    for start in range(0, len(items), batch_size):
        batch = items[start : start + batch_size]
        pictures = [look(str(item.image)) for item in batch]
        chats = [[exchange(item.question, option) for option in item.options] for item in batch]
        found = lvlm.mean_nll([() if one is None else (one,) for one in pictures], chats)
        made |= {item.number: losses for item, losses in zip(batch, found, strict=True)}
