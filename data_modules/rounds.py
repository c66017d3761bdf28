"""The datamodule of the rounds: images in, and batches of the current round's groups, reweighted by S(I2C)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch.utils.data import Dataset

from data_modules.images.given import ImagesLike, given_images
from data_modules.images.scanning import scan_shared, write_rejected
from data_modules.images.sources import open_images, require_images
from data_modules.loading.resumable import ResumableDataModule, ResumableLoader
from data_modules.loading.samplers import draw_by_weight
from data_modules.scenes import is_scenes, parse_scenes
from lightning_c3l.distributed import collectives
from lightning_c3l.functional.random_streams import combined_seed
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.records import Group, RejectedImage
from lightning_c3l.rounds.group_rows import GroupRows
from lightning_c3l.rounds.protocols import ImageSource
from lightning_c3l.rounds.truth import Truth

if TYPE_CHECKING:
    # a text is the name of a source
    Images = str | ImagesLike
else:
    # the command line has texts alone, and would offer to build the rest from class paths
    Images = str


@dataclass(frozen=True)
class RoundLoading:
    """How the images and groups of rounds are read; options of `RoundDataModule`.

    Attributes:
        limit: maximum number of images of each source; null takes all of them.
        batch_size: groups per batch in each process.
        passes: how often an epoch goes over the round's groups.
        num_workers: processes that prepare batches.
        longest_side: longest side of an image, in pixels; larger images are shrunk when they are read.
    """

    limit: int | None = None
    batch_size: int = 8
    passes: float = 1.0
    num_workers: int = 0
    longest_side: int | None = None


class RoundDataModule(ResumableDataModule):
    """Images for the rounds, and batches of groups for training.

    Args:
        images: unlabelled images of the rounds: a folder, a glob, a list, COCO annotations, WebDataset shards, Parquet,
            a saved Hugging Face data set, `module.attribute:rest` of your own (docs/extending/source.md), or scenes of
            an embedded world (`scenes:world=park,count=400,follow=0.2,seed=1,hide=true`). From Python also the images
            themselves: a list of Pillow's, of arrays or of paths, or an image source (`given_images`).
        fresh: images of the final data set; those of the rounds unless given.
        held_out: images on which the writers are compared; null leaves the comparison out.
        truth: judge that says which pairs are true, where that is known; `SceneTruth` for the embedded worlds.
        loading: fields of `RoundLoading`.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        images: Images,
        fresh: Images | None = None,
        held_out: Images | None = None,
        truth: Truth | None = None,
        **loading: Any,
    ) -> None:
        options = RoundLoading(**loading)
        super().__init__(options.batch_size, options.num_workers)
        first = _spec(images, options.longest_side)
        self._specs: dict[str, str | ImageSource | None] = {
            "images": first,
            "fresh": first if fresh is None else _spec(fresh, options.longest_side),
            "held_out": _spec(held_out, options.longest_side),
        }
        self.truth, self.limit, self.longest_side, self.passes = (
            truth,
            options.limit,
            options.longest_side,
            options.passes,
        )
        self.rejected: list[RejectedImage] = []
        self._sources: dict[str, tuple[ImageSource, list[str]]] = {}
        self._digests: dict[str, dict[str, str]] = {}
        self._groups: Sequence[Group] = ()
        self._descriptions: dict[str, str] = {}
        self._round = -1

    @property
    def round(self) -> int:
        """Number of the round that is trained on; -1 before the first."""
        return self._round

    def source(self, name: str) -> tuple[ImageSource, list[str]] | None:
        """A source (`images`, `fresh`, `held_out`) and its readable keys; None if it was not given.

        Raises:
            ValueError: no image of the source can be read.
        """
        spec = self._specs[name]
        if spec is None:
            return None
        if name not in self._sources:
            same = next((n for n, s in self._specs.items() if s == spec and n in self._sources), None)
            self._sources[name] = self._sources[same] if same else self._open(name, spec)
            self._digests[name] = self._digests[same or name]
        return self._sources[name]

    def digests(self, name: str) -> dict[str, str]:
        """Digest of each readable image of a source, in their order; empty if the source was not given."""
        self.source(name)
        return self._digests.get(name, {})

    def _open(self, name: str, spec: str | ImageSource) -> tuple[ImageSource, list[str]]:
        folder = Path(self.trainer.default_root_dir if self.trainer is not None else ".")
        if not isinstance(spec, str):
            source, spec = spec, "the images given"
        elif is_scenes(spec):
            source = parse_scenes(spec)
        else:
            source = files = open_images(spec, folder / "unpacked" / name, self.limit, self.longest_side)
            if files.passed_over:
                rank_zero_info(f"{spec}: not counted as images: {files.passed_over}; convert what are images to PNG")
        digests = self._digests[name] = {}
        keys, rejected = scan_shared(source, list(source.keys())[: self.limit], digests)
        if rejected:
            self.rejected = [*self.rejected, *rejected]
            path = folder / "rejected.jsonl"
            if collectives.rank() == 0:
                write_rejected(path, self.rejected)
            rank_zero_info(f"{len(rejected)} of {len(rejected) + len(keys)} images left out, listed in {path}")
        if not keys:
            raise ValueError(f"{spec}: none of its {len(rejected)} images can be read")
        return source, keys

    def set_round(self, number: int, groups: Sequence[Group], descriptions: dict[str, str]) -> None:
        """Take over a round's pseudo-labels; the next epoch draws from them by their sampling weights.

        Args:
            number: number of the round, from 0.
            groups: what is trained on.
            descriptions: the model's own description of each image, for `anchor: description`.

        Raises:
            ValueError: the round has no group to train on.
        """
        if not groups:
            raise ValueError(
                f"round {number} has no group to train on: no generated text could be parsed; look at its rejected "
                "texts"
            )
        self._round, self._groups, self._descriptions = number, groups, descriptions

    def train_dataloader(self) -> ResumableLoader:
        """Batches of the current round's groups, encoded by the function that the module has handed over."""
        if self.trainer is None or not self._groups:
            raise RuntimeError("there is no round yet: the callback I2CReweighting makes one before training")
        found = self.source("images")
        assert found is not None  # images has no default
        groups, number, seed = self._groups, self._round, self._seed
        # no group of a stored round is read for its weight
        weights = (
            groups.sampling_weights
            if isinstance(groups, GroupRows)
            else np.array([one.sampling_weight for one in groups])
        )

        def order(epoch: int) -> NDArray[np.int64]:
            # rounds and epochs of one seed must not draw alike
            return draw_by_weight(weights, combined_seed(seed, number, epoch), self.passes)

        return self.resumable_loader(GroupDataset(found[0], self._groups, self._descriptions), order, self.collate())

    def predict_dataloader(self) -> "OneBatch":
        """All image keys as one batch, for `predict`: the module shares them out among the processes."""
        found = self.source("images")
        assert found is not None  # images has no default
        return OneBatch(found[1])


def _spec(images: Images | None, longest_side: int | None) -> str | ImageSource | None:
    """The name of a source, or the source of the images given."""
    return images if images is None or isinstance(images, str) else given_images(images, longest_side).source


def require_source(spec: str) -> None:
    """Refuse a source that does not exist, without reading any of its images.

    Raises:
        ValueError: names what is missing.
    """
    if is_scenes(spec):
        parse_scenes(spec)
    else:
        require_images(spec)


class OneBatch:
    """A loader with a single batch and without a sampler that Lightning could replace: every process gets all of it."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = list(keys)

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[list[str]]:
        yield self.keys


class GroupDataset(Dataset[GroupSample]):
    """The groups of a round as training samples; images are read on access."""

    def __init__(self, source: ImageSource, groups: Sequence[Group], descriptions: dict[str, str]) -> None:
        self.source, self.groups, self.descriptions = source, groups, descriptions

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> GroupSample:
        group = self.groups[index]
        best = group.positive.candidate
        return GroupSample(
            image=self.source.read(group.image),
            instruction=best.instruction.text,
            texts=(best.text, *(one.candidate.text for one in group.negatives)),
            question=best.question,
            answer=best.answer,
            description=self.descriptions.get(group.image, ""),
            weight=group.weight,
        )
