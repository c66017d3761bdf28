"""Load the model and processor of a checkpoint folder or Hub name."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.utils.tqdm import enable_progress_bars
from lightning.pytorch.utilities import rank_zero_info
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig, PreTrainedConfig
from transformers.utils.logging import disable_progress_bar

from lightning_c3l.distributed.messages import is_silent
from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.hub import is_cached_only
from lightning_c3l.lvlm.huggingface.configuration import load_config
from lightning_c3l.lvlm.huggingface.folders import file_problem, require_weight_files, weight_files
from lightning_c3l.lvlm.installation import install_command
from lightning_c3l.lvlm.load_errors import one_line
from lightning_c3l.runs.digests import sha256_digest
from lightning_c3l.runs.weight_files import weights_digest

Precision = Literal["float32", "bfloat16", "float16"]
Quantize = Literal["nf4", "int8"]


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
        raise LVLMError(f"{path}: quantize: {quantize} needs bitsandbytes: {install_command('[qlora]')}")
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": is_cached_only(path)}
    _tell_of_download(path)
    config = load_config(path, options)
    require_weight_files(path)
    processor = _load_processor(path, options)
    if quantize is not None:
        options |= _quantised(quantize, getattr(torch, dtype))
    model = _load_model(path, config, {"dtype": getattr(torch, dtype), **options})
    if processor.tokenizer.pad_token is None:
        # padding is masked, so any token will do
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return model.eval(), processor


def _tell_of_download(path: str) -> None:
    """Say that a checkpoint is downloaded, with the Hub's progress bars on a terminal; reading from disk has none."""
    disable_progress_bar()
    if Path(path).exists() or isinstance(try_to_load_from_cache(path, "config.json"), str):
        return
    rank_zero_info(f"{path}: downloading from the Hub")
    if sys.stderr.isatty() and not is_silent() and not constants.HF_HUB_DISABLE_PROGRESS_BARS:
        enable_progress_bars()


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


def _load_model(path: str, config: PreTrainedConfig, options: dict[str, Any]) -> Any:
    """The model, all of whose weights are those of the checkpoint."""
    try:
        model, found = AutoModelForImageTextToText.from_pretrained(
            path,
            config=config,
            use_safetensors=True,
            output_loading_info=True,
            # refused below, by name
            ignore_mismatched_sizes=True,
            **options,
        )
    except Exception as error:
        what = "" if isinstance(error, ImportError) else "no vision-language model could be loaded: "
        problem = file_problem(path) or what + one_line(error)
        if options["local_files_only"] and isinstance(error, OSError):
            problem = f"is not downloaded in full, and the Hub cannot be reached; once it can: hf download {path}"
        if isinstance(error, ImportError) and getattr(config, "quantization_config", None):
            problem += "; its weights are quantised, and those that they were made from need no such package"
        raise LVLMError(f"{path}: {problem}") from error
    # transformers initialises both at random
    if other := sorted(found["mismatched_keys"]):
        name, shape, expected = other[0]
        raise LVLMError(
            f"{path}: {len(other)} weights are of another shape than config.json says, among them {name}: "
            f"{tuple(shape)} instead of {tuple(expected)}; the files are of different models"
        )
    if missing := sorted(found["missing_keys"]):
        some = ", ".join(missing[:3])
        raise LVLMError(f"{path}: the checkpoint lacks {len(missing)} weights of its model, among them {some}")
    return model


def _load_processor(path: str, options: dict[str, Any]) -> Any:
    try:
        processor = AutoProcessor.from_pretrained(path, **options)
    except Exception as error:
        what = "" if isinstance(error, ImportError) else "the checkpoint has no usable processor: "
        raise LVLMError(f"{path}: {file_problem(path) or what + one_line(error)}") from error
    # AutoProcessor falls back to a bare tokenizer or image processor where processor_config.json is missing
    if not (hasattr(processor, "tokenizer") and hasattr(processor, "image_processor")):
        kind = type(processor).__name__
        raise LVLMError(
            f"{path}: the checkpoint has no processor that transformers knows (only a {kind}); add "
            "processor_config.json, or upgrade transformers"
        )
    if getattr(processor, "multi_page", None) is False:
        # GOT-OCR2's processor takes a list of images for each text only where they are pages; one page is one image
        processor.multi_page = True
    return processor


def fingerprint(path: str, state_hash: str = "") -> str:
    """Short hash of a checkpoint's tensors, or of its name if no weights are on this disk.

    Args:
        path: checkpoint or adapter folder, or the Hub name of a checkpoint.
        state_hash: fingerprint of the base, for an adapter.

    Raises:
        LVLMError: if a weight file is damaged.
    """
    try:
        digest = weights_digest(files) if (files := weight_files(path)) else path
    except (ValueError, OSError) as error:
        raise LVLMError(str(error)) from error
    return sha256_digest(state_hash, digest, digits=16)
