"""The best state of a run so far: a folder that users load, with the trained weights to roll back to."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from lightning_c3l.distributed import collectives
from lightning_c3l.runs import manifest
from lightning_c3l.runs.atomic import atomic_folder, write_json_atomic
from lightning_c3l.runs.digests import file_digest
from lightning_c3l.runs.weight_files import load_tensors

_WEIGHTS = "trained-weights.safetensors"
_STATE = "state.json"
# of the note: of the file of weights
_DIGEST = "weights"


class BestState:
    """Stores and restores the trained weights of one state; frozen ones are never copied.

    Args:
        folder: of the state; complete or absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def known(self) -> dict[str, Any] | None:
        """The note on the stored state; None if there is none.

        Raises:
            ValueError: if the note is damaged; names the file.
        """
        noted = self._note()
        return None if noted is None else {name: value for name, value in noted.items() if name != _DIGEST}

    def _note(self) -> dict[str, Any] | None:
        file = self.folder / _STATE
        if not file.is_file():
            return None
        try:
            return manifest.read(file)
        except ValueError as error:
            raise ValueError(f"{error}; remove {self.folder} to go on without the best state so far") from error

    def keep(self, module: Any, noted: dict[str, Any]) -> None:
        """Replace the stored state by the current weights; every rank must call it, rank zero writes.

        Args:
            module: a `TrainedWeightsModule`.
            noted: the note that `known` returns.
        """

        def write() -> None:
            weights = {name: value.detach().cpu().clone().contiguous() for name, value in _trained(module).items()}
            with atomic_folder(self.folder) as folder:
                module.lvlm.save(folder)
                save_file(weights, folder / _WEIGHTS)
                write_json_atomic(folder / _STATE, {**noted, _DIGEST: file_digest(folder / _WEIGHTS)})

        with module.whole_weights():
            collectives.on_rank_zero(write)

    def put_back(self, module: nn.Module) -> dict[str, Any]:
        """Restore the stored weights; every rank must call it.

        Returns:
            What was noted of the state.

        Raises:
            ValueError: if there is no state, its file is damaged, or the module does not train exactly these weights.
            OSError: if a process cannot see the folder.
        """
        noted = collectives.broadcast(self._note())
        if noted is None:
            raise ValueError(f"{self.folder}: best state missing, cannot roll back; set guard.action: warn to resume")
        file, digest = self.folder / _WEIGHTS, noted.pop(_DIGEST, None)
        collectives.require_visible(file)
        if digest not in (None, file_digest(file)):  # states of older versions have none
            raise ValueError(f"{file}: damaged, its digest differs from {_STATE}; set guard.action: warn to resume")
        kept, trained = load_tensors(file), _trained(module)
        if {n: v.shape for n, v in kept.items()} != {n: p.shape for n, p in trained.items()}:
            raise ValueError(f"{self.folder}: holds weights of another LVLM or of other adapter options; remove it")
        with torch.no_grad():
            for name, parameter in trained.items():
                value = kept[name].to(parameter.device)
                if isinstance(parameter, DTensor):
                    value = distribute_tensor(value, parameter.device_mesh, parameter.placements)
                parameter.copy_(value)
        return noted


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
