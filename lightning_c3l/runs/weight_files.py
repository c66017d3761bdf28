"""Safetensors files: the check that a file is one, its tensors, and a digest that tells weights apart."""

import json
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from lightning_c3l.runs.digests import sha256_digest

# bytes that are read at each end of a tensor: a digest of all 14 GB of a 7B model would take longer than loading it
_EDGE = 4096
# beginning of the text that a clone without Git LFS leaves in place of a large file
_LFS = b"version https://git-lfs"
LFS_POINTER = "is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder"


def load_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a file, by name.

    Raises:
        ValueError: it is no safetensors file, or is cut.
        OSError: it cannot be read.
    """
    require_safetensors(file)
    return load_file(file)


def require_safetensors(file: Path) -> None:
    """Check the header of a file and that the file is as long as the header says.

    Raises:
        ValueError: it is no safetensors file, or is cut.
        OSError: it cannot be read.
    """
    try:
        with safe_open(file, "pt"):
            pass
    except SafetensorError as error:
        if is_lfs_pointer(file):
            raise ValueError(f"{file}: {LFS_POINTER}") from error
        raise ValueError(f"{file}: not a whole safetensors file ({error}); copy or download it again") from error


def is_lfs_pointer(file: Path) -> bool:
    """Whether a clone without Git LFS has left a pointer in place of a file.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        return stream.read(len(_LFS)) == _LFS


def weights_digest(files: Iterable[Path]) -> str:
    """Digest of the name, type and shape of every tensor, and of the first and last 4 KiB of its values.

    It does not depend on how the tensors are shared out over files. Values in the middle of a tensor do not count: it
    tells one training from another, and is no protection from a flipped bit.

    Raises:
        ValueError: a file is no safetensors file, or is cut.
        OSError: a file cannot be read.
    """
    found = dict[str, bytes]()
    for file in files:
        require_safetensors(file)
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
            for name, entry in header.items():
                if name == "__metadata__":
                    continue
                parts = [f"{name} {entry['dtype']} {entry['shape']} ".encode()]
                start, end = entry["data_offsets"]
                for offset in (start, max(start, end - _EDGE)):
                    stream.seek(8 + length + offset)
                    parts.append(stream.read(min(_EDGE, end - offset)))
                found[name] = bytes.fromhex(sha256_digest(*parts))
    return sha256_digest(*(found[name] for name in sorted(found)))
