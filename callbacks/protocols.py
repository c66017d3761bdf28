"""What the callbacks ask of the datamodule and of the module, so that they need neither class."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from data_modules.images import ImageSource, Rejected
from data_modules.truth import Truth
from lightning_c3l.gathering import RecordMaker
from lightning_c3l.generation import Read
from lightning_c3l.records import Group, ScoredCandidate


@runtime_checkable
class RoundData(Protocol):
    """A datamodule that holds images and takes over a round's pseudo-labels."""

    truth: Truth | None
    rejected: list[Rejected]
    longest_side: int | None

    def source(self, name: str) -> tuple[ImageSource, list[str]] | None:
        """A source of images and its readable keys."""

    def digests(self, name: str) -> dict[str, str]:
        """Digest of each readable image of a source."""

    def set_round(self, number: int, groups: Sequence[Group], descriptions: dict[str, str]) -> None:
        """Train on these groups from the next epoch on."""


@runtime_checkable
class Writer(RecordMaker, Protocol):
    """A module that makes the records of rounds and of the final data set."""

    seed: int
    loss: Any

    def outside_steps(self) -> AbstractContextManager[None]:
        """What writing and scoring need that Lightning's steps have."""

    def final_records(
        self,
        folder: str,
        keys: Sequence[str],
        read: Read,
        stream: int,
        digests: Mapping[str, str] | None = None,
        **more: Any,
    ) -> list[ScoredCandidate]:
        """What the model writes now about the images of a data set."""


def is_round_run(module: Any, data: Any) -> bool:
    """Whether a run goes through rounds; the callbacks leave plain instruction tuning alone."""
    return isinstance(module, Writer) and isinstance(data, RoundData)
