"""Write a model's weights under the names that checkpoints on the Hub have, which inference servers read."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_c3l.lvlm.huggingface.folders import weight_files
from lightning_c3l.runs.atomic import atomic_path, write_json_atomic

# towers whose class held an inner module before transformers 5: checkpoints on the Hub still name it, and transformers
# names it again only for a model that was read from such a file
_NESTED = ("clip_vision_model", "siglip_vision_model")
_TOWER, _INNER = "vision_tower.", "vision_tower.vision_model."


def save_model(model: Any, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
    """Write configuration and weights of a model in the layout of the Hub.

    Args:
        model: a model of transformers.
        folder: where its files go.
        state: its weights, where they are not those in memory.
    """
    model.save_pretrained(folder, **({} if state is None else {"state_dict": state}))
    if getattr(getattr(model.config, "vision_config", None), "model_type", None) not in _NESTED:
        return
    for file in weight_files(str(folder)):
        _rename_tensors(file)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        content = json.loads(index.read_text(encoding="utf-8"))
        names = {_hub_name(name): file for name, file in content["weight_map"].items()}
        write_json_atomic(index, content | {"weight_map": names})


def _hub_name(name: str) -> str:
    return _INNER + name.removeprefix(_TOWER) if name.startswith(_TOWER) and not name.startswith(_INNER) else name


def _rename_tensors(file: Path) -> None:
    """Write the header anew and copy the values as they are."""
    with file.open("rb") as old:
        header = json.loads(old.read(int.from_bytes(old.read(8), "little")))
        renamed = {_hub_name(name): entry for name, entry in header.items()}
        if renamed == header:
            return
        text = json.dumps(renamed, separators=(",", ":")).encode()
        # the format aligns the values to 8 bytes
        text += b" " * (-len(text) % 8)
        with atomic_path(file) as temporary, temporary.open("wb") as new:
            new.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(old, new)
