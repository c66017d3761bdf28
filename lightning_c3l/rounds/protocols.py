"""What the callbacks ask of the datamodule and of the module, so that they need neither class."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from lightning_c3l.records import Group, RejectedImage, ScoredCandidate
from lightning_c3l.rounds.engine import RecordMaker
from lightning_c3l.rounds.generation import Read
from lightning_c3l.rounds.truth import Truth


class ImageSource(Protocol):
    """A set of images that can be listed and read."""

    @property
    def root(self) -> Path | None:
        """Folder that the keys are relative to, None where the pictures are no files of their own."""

    def keys(self) -> Sequence[str]:
        """All keys, each once, always in the same order."""

    def read(self, key: str) -> Image.Image:
        """The RGB image.

        Raises:
            UnreadableImage: with the reason.
        """


@runtime_checkable
class RoundData(Protocol):
    """A datamodule that holds images and takes over a round's pseudo-labels."""

    truth: Truth | None
    rejected: list[RejectedImage]
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
