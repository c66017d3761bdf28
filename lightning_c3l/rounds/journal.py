"""What has been written and scored of a set of candidates: noted at once, and read back where a run goes on."""

import time
from collections import UserDict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from lightning_c3l.records import Scores
from lightning_c3l.rounds.generation import Written
from lightning_c3l.rounds.scoring import Known, TurnScore
from lightning_c3l.rounds.store import jsonable
from lightning_c3l.runs.row_files import PartFiles, Row

_K = TypeVar("_K")
_V = TypeVar("_V")


class Noted(UserDict[_K, _V]):
    """A mapping that tells of all that is put into it and was not there."""

    def __init__(self, note: Callable[[_K, _V], object]) -> None:
        super().__init__()
        self._note = note

    def __setitem__(self, key: _K, item: _V) -> None:
        if key not in self.data or self.data[key] != item:
            self._note(key, item)
            self.data[key] = item


class Journal:
    """The rows of all processes, as far as they have been read, and this one's own.

    Attributes:
        written: texts by image and number of the instruction, and images that cannot be looked at.
        descriptions: the model's own description of each image.
        scores: of the different pairs of each image.
        seconds: time that keeping the rows has taken.

    Args:
        parts: where the rows are.
        name: of this process's file.
    """

    def __init__(self, parts: PartFiles, name: str) -> None:
        self.parts, self.seconds = parts, 0.0
        self._own = parts.writer(name)
        self._texts = Noted[tuple[str, int], list[str]](
            lambda key, texts: self._append({"image": key[0], "prompt": key[1], "texts": texts})
        )
        self._refused = Noted[str, str](lambda key, reason: self._append({"image": key, "refused": reason}))
        self.written = Written(self._texts, self._refused)
        self.descriptions = Noted[str, str](lambda key, text: self._append({"image": key, "description": text}))
        self._scores = Noted[tuple[str, ...], list[TurnScore]](
            lambda images, scores: self._append({"image": images[0], "scores": [_row(one) for one in scores]})
        )
        self.scores: Known = self._scores

    def read(self) -> None:
        """Take over what all processes have noted so far."""
        for row in self.parts.unordered():
            image = row["image"]
            if "texts" in row:
                self._texts.data[image, row["prompt"]] = row["texts"]
            elif "scores" in row:
                self._scores.data[(image,)] = [_score(one) for one in row["scores"]]
            elif "refused" in row:
                self._refused.data[image] = row["refused"]
            elif "description" in row:
                self.descriptions.data[image] = row["description"]

    def is_whole(self, instructions: Mapping[str, int], describes: bool) -> bool:
        """Whether nothing is left to do about these images, each with the number of its instructions."""
        return all(
            key in self.written.refused
            or (
                not self.written.lacks(key, count)
                and (key,) in self.scores
                and (key in self.descriptions or not describes)
            )
            for key, count in instructions.items()
        )

    def sync(self) -> None:
        """Wait until the disk has all of it."""
        began = time.perf_counter()
        self._own.sync()
        self.seconds += time.perf_counter() - began

    def close(self) -> None:
        """Sync, and write no more."""
        self._own.close()

    def _append(self, row: Row) -> None:
        began = time.perf_counter()
        self._own.append([row])
        self.seconds += time.perf_counter() - began


def _row(found: TurnScore) -> Row:
    scores = None if found.scores is None else asdict(found.scores)
    row: Row = jsonable({"scores": scores, "shuffled": found.shuffled, "reason": found.reason})
    return row


def _score(row: dict[str, Any]) -> TurnScore:
    scores = None if row["scores"] is None else Scores(**row["scores"])
    return TurnScore(scores, row["shuffled"], row["reason"])
