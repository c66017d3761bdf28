"""The datamodule of the rounds: images in, and batches of the current round's groups, reweighted by S(I2C)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from PIL.Image import Image
from torch.utils.data import Dataset

from data_modules.images.sources import open_images, require_images, write_rejected
from data_modules.loading.round_loader import Place, ResumableLoader
from data_modules.loading.samplers import draw_by_weight
from data_modules.loading.sharing import scan_shared
from data_modules.scenes import is_scenes, parse_scenes
from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.records import Group, RejectedImage
from lightning_c3l.rounds.protocols import ImageSource
from lightning_c3l.rounds.truth import Truth


class RoundDataModule(LightningDataModule):
    """Images for the rounds, and batches of groups for training.

    Args:
        images: unlabelled images of the rounds: whatever `open_images` opens (a folder, a glob, a list, COCO
            annotations, WebDataset shards, Parquet, a saved Hugging Face data set), or scenes of the embedded world
            (`scenes:count=400,follow=0.2,seed=1,hide=true`).
        fresh: images of the final data set; those of the rounds unless given.
        held_out: images on which the writers are compared; null leaves the comparison out.
        truth: judge of the pairs, where the world is known.
        limit: at most so many images of each source.
        batch_size: groups a batch of each process.
        passes: how often an epoch goes over the round's groups.
        num_workers: processes that prepare batches.
        longest_side: pixels; larger photographs are shrunk to it when they are read.
    """

    def __init__(
        self,
        images: str,
        fresh: str | None = None,
        held_out: str | None = None,
        truth: Truth | None = None,
        limit: int | None = None,
        batch_size: int = 8,
        passes: float = 1.0,
        num_workers: int = 0,
        longest_side: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self._specs = {"images": images, "fresh": images if fresh is None else fresh, "held_out": held_out}
        self.truth, self.limit, self.longest_side = truth, limit, longest_side
        self.batch_size, self.passes, self.num_workers = batch_size, passes, num_workers
        self.rejected: list[RejectedImage] = []
        self._sources: dict[str, tuple[ImageSource, list[str]]] = {}
        self._digests: dict[str, dict[str, str]] = {}
        self._groups: list[Group] = []
        self._descriptions: dict[str, str] = {}
        self._round = -1
        self._place = Place()

    def source(self, name: str) -> tuple[ImageSource, list[str]] | None:
        """A source (`images`, `fresh`, `held_out`) and its readable keys; None where it was not given.

        Raises:
            ValueError: if no image of the source can be read.
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
        """Digest of each readable image of a source, in their order; none where the source was not given."""
        self.source(name)
        return self._digests.get(name, {})

    def _open(self, name: str, spec: str) -> tuple[ImageSource, list[str]]:
        if is_scenes(spec):
            source: ImageSource = parse_scenes(spec)
        else:
            source = open_images(spec, self._folder() / "unpacked" / name, self.limit, self.longest_side)
            if source.passed_over:
                rank_zero_info(
                    f"{spec}: passed over by the ending: {source.passed_over}; convert what are images to PNG"
                )
        digests = self._digests[name] = {}
        keys, rejected = scan_shared(source, list(source.keys())[: self.limit], digests)
        if rejected:
            self.rejected = [*self.rejected, *rejected]
            path = self._folder() / "rejected.jsonl"
            if collectives.is_first():
                write_rejected(path, self.rejected)
            rank_zero_info(f"{len(rejected)} of {len(rejected) + len(keys)} images left out, listed in {path}")
        if not keys:
            raise ValueError(f"{spec}: none of its {len(rejected)} images can be read")
        return source, keys

    def _folder(self) -> Path:
        return Path(self.trainer.default_root_dir if self.trainer is not None else ".")

    def set_round(self, number: int, groups: Sequence[Group], descriptions: dict[str, str]) -> None:
        """Take over a round's pseudo-labels; the next epoch draws from them by their sampling weights.

        Raises:
            ValueError: if the round has no group to train on.
        """
        if not groups:
            raise ValueError(
                f"round {number} has no group to train on: no written text could be parsed; look at its rejected texts"
            )
        self._round, self._groups, self._descriptions = number, list(groups), descriptions

    def train_dataloader(self) -> ResumableLoader:
        """Batches of the current round's groups, encoded by the module."""
        trainer = self.trainer
        if trainer is None or not self._groups:
            raise RuntimeError("there is no round yet: the callback I2CReweighting makes one before training")
        found = self.source("images")
        assert found is not None  # images has no default
        groups = GroupDataset(found[0], self._groups, self._descriptions)
        return self._place.loader(groups, self._order(), self.batch_size, self.num_workers, trainer)

    def _order(self) -> Callable[[int], list[int]]:
        weights, number, seed = [group.sampling_weight for group in self._groups], self._round, self._seed()
        # rounds and epochs of one seed must not draw alike
        return lambda epoch: draw_by_weight(weights, hash((seed, number, epoch)) % 2**31, self.passes)

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch."""
        return self._place.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on there."""
        self._place.load_state_dict(state_dict)

    def predict_dataloader(self) -> "OneBatch":
        """All image keys at once, for `predict`: the module shares them out over the processes."""
        found = self.source("images")
        assert found is not None  # images has no default
        return OneBatch(found[1])

    def _seed(self) -> int:
        return int(getattr(self.trainer.lightning_module, "seed", 0)) if self.trainer is not None else 0


def require_source(spec: str) -> None:
    """Refuse a source that is not there, by a quick look; none of its images is read.

    Raises:
        ValueError: names what is missing.
    """
    if is_scenes(spec):
        parse_scenes(spec)
    else:
        require_images(spec)


class OneBatch:
    """A loader with a single batch, into which Lightning puts no sampler: every process gets the whole of it."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = list(keys)

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[list[str]]:
        yield self.keys


class GroupDataset(Dataset[GroupSample]):
    """The groups of a round as training samples, pictures read when asked for."""

    def __init__(self, source: ImageSource, groups: Sequence[Group], descriptions: dict[str, str]) -> None:
        self.source, self.groups, self.descriptions = source, groups, descriptions

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, number: int) -> GroupSample:
        group = self.groups[number]
        best = group.positive.candidate
        return GroupSample(
            image=self._picture(group.image),
            instruction=best.instruction.text,
            texts=(best.text, *(one.candidate.text for one in group.negatives)),
            question=best.question,
            answer=best.answer,
            description=self.descriptions.get(group.image, ""),
            weight=group.weight,
        )

    def _picture(self, key: str) -> Image:
        return self.source.read(key)
