"""Adapter folders: finding the base checkpoint of an adapter, loading the adapter on it, and merging both."""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from torch import nn

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.hub import is_cached_only, resolve
from lightning_c3l.lvlm.huggingface.configuration import load_config
from lightning_c3l.lvlm.huggingface.folders import require_weight_files
from lightning_c3l.lvlm.huggingface.loading import Precision, fingerprint, load_checkpoint
from lightning_c3l.lvlm.huggingface.output_head import output_embedding
from lightning_c3l.lvlm.huggingface.template_options import use_chat_template
from lightning_c3l.lvlm.load_errors import one_line
from lightning_c3l.runs.atomic import write_json_atomic
from lightning_c3l.runs.weight_files import require_safetensors

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# beside peft's configuration, which has only the name of the base
_BASE = "base.json"


def record_base(folder: Path, name: str, digest: str) -> None:
    """Record the base of an adapter in `base.json` in its folder.

    Args:
        folder: of the adapter.
        name: folder, Hub name or `shipped:` name of the base.
        digest: fingerprint of the base.
    """
    # relative, so that the base is found after both are moved together
    path = os.path.relpath(name, folder) if Path(name).is_dir() else None
    write_json_atomic(folder / _BASE, {"name": name, "path": path, "fingerprint": digest})


def adapter_base(path: str) -> str | None:
    """Base checkpoint of an adapter folder; None if the path is not an adapter folder.

    A relative name is searched in the working folder, the adapter folder and the folders above it. If the base's
    fingerprint is recorded, a folder with that fingerprint takes precedence.

    Raises:
        LVLMError: if the folder names no base, or has no safetensors weights.
    """
    folder = Path(os.path.abspath(path))
    if not (folder / CONFIG).is_file():
        return None
    try:
        named = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
        if not isinstance(named, str) or not named:
            raise ValueError("no name")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LVLMError(f"{folder / CONFIG}: names no base_model_name_or_path") from error
    recorded = _recorded_base(folder)
    if not (folder / WEIGHTS).is_file():
        raise LVLMError(
            f"{path}: has no {WEIGHTS}; peft's save_pretrained writes it from a pickle (.bin) that you trust"
        )
    beside = [str(folder / recorded["path"])] if "path" in recorded else []
    above = [str(one / named) for one in (folder, *folder.parents)]
    candidates = [*beside, resolve(recorded.get("name", named)), named, *above]
    found = [os.path.normpath(one) for one in candidates if os.path.isdir(one)]
    known = recorded.get("fingerprint")
    if known is not None:
        found = [folder for folder in found if fingerprint(folder) == known] or found
    return found[0] if found else resolve(named)


def _recorded_base(folder: Path) -> dict[str, str]:
    """Contents of `base.json`; empty for adapters of other tools."""
    file = folder / _BASE
    if not file.is_file():
        return {}
    try:
        recorded = json.loads(file.read_text(encoding="utf-8"))
        return {name: recorded[name] for name in ("name", "path", "fingerprint") if isinstance(recorded[name], str)}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LVLMError(f"{file}: is damaged; remove it to use the name in {CONFIG} instead") from error


def require_base(adapter: str, base: str) -> None:
    """Check that an adapter was trained on a base, by its recorded fingerprint or else by its name.

    Args:
        adapter: folder of the adapter.
        base: checkpoint folder, or Hub name of a downloaded one.

    Raises:
        LVLMError: if it was trained on another base.
    """
    recorded, digest = _recorded_base(Path(adapter)), fingerprint(base)
    if known := recorded.get("fingerprint"):
        if digest != known:
            raise LVLMError(
                f"{adapter}: was trained on {recorded.get('name')} with fingerprint {known}, but {base} has "
                f"fingerprint {digest}: give the base that it was trained on"
            )
        return
    own = adapter_base(adapter) or ""
    if base != own and os.path.realpath(base) != os.path.realpath(own) and digest != fingerprint(own):
        raise LVLMError(
            f"{adapter}: was trained on {own}, not on {base}; if these are the same weights, name {base} as "
            f"base_model_name_or_path in {CONFIG}"
        )


def load_adapter(model: Any, path: str, base: str) -> PeftModel:
    """Load a trained adapter beside the weights of its base, which is exact; merged weights would be rounded.

    Args:
        model: the base, in memory.
        path: adapter folder.
        base: checkpoint that the model was loaded from.

    Raises:
        LVLMError: if the adapter was trained on another base, or either lacks weights of the other.
    """
    require_base(path, base)
    try:
        require_safetensors(Path(path) / WEIGHTS)
        config = PeftConfig.from_pretrained(path)
        if config.is_prompt_learning:
            raise ValueError(f"{config.peft_type} adapters change the prompt, which is not supported")
        config.inference_mode = True
        network = PeftModel(model, config)
        if _fill(network, Path(path) / WEIGHTS):
            return network.requires_grad_(False)
        mapping = getattr(model, "_checkpoint_conversion_mapping", {})
        loaded = network.load_adapter(path, "default", key_mapping=mapping)
    except Exception as error:
        raise LVLMError(f"{path}: the adapter does not fit its base: {one_line(error)}") from error
    # torch and peft ignore both
    for problem, keys in (("the model lacks", loaded.unexpected_keys), ("the file lacks", loaded.missing_keys)):
        if keys:
            some = ", ".join(sorted(keys)[:3])
            raise LVLMError(f"{path}: the adapter does not fit its base: {problem} {len(keys)} weights: {some}")
    return network.requires_grad_(False)


@torch.no_grad()
def _fill(network: PeftModel, file: Path) -> bool:
    """Copy weights that are saved under today's names; False if the file has others.

    peft takes all names for those of older files: what it makes of DeepSeek-OCR 2's is in no model.
    """
    own, saved = get_peft_model_state_dict(network), load_file(file)
    if {name: weight.shape for name, weight in own.items()} != {name: w.shape for name, w in saved.items()}:
        return False
    for name, weight in saved.items():
        own[name].copy_(weight)
    return True


def merge_adapter(path: str, adapter: Path, dtype: Precision = "float32") -> tuple[Any, Any]:
    """Merge an adapter into the weights of its base checkpoint.

    Args:
        path: base that the adapter was trained on.
        adapter: folder of the adapter.
        dtype: precision of the weights in memory.

    Returns:
        Model and processor.

    Raises:
        LVLMError: if they do not belong together, or this kind of adapter cannot be merged.
    """
    base = resolve(path)
    if adapter_base(str(adapter)) is None:
        raise LVLMError(f"{adapter}: no {CONFIG} in this folder; give the adapter/ of a run")
    if Path(base).is_dir():
        # before gigabytes are loaded; a Hub name is checked after its download
        require_base(str(adapter), base)
    model, processor = load_checkpoint(base, dtype, trust_remote_code=False)
    use_chat_template(processor, None, (str(adapter), base))
    network = load_adapter(model, str(adapter), base)
    with torch.no_grad(), warnings.catch_warnings():
        # peft warns of tied weights and of changing the configuration, which are handled here
        warnings.filterwarnings("ignore", message=".*tie")
        _untie(network.get_base_model())
        try:
            model = network.merge_and_unload()
        except (AttributeError, NotImplementedError, ValueError) as error:
            kind = network.peft_config["default"].peft_type
            raise LVLMError(f"{adapter}: {kind} adapters cannot be merged; use the adapter on its base") from error
    if output_embedding(model).weight is not model.get_input_embeddings().weight:
        # a head of its own must not be tied to the embeddings again on saving or loading
        for config in (model.config, model.config.get_text_config()):
            if getattr(config, "tie_word_embeddings", False):
                config.tie_word_embeddings = False
    return model, processor


def _untie(model: Any) -> None:
    """Give the head a weight of its own if an adapter on it, or on the embeddings, would change both."""
    layers: tuple[Any, Any] = (output_embedding(model), model.get_input_embeddings())
    if not any(isinstance(layer, BaseTunerLayer) for layer in layers):
        return
    head, embeddings = (one.get_base_layer() if isinstance(one, BaseTunerLayer) else one for one in layers)
    if head.weight is embeddings.weight:
        head.weight = nn.Parameter(head.weight.clone(), requires_grad=False)


def require_checkpoint(path: str, trust_remote_code: bool = False) -> None:
    """Check within seconds, without loading weights, that a checkpoint exists and is an LVLM.

    Args:
        path: folder of a checkpoint or of an adapter, Hub name, or `shipped:` name.
        trust_remote_code: whether code that comes with the checkpoint may run.

    Raises:
        LVLMError: if it, or the base of the adapter, is neither on this disk nor on the Hub, or is no LVLM.
    """
    path = resolve(path)
    base = adapter_base(path)
    try:
        options = {"trust_remote_code": trust_remote_code, "local_files_only": is_cached_only(base or path)}
        load_config(base or path, options)
        require_weight_files(base or path)
    except LVLMError as error:
        if base is None:
            raise
        raise LVLMError(f"{path}: an adapter whose base (as {CONFIG} names it) cannot be used: {error}") from error
