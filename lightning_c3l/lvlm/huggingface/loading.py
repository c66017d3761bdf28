"""Load the model and processor of a checkpoint folder or Hub name."""

import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Literal

import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.installation import torchvision_problem
from lightning_c3l.runs.digests import sha256_digest
from lightning_c3l.runs.weight_files import require_safetensors, weights_digest

Precision = Literal["float32", "bfloat16", "float16"]
Quantize = Literal["nf4", "int8"]
# timeout of the Hub's first answer; HF_HUB_ETAG_TIMEOUT allows for slower connections
_HUB_SECONDS = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or 5)
# checkpoints that come with this package, by their name in experiment files
_SHIPPED = {"shipped:scenes": Path(__file__).resolve().parents[2] / "scenes" / "base"}


def resolve(path: str) -> str:
    """Folder or Hub name of a checkpoint, given one of these or a `shipped:` name."""
    return str(_SHIPPED.get(path, path))


def load_checkpoint(
    path: str, dtype: Precision, trust_remote_code: bool, quantize: Quantize | None = None
) -> tuple[Any, Any]:
    """Model and processor of a checkpoint.

    Args:
        path: folder or Hub name.
        dtype: precision of the weights in memory.
        trust_remote_code: run Python code that comes with the checkpoint; only for sources that you trust.
        quantize: keep the decoder's frozen weights in 4 bits (nf4) or 8 bits (int8); CUDA only.

    Raises:
        LVLMError: if there is no such checkpoint, it is not an LVLM, it has no processor, or it cannot be quantised
            here.
    """
    if quantize is not None and not torch.cuda.is_available():
        raise LVLMError(f"{path}: quantize: {quantize} needs a CUDA GPU; leave it out, or set dtype: bfloat16")
    if quantize is not None and find_spec("bitsandbytes") is None:
        raise LVLMError(f"{path}: quantize: {quantize} needs bitsandbytes: pip install 'lightning_c3l[qlora]'")
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": is_cached_only(path)}
    processor = _load_processor(path, options)
    try:
        for file in _weight_files(path):
            require_safetensors(file)
    except (ValueError, OSError) as error:
        raise LVLMError(str(error)) from error
    try:
        config = AutoConfig.from_pretrained(path, **options)
        if quantize is not None:
            options |= _quantised(quantize, getattr(torch, dtype))
        model, found = AutoModelForImageTextToText.from_pretrained(
            path,
            config=config,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise LVLMError(f"{path}: no vision-language model could be loaded: {first_line(error)}") from error
    if missing := sorted(found["missing_keys"]):
        # transformers initialises them at random
        some = ", ".join(missing[:3])
        raise LVLMError(f"{path}: the checkpoint lacks {len(missing)} weights of its model, among them {some}")
    if processor.tokenizer.pad_token is None:
        # padding is masked, so any token will do
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return model.eval(), processor


def _quantised(quantize: Quantize, dtype: torch.dtype) -> dict[str, Any]:
    """Options that quantise all weights except those of the head, the vision tower and the projector."""
    keep = ["lm_head", "vision_tower", "vision_model", "visual", "multi_modal_projector", "connector"]
    config = BitsAndBytesConfig(
        load_in_4bit=quantize == "nf4",
        load_in_8bit=quantize == "int8",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=keep,
    )
    # weights are quantised on their device: each process has its own
    return {"quantization_config": config, "device_map": {"": int(os.environ.get("LOCAL_RANK", "0"))}}


def is_cached_only(path: str) -> bool:
    """Whether a checkpoint has been downloaded before, while the Hub cannot be reached now.

    transformers requests each file from the Hub, with retries, and takes minutes to notice that there is no answer. One
    request with a short timeout decides here; downloads keep their own timeouts.

    Args:
        path: folder or Hub name.

    Raises:
        LVLMError: if there is no such checkpoint on this disk, and the Hub has none or cannot be reached.
    """
    if Path(path).exists():
        if not (Path(path) / "config.json").is_file():
            raise LVLMError(f"{path}: no config.json in this folder, so it is not a model checkpoint")
        return False
    try:
        url, cached = hf_hub_url(path, "config.json"), try_to_load_from_cache(path, "config.json")
    except HFValidationError as error:
        raise LVLMError(f"{path}: no such folder, and not a valid name of a model on the Hub") from error
    if HF_HUB_OFFLINE:
        problem: Exception | None = OSError("HF_HUB_OFFLINE is set")
    else:
        problem = _within(_HUB_SECONDS, lambda: get_hf_file_metadata(url, timeout=_HUB_SECONDS))
    if isinstance(problem, RepositoryNotFoundError) and not isinstance(problem, GatedRepoError):
        raise LVLMError(f"{path}: no such folder, and no such model on the Hub; a private one needs `hf auth login`")
    # the download reports other answers, such as that of a gated model
    if problem is None or isinstance(problem, HfHubHTTPError):
        return False
    if not isinstance(cached, str):
        raise LVLMError(
            f"{path}: no such folder, not downloaded before, and {ENDPOINT} cannot be reached: {first_line(problem)}"
        )
    return True


def _within(seconds: float, request: Callable[[], object]) -> Exception | None:
    """The error of a request, None if it succeeds; a silent name server would outlast the request's own timeout."""
    ended = SimpleQueue[Exception | None]()

    def attempt() -> None:
        try:
            request()
            ended.put(None)
        except Exception as error:
            ended.put(error)

    Thread(target=attempt, daemon=True).start()
    try:
        return ended.get(timeout=seconds + 0.5)
    except Empty:
        return TimeoutError(f"no answer within {seconds:g} seconds")


def _load_processor(path: str, options: dict[str, Any]) -> Any:
    try:
        processor = AutoProcessor.from_pretrained(path, **options)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = torchvision_problem(error) or f"the checkpoint has no usable processor: {first_line(error)}"
        raise LVLMError(f"{path}: {reason}") from error
    # AutoProcessor falls back to a bare tokenizer or image processor where processor_config.json is missing
    if not (hasattr(processor, "tokenizer") and hasattr(processor, "image_processor")):
        kind = type(processor).__name__
        raise LVLMError(f"{path}: the checkpoint has no processor (only a {kind}); add processor_config.json")
    return processor


def first_line(error: Exception) -> str:
    """First line of an error's message, or what to do about one that asks for `trust_remote_code`."""
    if "trust_remote_code" in str(error):
        return "it brings Python code of its own; set trust_remote_code: true if you trust the source"
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def fingerprint(path: str, state_hash: str = "") -> str:
    """Short hash of a checkpoint's tensors, or of its name if no weights are on this disk.

    Args:
        path: checkpoint or adapter folder, or the Hub name of a checkpoint.
        state_hash: fingerprint of the base, for an adapter.

    Raises:
        LVLMError: if a weight file is damaged.
    """
    try:
        digest = weights_digest(files) if (files := _weight_files(path)) else path
    except ValueError as error:
        raise LVLMError(str(error)) from error
    return sha256_digest(state_hash, digest, digits=16)


def _weight_files(path: str) -> list[Path]:
    """The safetensors files that transformers reads; a folder may hold others as well."""
    folder = Path(path)
    if not folder.is_dir():
        try:
            # for a Hub name, the downloaded snapshot
            found = try_to_load_from_cache(path, "config.json")
        except HFValidationError:
            return []
        if not isinstance(found, str):
            return []
        folder = Path(found).parent
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if index.is_file():
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise LVLMError(f"{index}: is not an index of weight files; copy or download it again") from error
        return [folder / name for name in sorted(shards)]
    return sorted(folder.glob("*.safetensors"))
