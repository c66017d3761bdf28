"""Batches of an epoch, shared among processes, that a resumed run continues where it stopped."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, islice
from math import ceil
from typing import Any
from zlib import crc32

import numpy as np
from lightning import LightningDataModule
from lightning.pytorch.loops.loop import _Loop
from lightning.pytorch.utilities import rank_zero_warn
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

Collate = Callable[[list[Any]], Any]
Order = Sequence[int] | NDArray[np.int64]
_CHUNK = 1 << 16


class ResumableLoader:
    """A loader whose position in the epoch is stored in checkpoints.

    All processes follow one order of samples and take turns, `batch_size` samples each at a time. The position counts
    samples of that order, so a run may resume with other processes or another batch size: no sample is lost and none
    comes twice. Every process gets the same number of batches; only where the epoch ends with fewer samples than
    processes are these repeated, so that each has one.

    The length is the number of batches of the whole epoch, those before the resumption counted as they were then. The
    position counts what was yielded, whatever the workers have prepared ahead.

    Args:
        dataset: what is drawn from.
        order: indices of an epoch's samples by its number, the same in all processes.
        batch_size: samples per batch in each process.
        num_workers: processes that prepare batches.
        collate: makes a batch of samples.
        share: rank of this process, and number of processes.
        epoch: the epoch to start with.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        order: Callable[[int], Order],
        batch_size: int,
        num_workers: int,
        collate: Collate,
        share: tuple[int, int],
        epoch: int = 0,
    ) -> None:
        self._dataset, self._order = dataset, order
        self._num_workers, self._collate = num_workers, collate
        self._rank, self._world = share
        self._stride = batch_size * self._world
        self._start_epoch(epoch)

    @property
    def sampler(self) -> "ResumableLoader":
        """Itself: Lightning calls `set_epoch` on a loader's sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of another epoch; within the same one the position stays."""
        if epoch != self._epoch:
            self._start_epoch(epoch)

    def _start_epoch(self, epoch: int) -> None:
        self._epoch, self._start, self._drawn, self._batches = epoch, 0, 0, 0
        self._indices = np.asarray(self._order(epoch), np.int64)

    def state_dict(self) -> dict[str, int]:
        """Position in the epoch, for checkpoints."""
        return {
            "epoch": self._epoch,
            "drawn": self._drawn,
            "left": len(self._indices) - self._drawn,
            "batches": self._batches,
            "order": _checksum(self._indices),
        }

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go to a checkpoint's position; ignored if it belongs to another epoch or that epoch was finished."""
        if state_dict["epoch"] != self._epoch or not state_dict["left"]:
            return
        # Lightning continues to count the batches of an epoch, also where they had another size
        self._batches = state_dict["batches"]
        if state_dict["order"] == self.state_dict()["order"]:
            self._drawn = self._start = state_dict["drawn"]
        else:
            rank_zero_warn(
                f"epoch {self._epoch} draws other samples than when the checkpoint was written (other data, seed or "
                "passes?): it starts over"
            )

    def repeats(self, batch_idx: int) -> bool:
        """Whether this process only repeats samples in a batch of the epoch: the last one may have too few for all."""
        last = (len(self._indices) - self._start - 1) % self._stride + 1
        return batch_idx == len(self) - 1 and self._rank >= last

    def __len__(self) -> int:
        return self._batches + ceil((len(self._indices) - self._drawn) / self._stride)

    def __iter__(self) -> Iterator[Any]:
        # a generator starts nothing before its first batch is requested: Lightning calls `iter` more often than needed
        if self._drawn == len(self._indices):
            self._start_epoch(self._epoch)
        loader = DataLoader(
            self._dataset,
            batch_sampler=self._own_batches(range(self._drawn, len(self._indices), self._stride)),
            num_workers=self._num_workers,
            collate_fn=self._collate,
        )
        for batch in loader:
            self._drawn = min(self._drawn + self._stride, len(self._indices))
            self._batches += 1
            yield batch

    def _own_batches(self, starts: Iterable[int]) -> Iterator[list[int]]:
        """Yield this process's share of the samples from each of these positions on."""
        for start in starts:
            together = self._indices[start : start + self._stride].tolist()
            # a process without a batch would leave the others waiting for its gradients
            filled = list(islice(cycle(together), max(len(together), self._world)))
            yield filled[self._rank :: self._world]


def _checksum(indices: NDArray[np.int64]) -> int:
    """CRC-32 of the indices as the text of a list, which checkpoints of all versions hold."""
    checksum = crc32(b"[")
    for start in range(0, len(indices), _CHUNK):
        text = ", ".join(map(str, indices[start : start + _CHUNK].tolist()))
        checksum = crc32(f"{', ' if start else ''}{text}".encode(), checksum)
    return crc32(b"]", checksum)


class ResumableDataModule(LightningDataModule):
    """Base of the datamodules to train on: its checkpoints hold the position in the epoch.

    Lightning stores a loader's position too, but restores it only after asking for the loader's length. The module
    that is trained hands over its collate function by `collate_with`.

    Args:
        batch_size: samples per batch in each process.
        num_workers: processes that prepare batches.

    Raises:
        ValueError: `batch_size` is below 1.
    """

    def __init__(self, batch_size: int, num_workers: int = 0) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.batch_size, self.num_workers = batch_size, num_workers
        self._encode: Collate | None = None
        self._seed = 0
        self._loader: ResumableLoader | None = None
        self._restored: dict[str, Any] = {}

    def collate_with(self, encode: Collate, seed: int) -> None:
        """Make batches with this function, in an order that depends on this seed; called before training."""
        self._encode, self._seed = encode, seed

    def collate(self) -> Collate:
        """The function that was handed over.

        Raises:
            RuntimeError: none was.
        """
        if self._encode is None:
            raise RuntimeError("the datamodule has no collate function: train with a module of lightning_c3l.modules")
        return self._encode

    def resumable_loader(
        self, dataset: Dataset[Any], order: Callable[[int], Order], collate: Collate
    ) -> ResumableLoader:
        """The loader of the trainer's current epoch, at the checkpoint's position if that epoch is resumed.

        Args:
            dataset: what is drawn from.
            order: indices of an epoch's samples by its number, the same in all processes.
            collate: makes a batch of samples.
        """
        trainer: Any = self.trainer
        # otherwise later epochs would reuse the samples and the number of batches of the first one
        trainer.reload_dataloaders_every_n_epochs = 1
        loop = trainer.fit_loop
        epochs = loop.epoch_progress.current
        if loop.restarting and epochs.ready == epochs.started == epochs.processed:
            # with `max_steps`, Lightning resumes the epoch of the checkpoint even where it was finished; not by the
            # loop's own setter, which would set the flag again
            _Loop.restarting.fset(loop, False)  # type: ignore[attr-defined]
        share = trainer.global_rank, trainer.world_size
        self._loader = ResumableLoader(
            dataset, order, self.batch_size, self.num_workers, collate, share, trainer.current_epoch
        )
        if self._restored and loop.restarting:
            self._loader.load_state_dict(self._restored)
        return self._loader

    def state_dict(self) -> dict[str, Any]:
        """Position in the epoch."""
        return dict(self._loader.state_dict()) if self._loader is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the position for the loader, which is made later."""
        self._restored = state_dict
