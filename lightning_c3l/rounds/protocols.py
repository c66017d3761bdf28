"""What rounds need of the datamodule and of the module, so that neither class has to be imported."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from PIL import Image

from lightning_c3l.lvlm.base import Anchor, RoundLVLM
from lightning_c3l.records import Group, RejectedImage
from lightning_c3l.rounds.generation import GenerationConfig
from lightning_c3l.rounds.truth import Truth


@runtime_checkable
class ImageSource(Protocol):
    """A set of images that can be listed and read."""

    @property
    def root(self) -> Path | None:
        """Folder that the keys are relative to, None if the images are not files of their own."""

    def keys(self) -> Sequence[str]:
        """All keys, each once, always in the same order."""

    def read(self, key: str) -> Image.Image:
        """The RGB image.

        Raises:
            UnreadableImage: with the reason.
        """


@runtime_checkable
class RoundData(Protocol):
    """A datamodule with images for the rounds, which trains on the pseudo-labels of the current round.

    Attributes:
        truth: judge of the candidates, if the world is known.
        rejected: images that could not be read.
        longest_side: larger images are shrunk to it, in pixels; None keeps their size.
    """

    truth: Truth | None
    rejected: list[RejectedImage]
    longest_side: int | None

    @property
    def round(self) -> int:
        """Number of the round that is trained on; -1 before the first."""

    def source(self, name: str) -> tuple[ImageSource, list[str]] | None:
        """A source of images (`images`, `fresh`, `held_out`) and its readable keys; None if it was not given."""

    def digests(self, name: str) -> dict[str, str]:
        """Digest by key of each readable image of a source; empty if it was not given."""

    def set_round(self, number: int, groups: Sequence[Group], descriptions: dict[str, str]) -> None:
        """Train on these groups from the next epoch on."""


class RoundLoss(Protocol):
    """What a round needs to know of the loss."""

    @property
    def anchor(self) -> Anchor:
        """What the anchor is pooled from; "description" needs a description of each image."""

    @property
    def contrasts(self) -> bool:
        """Whether negatives are trained on."""


@runtime_checkable
class RoundModule(Protocol):
    """A LightningModule whose LVLM makes the records of rounds and is trained on them.

    One with an attribute `generator`, an `ExternalGenerator` or None, has it generate in the place of the LVLM.
    """

    seed: int

    @property
    def lvlm(self) -> RoundLVLM:
        """Generates, scores and is trained."""

    @property
    def writing(self) -> GenerationConfig:
        """Options of generation."""

    @property
    def loss(self) -> RoundLoss:
        """The objective."""

    def inference_context(self) -> AbstractContextManager[None]:
        """What using the LVLM outside of training steps needs; all ranks enter it together."""
