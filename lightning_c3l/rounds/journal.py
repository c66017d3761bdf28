"""What is finished about a set of images: rows go to the row file at once, and are read back on resuming."""

from collections import UserDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TypeVar

from lightning_c3l.functional.finite import jsonable
from lightning_c3l.records import Scores
from lightning_c3l.rounds.generation import Completions
from lightning_c3l.rounds.scoring import Known, TurnScore
from lightning_c3l.runs.row_files import Row

_K = TypeVar("_K")
_V = TypeVar("_V")


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

    Attributes:
        completions: texts by image key and index of the instruction, and unsupported images with the reason.
        descriptions: the model's own description of each image.
        scores: of the distinct question-answer pairs of each image.

    Args:
        append: called with each new row at once, to keep it.
    """

    def __init__(self, append: Callable[[Row], object] = lambda _: None) -> None:
        self._texts = WriteThroughDict[tuple[str, int], list[str]](
            lambda key, texts: append({"image": key[0], "prompt": key[1], "texts": texts})
        )
        self._refused = WriteThroughDict[str, str](lambda key, reason: append({"image": key, "refused": reason}))
        self.completions = Completions(self._texts, self._refused)
        self.descriptions = WriteThroughDict[str, str](lambda key, text: append({"image": key, "description": text}))
        self._scores = WriteThroughDict[tuple[str, ...], list[TurnScore]](
            lambda images, scores: append({"image": images[0], "scores": [jsonable(asdict(one)) for one in scores]})
        )
        self.scores: Known = self._scores

    def read(self, rows: Iterable[Row]) -> None:
        """Add what rows say; they are not appended again."""
        for row in rows:
            image = row["image"]
            if "texts" in row:
                self._texts.data[image, row["prompt"]] = row["texts"]
            elif "scores" in row:
                self._scores.data[(image,)] = [
                    TurnScore(one["scores"] and Scores(**one["scores"]), one["shuffled"], one["reason"])
                    for one in row["scores"]
                ]
            elif "refused" in row:
                self._refused.data[image] = row["refused"]
            elif "description" in row:
                self.descriptions.data[image] = row["description"]

    def is_whole(self, instructions: Mapping[str, int], describes: bool) -> bool:
        """Whether these images are finished, given the number of instructions of each."""
        return all(
            self.is_generated(key, count, describes) and (key in self.completions.refused or (key,) in self.scores)
            for key, count in instructions.items()
        )

    def is_generated(self, key: str, instructions: int, describes: bool) -> bool:
        """Whether all texts about an image are there, given the number of its instructions."""
        if key in self.completions.refused:
            return True
        return not self.completions.lacks(key, instructions) and (key in self.descriptions or not describes)
