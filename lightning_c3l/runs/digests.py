"""Digests that tell texts, files and weights apart: BLAKE2b inside a run, SHA-256 where people compare by eye.

Texts count as UTF-8; JSON can spell half of a surrogate pair, which is kept as three bytes.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


class Digest:
    """BLAKE2b of parts that arrive one by one; the same bytes give the same digest however they are split.

    Args:
        size: length in bytes.
    """

    def __init__(self, size: int = 16) -> None:
        self._hash = hashlib.blake2b(digest_size=size)

    def update(self, *parts: str | bytes) -> None:
        """Append parts, without anything between them."""
        for part in parts:
            self._hash.update(as_bytes(part))

    def hexdigest(self) -> str:
        """The digest of all parts so far in hexadecimal digits, two a byte."""
        return self._hash.hexdigest()

    def number(self) -> int:
        """The digest of all parts so far as a big-endian integer."""
        return int.from_bytes(self._hash.digest(), "big")


def content_digest(*parts: str | bytes, size: int = 16) -> str:
    """BLAKE2b of parts without anything between them.

    Args:
        parts: texts or bytes.
        size: length in bytes.

    Returns:
        `2 * size` hexadecimal digits.
    """
    digest = Digest(size)
    digest.update(*parts)
    return digest.hexdigest()


def content_number(part: str | bytes, size: int = 8) -> int:
    """BLAKE2b of a text or bytes as a big-endian integer of `size` bytes, the same in every process."""
    digest = Digest(size)
    digest.update(part)
    return digest.number()


def file_digest(file: Path) -> str:
    """BLAKE2b of a file's bytes, 32 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def sha256_digest(*parts: str | bytes, digits: int = 64) -> str:
    """SHA-256 of parts without anything between them, its first hexadecimal digits."""
    return hashlib.sha256(b"".join(map(as_bytes, parts))).hexdigest()[:digits]


def sha256_of_files(paths: Sequence[Path]) -> str:
    """SHA-256 of the bytes of all files together, 64 hexadecimal digits.

    Raises:
        OSError: a file cannot be read.
    """
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                total.update(chunk)
    return total.hexdigest()


def trained_digest(module: "nn.Module") -> str:
    """Digest of the names, shapes and values of all trained weights.

    It does not depend on the device or on how the weights are split over processes; where they are split, every
    process must ask for it.
    """
    # late: digests of texts and files must not take torch along
    import torch
    from torch.distributed.tensor import DTensor

    from lightning_c3l.distributed import fsdp

    digest = Digest()
    trained = {name: parameter for name, parameter in sorted(module.named_parameters()) if parameter.requires_grad}
    with fsdp.gathered_parameters(trained.values()):
        for name, parameter in trained.items():
            value = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
            digest.update(f"{name} {tuple(value.shape)} {value.dtype} ")
            # a copy: memory that numpy has seen can no longer be freed by FSDP; as bytes, since numpy knows no bfloat16
            copy = value.detach().to("cpu", copy=True).contiguous()
            digest.update(copy.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def as_bytes(part: str | bytes) -> bytes:
    """Bytes as they are, text as UTF-8 with lone surrogates."""
    return part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
