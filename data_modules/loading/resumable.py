"""Batches of an epoch, shared out over processes, with which a resumed run goes on where it was."""

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from math import ceil
from typing import Any
from zlib import crc32

from lightning.pytorch.loops.loop import _Loop
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import DataLoader, Dataset


class ResumableLoader:
    """A loader whose place in the epoch is kept in checkpoints.

    All processes together go along one order of draws, `batch_size` draws each at a time, which they take in turns. The
    place is counted in draws of that order, so that a run may go on with other processes or another batch size: no
    draw is lost, and none comes twice. Every process has as many batches; only where the epoch ends with fewer draws
    than processes are these repeated, so that each has one.

    The length is the number of batches of the whole epoch, those before the resumption as they were then. It counts
    what was handed out, whatever the workers have prepared ahead.

    Args:
        dataset: what is drawn from.
        order: the draws of an epoch by its number, the same in all processes.
        batch_size: draws a batch of each process.
        num_workers: processes that prepare batches.
        collate: makes a batch of samples.
        share: number of this process, and how many there are.
        epoch: the epoch to begin with.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        order: Callable[[int], Sequence[int]],
        batch_size: int,
        num_workers: int,
        collate: Callable[[list[Any]], Any],
        share: tuple[int, int],
        epoch: int = 0,
    ) -> None:
        self._dataset, self._order, self._batch_size = dataset, order, batch_size
        self._num_workers, self._collate = num_workers, collate
        self._rank, self._world = share
        self._begin(epoch)

    @property
    def sampler(self) -> "ResumableLoader":
        """Itself, since Lightning tells a loader's sampler which epoch begins."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of another epoch; in the same one the place stays."""
        if epoch != self._epoch:
            self._begin(epoch)

    def state_dict(self) -> dict[str, int]:
        """The place in the epoch, for checkpoints."""
        return {
            "epoch": self._epoch,
            "drawn": self._drawn,
            "left": len(self._draws) - self._drawn,
            "batches": self._batches,
            "order": self._fingerprint(),
        }

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go to the place in this epoch at which a checkpoint was written; nowhere if that epoch was over."""
        if state_dict["epoch"] != self._epoch or not state_dict["left"]:
            return
        # Lightning counts the batches of an epoch on, also where they had another size
        self._batches = state_dict["batches"]
        if state_dict["order"] == self._fingerprint():
            self._drawn = self._start = state_dict["drawn"]
        else:
            rank_zero_warn(
                f"epoch {self._epoch} draws other samples than when the checkpoint was written (other data, seed or "
                "passes?): it begins again"
            )

    def repeats(self, batch_idx: int) -> bool:
        """Whether this process only repeats draws in a batch of the epoch: the last one may have too few for all."""
        last = (len(self._draws) - self._start - 1) % self._stride + 1
        return batch_idx == len(self) - 1 and self._rank >= last

    def __len__(self) -> int:
        return self._batches + ceil((len(self._draws) - self._drawn) / self._stride)

    def __iter__(self) -> Iterator[Any]:
        # a generator starts nothing before its first batch is asked for: Lightning calls `iter` more often than needed
        if self._drawn == len(self._draws):
            self._begin(self._epoch)
        loader = DataLoader(
            self._dataset,
            batch_sampler=self._own_batches(),
            num_workers=self._num_workers,
            collate_fn=self._collate,
        )
        for batch in loader:
            self._drawn = min(self._drawn + self._stride, len(self._draws))
            self._batches += 1
            yield batch

    def _begin(self, epoch: int) -> None:
        self._epoch, self._start, self._drawn, self._batches = epoch, 0, 0, 0
        self._draws = list(self._order(epoch))

    @property
    def _stride(self) -> int:
        return self._batch_size * self._world

    def _own_batches(self) -> list[list[int]]:
        """What is left of the epoch for this process."""
        out = list[list[int]]()
        for start in range(self._drawn, len(self._draws), self._stride):
            together = self._draws[start : start + self._stride]
            # a process without a batch would leave the others waiting for its gradients
            filled = list(islice(cycle(together), max(len(together), self._world)))
            out.append(filled[self._rank :: self._world])
        return out

    def _fingerprint(self) -> int:
        return crc32(repr(self._draws).encode())


class Place:
    """A datamodule's loader and its place, across restarts.

    Lightning keeps a loader's place too, but gives it back only after it has asked for the loader's length.
    """

    def __init__(self) -> None:
        self._loader: ResumableLoader | None = None
        self._kept: dict[str, Any] = {}

    def loader(
        self,
        dataset: Dataset[Any],
        order: Callable[[int], Sequence[int]],
        batch_size: int,
        num_workers: int,
        trainer: Any,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> ResumableLoader:
        """The loader of an epoch, with batches encoded by the module; an epoch that goes on goes on where it was."""
        # else the next epochs would go on with the samples and the number of batches of the first one
        trainer.reload_dataloaders_every_n_epochs = 1
        _leave_finished_epoch(trainer.fit_loop)
        collate, share = collate or trainer.lightning_module.encode, (trainer.global_rank, trainer.world_size)
        self._loader = ResumableLoader(dataset, order, batch_size, num_workers, collate, share, trainer.current_epoch)
        if self._kept and trainer.fit_loop.restarting:
            self._loader.load_state_dict(self._kept)
        return self._loader

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch, for checkpoints."""
        return dict(self._loader.state_dict()) if self._loader is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the place for the loader, which is made later."""
        self._kept = state_dict


def _leave_finished_epoch(loop: Any) -> None:
    """With `max_steps`, Lightning goes on in the epoch of the checkpoint even where that epoch was over."""
    epochs = loop.epoch_progress.current
    if loop.restarting and epochs.ready == epochs.started == epochs.processed:
        # not by the loop's own setter, which would set it again
        _Loop.restarting.fset(loop, False)  # type: ignore[attr-defined]
