"""The run folder: candidates, scores and pseudo-labels of each round, and the summary that the report is made from."""

import json
import shutil
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_c3l.functional.finite import jsonable
from lightning_c3l.records import Group, Pooling, ScoredCandidate
from lightning_c3l.rounds.candidate_rows import CandidateRows, JoinedRows, write_candidate_rows, write_rows
from lightning_c3l.rounds.group_rows import GroupRows, rows_of
from lightning_c3l.runs import manifest
from lightning_c3l.runs.atomic import write_json_atomic
from lightning_c3l.runs.digests import file_digest

_CANDIDATES, _GROUPS, _DESCRIPTIONS = "candidates-00000.jsonl", "groups-00000.jsonl", "descriptions.json"
# where a round has further answers
_ANSWERS = "answers-00000.jsonl"


@dataclass(frozen=True)
class Round:
    """What a round left: every candidate with its status, and the groups that training used.

    Attributes:
        candidates: all of them, in writing order.
        groups: the pseudo-labels.
        descriptions: the model's own description of each image, where an anchor needs it.
        figures: what the rounds table shows.
        answers: further answers to the questions of positives, with their status; negatives of the groups as well.
    """

    candidates: Sequence[ScoredCandidate]
    groups: Sequence[Group]
    descriptions: dict[str, str]
    figures: dict[str, Any]
    answers: Sequence[ScoredCandidate] = ()


class DamagedRound(ValueError):
    """A finished round that is missing or whose files have changed."""


class RunStore:
    """Reads and writes one run folder; every file is whole or absent."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def round_folder(self, number: int) -> Path:
        """Where a round's files lie."""
        return self.folder / "rounds" / str(number)

    def rounds(self) -> list[int]:
        """Numbers of the complete rounds, those with a `round.json`."""
        names = (file.parent.name for file in self.folder.glob("rounds/*/round.json"))
        return sorted(int(name) for name in names if name.isdecimal())

    def begin_round(self, number: int, candidates: Iterable[ScoredCandidate]) -> CandidateRows:
        """Write the candidates of a round as they come, before `write_round` is called with the result.

        A complete round of the same number is replaced.
        """
        folder = self.round_folder(number)
        (folder / "round.json").unlink(missing_ok=True)
        (folder / _ANSWERS).unlink(missing_ok=True)
        return write_candidate_rows(folder / _CANDIDATES, candidates)

    def write_answers(self, number: int, answers: Iterable[ScoredCandidate]) -> CandidateRows:
        """Write the further answers of a round as they come, after its candidates."""
        return write_candidate_rows(self.round_folder(number) / _ANSWERS, answers)

    def has_answers(self, number: int) -> bool:
        """Whether a round has further answers."""
        return (self.round_folder(number) / _ANSWERS).is_file()

    def write_round(self, number: int, done: Round) -> None:
        """Write a round, replacing one of the same number, and remove the rows that it was merged from.

        `round.json` is written last: a round without it is not complete. The manifest holds the digests of the files.
        """
        folder, candidates = self.round_folder(number), done.candidates
        (folder / "round.json").unlink(missing_ok=True)
        if not (isinstance(candidates, CandidateRows) and candidates.file == folder / _CANDIDATES):
            candidates = self.begin_round(number, candidates)
        if done.answers and not isinstance(done.answers, CandidateRows):
            self.write_answers(number, done.answers)
        write_rows(folder / _GROUPS, rows_of(done.groups, JoinedRows(candidates, done.answers)))
        write_json_atomic(folder / _DESCRIPTIONS, done.descriptions)
        file = folder / "manifest.json"
        before = manifest.read(file) if file.is_file() else {}
        counts = {"candidates": len(candidates), "groups": len(done.groups)}
        files = [_CANDIDATES, _GROUPS, _DESCRIPTIONS, *([_ANSWERS] if self.has_answers(number) else [])]
        digests = {name: file_digest(folder / name) for name in files}
        write_json_atomic(file, {**before, "counts": counts, "files": digests})
        write_json_atomic(folder / "round.json", jsonable(done.figures))
        shutil.rmtree(folder / "parts", ignore_errors=True)

    def forget(self, number: int) -> None:
        """Remove a round."""
        folder = self.round_folder(number)
        # first, so that an interrupted removal leaves no round
        (folder / "round.json").unlink(missing_ok=True)
        if folder.is_dir():
            shutil.rmtree(folder)

    def read_round(self, number: int) -> Round:
        """Read a round as it was passed to `write_round`.

        Raises:
            DamagedRound: if the round is not there, or a file is not what was written.
        """
        folder = self.round_folder(number)
        if number not in self.rounds():
            raise DamagedRound(f"{folder}: no finished round here")
        try:
            digests = manifest.read(folder / "manifest.json").get("files", {})
        except ValueError as error:
            raise DamagedRound(str(error)) from error
        for name, digest in digests.items():
            if not (folder / name).is_file() or file_digest(folder / name) != digest:
                raise DamagedRound(f"{folder / name}: is not what was written (its digest differs)")
        candidates = CandidateRows(folder / _CANDIDATES)
        answers = CandidateRows(folder / _ANSWERS) if self.has_answers(number) else ()
        groups = GroupRows.read(folder / _GROUPS, JoinedRows(candidates, answers) if answers else candidates)
        descriptions = json.loads((folder / _DESCRIPTIONS).read_text(encoding="utf-8"))
        return Round(candidates, groups, descriptions, self.read_figures(number), answers)

    def read_figures(self, number: int) -> dict[str, Any]:
        """Figures of a round, for the rounds table.

        Raises:
            DamagedRound: if the file is not what was written; names it.
        """
        file = self.round_folder(number) / "round.json"
        try:
            return manifest.read(file)
        except ValueError as error:  # it has no digest, since the time of training is added to it
            raise DamagedRound(str(error)) from error

    def reading(self, number: int) -> str:
        """The reading of S(I2C) that chose the pseudo-labels of a round."""
        return str(manifest.read(self.round_folder(number) / "manifest.json")["thresholds"]["reading"])

    def pooling(self, number: int) -> Pooling:
        """How the values of tokens became those of the answers of a round."""
        found: Pooling = manifest.read(self.round_folder(number) / "manifest.json").get("pooling", "mean")
        return found

    def add_seconds(self, number: int, stage: str, seconds: float) -> None:
        """Add time to a stage of a finished round."""
        figures = self.read_figures(number)
        spent = figures.setdefault("seconds", {})
        spent[stage] = round(spent.get(stage, 0.0) + seconds, 3)
        write_json_atomic(self.round_folder(number) / "round.json", figures)

    def write_candidates(self, name: str, candidates: Iterable[ScoredCandidate]) -> CandidateRows:
        """Write candidates that belong to no round, such as those of the final data set, to `<name>.jsonl`."""
        return write_candidate_rows(self.folder / f"{name}.jsonl", candidates)

    def read_candidates(self, name: str) -> Sequence[ScoredCandidate]:
        """What `write_candidates` wrote under this name; empty where there is no such file.

        Raises:
            ValueError, LookupError, TypeError: a row is damaged.
        """
        file = self.folder / f"{name}.jsonl"
        if not file.is_file():
            return ()
        rows = CandidateRows(file)
        for _ in rows:  # it has no digest
            pass
        return rows

    def summary(self) -> dict[str, Any]:
        """The run's summary so far; a damaged file is renamed and started anew, since its parts can be made again."""
        file = self.folder / "summary.json"
        try:
            return manifest.read(file) if file.is_file() else {}
        except ValueError as error:
            aside = file.replace(file.with_name("summary.json.damaged"))
            warnings.warn(f"{error}; it is kept as {aside} and written again", stacklevel=2)
            return {}

    def update_summary(self, **parts: Any) -> None:
        """Replace these parts of summary.json; non-finite numbers become null."""
        write_json_atomic(self.folder / "summary.json", {**self.summary(), **jsonable(parts)})

    def note_images(self, name: str, digests: Mapping[str, str]) -> None:
        """Put down in summary.json what was measured on, so that runs can be compared image by image.

        Args:
            name: of the measurement.
            digests: digest of each image by its key.
        """
        self.update_summary(images={**self.summary().get("images", {}), name: dict(digests)})
