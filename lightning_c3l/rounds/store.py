"""The run folder: what each round wrote, scored and chose, and the summary that the report is made from."""

import json
import re
import shutil
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_c3l.functional.finite import jsonable
from lightning_c3l.records import Group, ScoredCandidate
from lightning_c3l.runs import manifest
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic
from lightning_c3l.runs.digests import file_digest

_CANDIDATES, _GROUPS, _DESCRIPTIONS = "candidates-00000.jsonl", "groups-00000.jsonl", "descriptions.json"
_FILES = (_CANDIDATES, _GROUPS, _DESCRIPTIONS)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Round:
    """What a round left: every candidate with its status, and the groups that training used.

    Attributes:
        candidates: all of them, in writing order.
        groups: the pseudo-labels.
        descriptions: the model's own description of each image, where an anchor needs it.
        figures: what the rounds table shows.
    """

    candidates: Sequence[ScoredCandidate]
    groups: Sequence[Group]
    descriptions: dict[str, str]
    figures: dict[str, Any]


class DamagedRound(ValueError):
    """A finished round that is gone, or whose files are not what was written."""


class RunStore:
    """Reads and writes one run folder; every file is whole or absent."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def round_folder(self, number: int) -> Path:
        """Where a round's files lie."""
        return self.folder / "rounds" / str(number)

    def rounds(self) -> list[int]:
        """Numbers of the rounds that are whole: a round's figures are written last."""
        names = (file.parent.name for file in self.folder.glob("rounds/*/round.json"))
        return sorted(int(name) for name in names if name.isdecimal())

    def write_round(self, number: int, done: Round) -> None:
        """Keep a round; one of the same number is replaced.

        The rows that it was put together from go once it is whole. The manifest tells the digests of its files.
        """
        folder = self.round_folder(number)
        (folder / "round.json").unlink(missing_ok=True)
        places = {_identity(one): place for place, one in enumerate(done.candidates)}
        _write_lines(folder / _CANDIDATES, (one.to_row() for one in done.candidates))
        _write_lines(folder / _GROUPS, (_places(group, places) for group in done.groups))
        write_json_atomic(folder / _DESCRIPTIONS, done.descriptions)
        file = folder / "manifest.json"
        before = manifest.read(file) if file.is_file() else {}
        counts = {"candidates": len(done.candidates), "groups": len(done.groups)}
        digests = {name: file_digest(folder / name) for name in _FILES}
        write_json_atomic(file, {**before, "counts": counts, "files": digests})
        write_json_atomic(folder / "round.json", jsonable(done.figures))
        shutil.rmtree(folder / "parts", ignore_errors=True)

    def forget(self, number: int) -> None:
        """Take away all that there is of a round."""
        folder = self.round_folder(number)
        # a round without its figures is not whole: so an interrupted removal leaves none
        (folder / "round.json").unlink(missing_ok=True)
        if folder.is_dir():
            shutil.rmtree(folder)

    def read_round(self, number: int) -> Round:
        """A round as `write_round` got it.

        Raises:
            DamagedRound: if the round is not there, or a file is not what was written.
        """
        folder = self.round_folder(number)
        if number not in self.rounds():
            raise DamagedRound(f"{folder}: no finished round lies here")
        try:
            digests = manifest.read(folder / "manifest.json").get("files", {})
        except ValueError as error:
            raise DamagedRound(str(error)) from error
        for name, digest in digests.items():
            if not (folder / name).is_file() or file_digest(folder / name) != digest:
                raise DamagedRound(f"{folder / name}: is not what was written (its digest differs)")
        candidates = [ScoredCandidate.from_row(row) for row in _read_lines(folder / _CANDIDATES)]
        groups = [
            Group(
                positive=candidates[row["positive"]],
                negatives=tuple(candidates[place] for place in row["negatives"]),
                weight=row["weight"],
                sampling_weight=row["sampling_weight"],
            )
            for row in _read_lines(folder / _GROUPS)
        ]
        return Round(candidates, groups, _read_json(folder / _DESCRIPTIONS), self.read_figures(number))

    def read_figures(self, number: int) -> dict[str, Any]:
        """What the rounds table shows of a round.

        Raises:
            DamagedRound: the file is not what was written; names it.
        """
        file = self.round_folder(number) / "round.json"
        try:
            return manifest.read(file)
        except ValueError as error:  # it has no digest, for the time of training is put into it
            raise DamagedRound(str(error)) from error

    def add_seconds(self, number: int, stage: str, seconds: float) -> None:
        """Count time to a stage of a finished round."""
        figures = self.read_figures(number)
        spent = figures.setdefault("seconds", {})
        spent[stage] = round(spent.get(stage, 0.0) + seconds, 3)
        write_json_atomic(self.round_folder(number) / "round.json", figures)

    def write_candidates(self, name: str, candidates: Sequence[ScoredCandidate]) -> None:
        """Keep candidates that belong to no round, those of the final data set among them."""
        _write_lines(self.folder / f"{name}.jsonl", (one.to_row() for one in candidates))

    def summary(self) -> dict[str, Any]:
        """What is known of the run so far; a damaged file is put aside, since it is made of what can be made again."""
        file = self.folder / "summary.json"
        try:
            return manifest.read(file) if file.is_file() else {}
        except ValueError as error:
            aside = file.replace(file.with_name("summary.json.damaged"))
            warnings.warn(f"{error}; it is kept as {aside}, and written again", stacklevel=2)
            return {}

    def update_summary(self, **parts: Any) -> None:
        """Put figures into summary.json beside those that are there; numbers that are not finite become null."""
        write_json_atomic(self.folder / "summary.json", {**self.summary(), **jsonable(parts)})


def _places(group: Group, places: dict[tuple[str, str, str, int], int]) -> dict[str, Any]:
    return {
        "positive": places[_identity(group.positive)],
        "negatives": [places[_identity(one)] for one in group.negatives],
        "weight": group.weight,
        "sampling_weight": group.sampling_weight,
    }


def _identity(one: ScoredCandidate) -> tuple[str, str, str, int]:
    candidate = one.candidate
    return candidate.image, candidate.instruction.kind, candidate.instruction.text, candidate.sample


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(jsonable(row), ensure_ascii=False) + "\n" for row in rows)
    # file names that are no UTF-8 hold lone surrogates, which only JSON's own escapes can carry
    write_text_atomic(path, _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", lines))


def _read_lines(path: Path) -> list[dict[str, Any]]:
    # not splitlines(): a written text may hold U+2028, which JSON leaves as it is
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _read_json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
