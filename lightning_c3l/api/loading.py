"""`load`: an LVLM by its name, on the GPU where there is one."""

import warnings
from typing import Any, get_args

import torch

from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.loading import Precision


def load(
    path: str,
    *,
    device: str | torch.device | None = None,
    dtype: Precision | torch.dtype | None = None,
    lora: LoRA | None = None,
    **options: Any,
) -> HuggingFaceLVLM:
    """Load an LVLM that generates and scores, and that can be trained if it is given adapters.

    Args:
        path: checkpoint folder or Hub name; `shipped:scenes` and `shipped:park` come with this package and need no
            download. An adapter folder, such as the `adapter/` of a run, stands for its base with this adapter.
        device: where the weights go: by default the GPU if there is one, else the CPU.
        dtype: precision of the weights: by default bfloat16 on a GPU, and float32 on the CPU.
        lora: adapters to train, such as `LoRA(rank=16)`; new ones do not change what the LVLM says. Without them it is
            loaded for generating and scoring alone.
        options: further fields of `LVLMOptions`: `trust_remote_code`, `quantize`, `chat_template` ...

    Returns:
        The LVLM. `lvlm.save(folder)` writes its adapter, or its weights where it has none.

    Raises:
        LVLMError: the checkpoint cannot be used; one line that says what to do.
        ValueError: the device or the precision is unknown, or there is no such device.

    Examples:
        >>> import lightning_c3l
        >>> lvlm = lightning_c3l.load("shipped:scenes", device="cpu")
        >>> lvlm.name, lvlm.dtype
        ('shipped:scenes', torch.float32)
        >>> lightning_c3l.load("no/such/folder")
        Traceback (most recent call last):
            ...
        lightning_c3l.lvlm.errors.LVLMError: no/such/folder: no such folder, and not a valid name of a model on the Hub
    """
    where = _device(device)
    precision = str(dtype or ("bfloat16" if where.type == "cuda" else "float32")).removeprefix("torch.")
    if precision not in get_args(Precision):
        raise ValueError(f"dtype must be one of {', '.join(get_args(Precision))}, not {precision}")
    # a copy of all weights, which only training without adapters has a use for
    options = {"keep_reference": False, **options}
    with warnings.catch_warnings():
        # peft asks transformers the old way
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        lvlm = HuggingFaceLVLM(path, lora, dtype=precision, **options)
    # new adapters are in training mode
    lvlm.network.eval()
    # quantised weights are on their device already
    return lvlm if options.get("quantize") else lvlm.to(where)


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device: {device!r} is none that PyTorch knows, such as cpu, cuda or cuda:1") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: PyTorch sees {torch.cuda.device_count()} CUDA GPUs, so there is no {device}")
    return found
