"""Digests that tell weights, texts and files apart."""

from hashlib import blake2b

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from lightning_c3l.distributed import fsdp


def trained_digest(module: nn.Module) -> str:
    """Digest of the names, shapes and values of all trained weights.

    It does not depend on the device or on how the weights are split over processes; where they are split, every
    process must ask for it.
    """
    digest = blake2b(digest_size=16)
    trained = {name: parameter for name, parameter in sorted(module.named_parameters()) if parameter.requires_grad}
    with fsdp.gathered_parameters(trained.values()):
        for name, parameter in trained.items():
            value = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
            digest.update(f"{name} {tuple(value.shape)} {value.dtype} ".encode())
            # a copy: memory that numpy has seen can no longer be freed by FSDP; as bytes, since numpy knows no bfloat16
            copy = value.detach().to("cpu", copy=True).contiguous()
            digest.update(copy.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
