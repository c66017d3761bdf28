"""A run that goes through rounds, as its callbacks see it."""

from dataclasses import dataclass

from lightning import LightningModule, Trainer
from torch import nn

from lightning_c3l.rounds.engine import RoundEngine
from lightning_c3l.rounds.protocols import ImageSource, RoundData, RoundModule
from lightning_c3l.rounds.store import RunStore


def engine_of(module: RoundModule) -> RoundEngine:
    """An engine with the LVLM of a LightningModule as it is now, and the generator beside it."""
    weights = module if isinstance(module, nn.Module) else None
    external = getattr(module, "generator", None)
    return RoundEngine(module.lvlm, module.writing, module.seed, module.inference_context, weights, external)


@dataclass(frozen=True)
class RoundRun:
    """The parts of a round run.

    Attributes:
        module: the LightningModule that is trained.
        data: the datamodule.
        store: the run folder.
        engine: generates and scores with the module's LVLM as it is now.
    """

    module: RoundModule
    data: RoundData
    store: RunStore
    engine: RoundEngine

    @classmethod
    def of(cls, trainer: Trainer, module: LightningModule) -> "RoundRun | None":
        """The round run of a trainer; None in other runs, such as plain instruction tuning."""
        data = getattr(trainer, "datamodule", None)
        if not isinstance(module, RoundModule) or not isinstance(data, RoundData):
            return None
        return cls(module, data, RunStore(trainer.default_root_dir), engine_of(module))

    def source(self, name: str) -> tuple[ImageSource, list[str]]:
        """A source of images (`images`, `fresh`, `held_out`) and its readable keys.

        Raises:
            ValueError: if it was not given.
        """
        found = self.data.source(name)
        if found is None:
            raise ValueError(f"data.{name} is not set")
        return found
