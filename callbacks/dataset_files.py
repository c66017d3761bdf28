"""The files of a data set, written in one pass over its candidates, of which none is held."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from data_modules.formats import llava_json, parquet_table
from data_modules.images.sources import EncodedImages
from lightning_c3l.records import ScoredCandidate, VLITRecord
from lightning_c3l.rounds.figures import Judge, verdict
from lightning_c3l.rounds.protocols import ImageSource
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.runs.atomic import atomic_path
from lightning_c3l.selection.candidates import CandidateSelection
from lightning_c3l.selection.columns import Mask


@dataclass
class VerdictCounts:
    """Verdicts of the candidates under some masks.

    Attributes:
        masks: of N candidates, by name.
    """

    masks: Mapping[str, Mask]
    _right: Counter[str] = field(default_factory=Counter)
    _judged: Counter[str] = field(default_factory=Counter)

    def add(self, position: int, one: ScoredCandidate) -> None:
        """Count the candidate at a position."""
        if one.verdict is not None:
            names = [name for name, mask in self.masks.items() if mask[position]]
            self._judged.update(names)
            self._right.update(names if one.verdict == "right" else ())

    def rates(self) -> dict[str, float | None]:
        """Share of right candidates among the judged ones under each mask; None if none was judged."""
        judged = self._judged
        return {name: self._right[name] / judged[name] if judged[name] else None for name in self.masks}


@dataclass
class DroppedSentences:
    """Counts the sentences that the image does not support.

    Attributes:
        chosen: which of N candidates are exported.
    """

    chosen: Mask
    _counts: Counter[str] = field(default_factory=Counter)

    def counted(self, candidates: Iterable[ScoredCandidate]) -> Iterator[ScoredCandidate]:
        """Yield the candidates as they are."""
        for position, one in enumerate(candidates):
            if one.dropped:
                self._counts["all"] += len(one.dropped)
                self._counts["answers lost"] += one.scores is None
                if self.chosen[position]:
                    self._counts["of pairs"] += len(one.dropped)
                    self._counts["pairs"] += 1
            yield one

    def figures(self) -> dict[str, int]:
        """Sentences dropped from all candidates and from the exported pairs, and the pairs and answers concerned."""
        names = {"all": "sentences_dropped", "answers lost": "answers_without_sentence"}
        names |= {"of pairs": "sentences_dropped_from_pairs", "pairs": "pairs_shortened"}
        return {name: self._counts[key] for key, name in names.items()}


class ImagesOfSet:
    """The images of a data set; those that are not files of their own are written below the run folder.

    Args:
        folder: of the run.
        source: of the images.

    Attributes:
        root: folder that the image paths of the set are relative to.
    """

    def __init__(self, folder: Path, source: ImageSource) -> None:
        self._folder, self._source, self._last = folder / "images", source, ""
        # the working folder may be another one when the data set is read
        self.root = os.path.abspath(self._folder if source.root is None else source.root)

    def add(self, key: str) -> None:
        """Write the image of a pair; those of pairs about the same image in turn are written once."""
        if self._source.root is not None or key == self._last:
            return
        self._last = key
        with atomic_path(self._folder / key) as path:
            if not isinstance(self._source, EncodedImages):
                self._source.read(key).save(path)
            # the file itself, not an image that was decoded, perhaps shrunk, and encoded again
            elif isinstance(file := self._source.raw(key), Path):
                shutil.copyfile(file, path)
            else:
                path.write_bytes(file)


@contextmanager
def open_set(
    files: Iterable[Path], images: ImagesOfSet, made_by: Mapping[str, Any]
) -> Iterator[Callable[[ScoredCandidate], None]]:
    """Open the files of a data set; they are there, whole, when the block ends well.

    Args:
        files: `.json` in LLaVA's format, with `<stem>.meta.json` beside it, or `.parquet` as a flat table.
        images: those of the set.
        made_by: end of each record's provenance.

    Yields:
        Writes a pair to all files, and its image. It raises ValueError for a pair without scores.
    """
    numbers = count()
    with ExitStack() as opened:
        writers = [
            opened.enter_context(parquet_table(file) if file.suffix == ".parquet" else llava_json(file, images.root))
            for file in files
        ]

        def write(one: ScoredCandidate) -> None:
            record = VLITRecord.of(next(numbers), one, _provenance(one, made_by))
            for write_to in writers:
                write_to(record)
            images.add(record.image)

        yield write


def write_set(
    store: RunStore,
    candidates: Iterable[ScoredCandidate],
    images: ImagesOfSet,
    made_by: Mapping[str, Any],
    verdicts: VerdictCounts,
) -> None:
    """Write `vlit.json`, `vlit.parquet`, the images and `vlit-candidates.jsonl`.

    Args:
        store: the run folder.
        candidates: all of them, with their status (see `labelled`); those that are kept become records.
        images: those of the set.
        made_by: end of each record's provenance.
        verdicts: counts those of the candidates.
    """
    with open_set([store.folder / "vlit.json", store.folder / "vlit.parquet"], images, made_by) as write:

        def written() -> Iterator[ScoredCandidate]:
            for position, one in enumerate(candidates):
                if one.status == "kept":
                    write(one)
                verdicts.add(position, one)
                yield one

        store.write_candidates("vlit-candidates", written())


def labelled(
    candidates: Iterable[ScoredCandidate], selected: CandidateSelection, judge: Judge | None
) -> Iterator[ScoredCandidate]:
    """Yield the candidates with what became of them, and with the judge's verdicts.

    Args:
        candidates: those that were selected from.
        selected: the selection.
        judge: of the truth, where the world is known.
    """
    chosen, duplicates = selected.chosen, selected.duplicates
    for position, one in enumerate(candidates):
        if chosen[position]:
            status = "kept"
        elif duplicates[position]:
            status = "duplicate"
        else:
            status = "rejected" if one.scores is None else "left out"
        truth = one.verdict if judge is None else verdict(one.candidate, judge)
        yield replace(one, status=status, verdict=truth)


def _provenance(one: ScoredCandidate, made_by: Mapping[str, Any]) -> dict[str, Any]:
    candidate = one.candidate
    lost = {"dropped": len(one.dropped), "dropped_sentences": list(one.dropped)} if one.dropped else {}
    return {"round": "final", "prompt": candidate.instruction.text, "sample": candidate.sample, **made_by, **lost}
