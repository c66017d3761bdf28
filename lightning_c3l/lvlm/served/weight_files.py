"""Weights as files, in the folder that is shared with servers."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import torch

from lightning_c3l.distributed.fsdp import whole_state
from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.lvlm.external import ServableLVLM
from lightning_c3l.runs.atomic import atomic_folder, naming, sync_tree
from lightning_c3l.runs.digests import Digest, content_digest, file_digest

# of the names of adapters and folders; others on the server and in the folder are left alone
PREFIX = "c3l-"
_SIZE = 8


@dataclass(frozen=True)
class ServedWeights:
    """What servers should answer with.

    Attributes:
        digest: of the weights, with a prefix; empty for the base.
        model: name that requests give.
        folder: where the weights are; None for the base.
        is_full: whether they are all weights of a model, and not an adapter.
    """

    digest: str
    model: str
    folder: Path | None = None
    is_full: bool = False


def save_weights(lvlm: ServableLVLM, parent: Path, model: str) -> ServedWeights:
    """Write the weights of an LVLM as they are now, unless they are the base's.

    Args:
        lvlm: with whole weights.
        parent: folder that is shared with the servers.
        model: name under which they serve the base.

    Raises:
        LVLMError: if the folder cannot be written to.
    """
    if lvlm.is_reference or lvlm.is_untrained():
        return ServedWeights("", model)
    with _explaining(parent):
        if lvlm.saved_as == "adapter":
            name, folder = _save_adapter(lvlm, parent)
            return ServedWeights(name, name, folder)
        name = f"{PREFIX}{_state_digest(lvlm)}"
        folder = parent / name
        if not folder.is_dir():
            with atomic_folder(folder) as temporary:
                lvlm.save_merged(temporary)
        return ServedWeights(name, model, folder, is_full=True)


def save_trial_adapter(lvlm: ServableLVLM, parent: Path) -> str:
    """Write the adapter of an LVLM under a name that no run uses again, and return that.

    Raises:
        LVLMError: if the folder cannot be written to.
    """
    name = f"{PREFIX}trial-{uuid4().hex[: 2 * _SIZE]}"
    with _explaining(parent), atomic_folder(parent / name) as temporary:
        lvlm.save(temporary)
    return name


@contextmanager
def _explaining(parent: Path) -> Iterator[None]:
    """Errors of the system name the option."""
    try:
        with naming(parent):
            yield
    except OSError as error:
        raise LVLMError(
            f"generator.handover: cannot write to {parent} ({error.strerror or error}); give a folder with room for "
            "the weights, which servers see under the same path"
        ) from error


def _save_adapter(lvlm: ServableLVLM, parent: Path) -> tuple[str, Path]:
    """Write an adapter to a folder that is named after its weights, since servers keep what they know of a name."""
    temporary = parent / f".tmp-{uuid4().hex}"
    try:
        with naming(parent):
            temporary.mkdir(parents=True)
            lvlm.save(temporary)
            weights = "".join(file_digest(file) for file in sorted(temporary.glob("*.safetensors")))
            # peft writes sets of layer names in any order
            config = json.loads((temporary / "adapter_config.json").read_text(encoding="utf-8"))
            plain = {key: sorted(value) if isinstance(value, list) else value for key, value in config.items()}
            name = PREFIX + content_digest(weights, json.dumps(plain, sort_keys=True), size=_SIZE)
            if not (folder := parent / name).is_dir():
                sync_tree(temporary)
                os.replace(temporary, folder)
        return name, folder
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _state_digest(lvlm: ServableLVLM) -> str:
    """Digest of all weights of a network; they must be whole."""
    digest = Digest(_SIZE)
    for name, value in sorted(whole_state(lvlm.network).items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype} ")
        digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
