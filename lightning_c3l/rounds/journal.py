"""What is finished about a set of images: rows go to the row file at once, and are read back where they are needed."""

from collections import UserDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.functional.finite import jsonable
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.rounds.generation import Completions
from lightning_c3l.rounds.scoring import Known
from lightning_c3l.rounds.turn_scores import TurnScore
from lightning_c3l.runs.row_files import Row, RowFiles
from lightning_c3l.runs.row_index import RowIndex

_K = TypeVar("_K")
_V = TypeVar("_V")
# items of an image before its texts
_REFUSED, _DESCRIPTION, _SCORES, _ANSWERS, _TEXTS = range(5)


class WriteThroughDict(UserDict[_K, _V]):
    """Dict that passes each new or changed entry on, to be kept."""

    def __init__(self, keep: Callable[[_K, _V], object]) -> None:
        super().__init__()
        self._keep = keep

    def __setitem__(self, key: _K, item: _V) -> None:
        if key not in self.data or self.data[key] != item:
            self._keep(key, item)
            self.data[key] = item


class Journal:
    """Everything that is finished about a set of images, from the rows of all ranks.

    Of most images only the places of their rows are kept in memory; the rows themselves are held inside `holding`.

    Attributes:
        completions: texts by image key and index of the instruction, and unsupported images with the reason.
        descriptions: the model's own description of each image.
        scores: of the distinct question-answer pairs of each image.
        answers: further answers to questions about each image.

    Args:
        files: row files of all ranks.
        counts: number of instructions of each image, by its key.
        append: called with each new row at once, to keep it.
        describes: whether images have descriptions.
        answers: whether images have further answers.
    """

    def __init__(
        self,
        files: RowFiles,
        counts: dict[str, int],
        append: Callable[[Row], object] = lambda _: None,
        describes: bool = False,
        answers: bool = False,
    ) -> None:
        self._positions = {key: position for position, key in enumerate(counts)}
        self._counts, self._describes = np.fromiter(counts.values(), np.int64, len(counts)), describes
        self._answered = answers
        self._width = _TEXTS + max(counts.values(), default=0)
        # not a method of the journal, which would then be held until cycles are collected
        item = partial(_item, self._positions, self._counts, self._width)
        self._index = RowIndex(files, len(counts) * self._width, item)
        self._texts = WriteThroughDict[tuple[str, int], list[str]](
            lambda key, texts: append({"image": key[0], "prompt": key[1], "texts": texts})
        )
        self._refused = WriteThroughDict[str, str](lambda key, reason: append({"image": key, "refused": reason}))
        self.completions = Completions(self._texts, self._refused)
        self.descriptions = WriteThroughDict[str, str](lambda key, text: append({"image": key, "description": text}))
        self._scores = WriteThroughDict[tuple[str, ...], list[TurnScore]](
            lambda images, scores: append({"image": images[0], "scores": [jsonable(one.to_row()) for one in scores]})
        )
        self.scores: Known = self._scores
        self.answers = WriteThroughDict[str, list[ScoredCandidate]](
            lambda key, answers: append({"image": key, "answers": [jsonable(one.to_row()) for one in answers]})
        )

    def update(self, only: Path | None = None) -> None:
        """Find the rows that have been appended since the last time: those of all ranks, or of one file."""
        self._index.update(only)

    def generated(self) -> NDArray[np.bool_]:
        """Whether all texts about each image are there, `[N]`, as of the last update."""
        found = self._index.found.reshape(-1, self._width)
        surplus = np.arange(self._width - _TEXTS) >= self._counts[:, None]
        texts = (found[:, _TEXTS:] | surplus).all(axis=1)
        return found[:, _REFUSED] | (texts & (found[:, _DESCRIPTION] | (not self._describes)))

    def finished(self) -> NDArray[np.bool_]:
        """Whether nothing is missing about each image, `[N]`, as of the last update."""
        found = self._index.found.reshape(-1, self._width)
        answered = found[:, _ANSWERS] | (not self._answered)
        return self.generated() & (found[:, _REFUSED] | (found[:, _SCORES] & answered))

    @contextmanager
    def holding(self, keys: Sequence[str]) -> Iterator[None]:
        """Within this context, what is known about these images is held in memory, and what is added is kept."""
        self._read(row for key in keys for row in self._rows(key))
        try:
            yield
        finally:
            for held in (self._texts, self._refused, self.descriptions, self._scores, self.answers):
                held.data.clear()

    def all_descriptions(self) -> dict[str, str]:
        """Descriptions of all images."""
        return {key: row["description"] for key, row in self._rows_of_all(_DESCRIPTION)}

    def all_refused(self) -> dict[str, str]:
        """The reason why each unsupported image is left out."""
        return {key: row["refused"] for key, row in self._rows_of_all(_REFUSED)}

    def close(self) -> None:
        """Close the files."""
        self._index.close()

    def _rows(self, key: str) -> Iterator[Row]:
        first = self._positions[key] * self._width
        return self._index.rows(range(first, first + self._width))

    def _rows_of_all(self, item: int) -> Iterator[tuple[str, Row]]:
        has = self._index.found[item :: self._width]
        for key, position in self._positions.items():
            if has[position]:
                first = position * self._width + item
                yield from ((key, row) for row in self._index.rows(range(first, first + 1)))

    def _read(self, rows: Iterable[Row]) -> None:
        """Hold what rows say; they are not appended again."""
        for row in rows:
            image = row["image"]
            if "texts" in row:
                self._texts.data[image, row["prompt"]] = row["texts"]
            elif "scores" in row:
                self._scores.data[(image,)] = [TurnScore.from_row(one) for one in row["scores"]]
            elif "answers" in row:
                self.answers.data[image] = [ScoredCandidate.from_row(one) for one in row["answers"]]
            elif "refused" in row:
                self._refused.data[image] = row["refused"]
            elif "description" in row:
                self.descriptions.data[image] = row["description"]


def _item(positions: Mapping[str, int], counts: NDArray[np.int64], width: int, row: Row) -> int | None:
    """Number of the item that a row is about."""
    position = positions.get(row["image"])
    if position is None:
        return None
    first = position * width
    if "texts" in row:
        return first + _TEXTS + row["prompt"] if row["prompt"] < counts[position] else None
    kinds = {"scores": _SCORES, "answers": _ANSWERS, "refused": _REFUSED, "description": _DESCRIPTION}
    return next((first + item for name, item in kinds.items() if name in row), None)
