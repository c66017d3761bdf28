"""What the callbacks ask of the datamodule and of the module, so that they need neither class."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from data_modules.images import ImageSource, Rejected
from data_modules.truth import Truth
from lightning_c3l.generation import Read, Writing
from lightning_c3l.module import Scorer
from lightning_c3l.records import Candidate, Group, ScoredCandidate


@runtime_checkable
class RoundData(Protocol):
    """A datamodule that holds images and takes over a round's pseudo-labels."""

    truth: Truth | None
    rejected: list[Rejected]

    def source(self, name: str) -> tuple[ImageSource, list[str]] | None:
        """A source of images and its readable keys."""

    def set_round(self, number: int, groups: Sequence[Group], descriptions: dict[str, str]) -> None:
        """Train on these groups from the next epoch on."""


@runtime_checkable
class Writer(Protocol):
    """A module that writes and scores candidates."""

    lvlm: Any
    writing: Writing
    seed: int

    def write(self, keys: Sequence[str], read: Read, seed: int, progress: str = "write") -> list[Candidate]:
        """Candidates of the model as it is now."""

    def score(
        self, candidates: Sequence[Candidate], read: Read, scorer: Scorer, seed: int, progress: str = "score"
    ) -> list[ScoredCandidate]:
        """Scores of candidates."""


def is_round_run(module: Any, data: Any) -> bool:
    """Whether a run goes through rounds; the callbacks leave plain instruction tuning alone."""
    return isinstance(module, Writer) and isinstance(data, RoundData)
