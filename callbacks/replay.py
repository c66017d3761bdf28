"""Train on the rounds of a finished run: the same pseudo-labels, so that only what the experiment changes differs."""

from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from callbacks.round_images import joined_rounds, usable_groups
from lightning_c3l.rounds.group_rows import GroupRows
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.rounds.tasks import known_images


class ReplayRounds(Callback):
    """Hands the datamodule stored rounds where `I2CReweighting` would make new ones.

    Args:
        folder: run folder with the rounds.
        epochs_per_round: epochs of training on a round's groups.
        accumulate: train on the groups of all rounds so far, not on those of the last one alone.
    """

    def __init__(self, folder: str | Path, epochs_per_round: int = 1, accumulate: bool = False) -> None:
        self.store, self.epochs_per_round, self.accumulate = RunStore(folder), epochs_per_round, accumulate
        self._number = 0

    def state_dict(self) -> dict[str, Any]:
        """The round that training is at."""
        return {"number": self._number}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume with that round."""
        self._number = state_dict["number"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand over the first round, or the one that a resumed run was at."""
        self._hand_over(trainer, self._number)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand over the next round, if there is one."""
        done = trainer.current_epoch + 1
        if done % self.epochs_per_round == 0 and done // self.epochs_per_round in self.store.rounds():
            self._hand_over(trainer, done // self.epochs_per_round)

    def _hand_over(self, trainer: Trainer, number: int) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]

        def read(number: int) -> tuple[GroupRows, dict[str, str]]:
            stored, images = self.store.read_round(number), known_images(self.store.round_folder(number))
            return usable_groups(stored, images, data, number), stored.descriptions

        earlier = range(number) if self.accumulate else ()
        data.set_round(number, *joined_rounds(map(read, (number, *earlier))))
        self._number = number
