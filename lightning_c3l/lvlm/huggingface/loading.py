"""Open a checkpoint folder (or a Hub name) of any image-text-to-text model with its processor."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from lightning_c3l.lvlm.base import LVLMError

Precision = Literal["float32", "bfloat16", "float16"]
_EDGE = 1 << 20
# checkpoints that come with this package, by the name that experiment files give them
_SHIPPED = {"shipped:scenes": Path(__file__).resolve().parents[2] / "scenes" / "base"}


def resolve(path: str) -> str:
    """Folder or Hub name behind the name of a checkpoint."""
    return str(_SHIPPED.get(path, path))


def load_checkpoint(path: str, dtype: Precision, trust_remote_code: bool) -> tuple[Any, Any]:
    """Model and processor of a checkpoint.

    Args:
        path: folder or Hub name.
        dtype: precision of the weights in memory.
        trust_remote_code: run Python code that comes with the checkpoint; only for sources that you trust.

    Raises:
        LVLMError: if there is no such checkpoint, if it is no LVLM, or if it has no processor.
    """
    if Path(path).is_dir() and not (Path(path) / "config.json").is_file():
        raise LVLMError(f"{path}: no config.json in this folder, so it is no model checkpoint")
    processor = _load_processor(path, trust_remote_code)
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
        model = AutoModelForImageTextToText.from_pretrained(
            path, config=config, dtype=getattr(torch, dtype), trust_remote_code=trust_remote_code, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise LVLMError(f"{path}: no vision-language model could be loaded: {_first_line(error)}") from error
    return model.eval(), processor


def _load_processor(path: str, trust_remote_code: bool) -> Any:
    try:
        processor = AutoProcessor.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise LVLMError(f"{path}: the checkpoint has no usable processor: {_first_line(error)}") from error
    # AutoProcessor falls back to a bare tokenizer or image processor where processor_config.json is missing
    if not (hasattr(processor, "tokenizer") and hasattr(processor, "image_processor")):
        kind = type(processor).__name__
        raise LVLMError(f"{path}: the checkpoint has no processor (only a {kind}); add processor_config.json")
    return processor


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def fingerprint(path: str, state_hash: str = "") -> str:
    """Short hash that tells checkpoints apart: size, first and last MiB of each weight file, or the name itself."""
    digest = hashlib.sha256(state_hash.encode())
    files = sorted(Path(path).glob("*.safetensors")) if Path(path).is_dir() else []
    if not files:
        digest.update(path.encode())
    for file in files:
        with file.open("rb") as stream:
            size = file.stat().st_size
            digest.update(f"{file.name} {size}".encode())
            digest.update(stream.read(_EDGE))
            stream.seek(max(0, size - _EDGE))
            digest.update(stream.read(_EDGE))
    return digest.hexdigest()[:16]
