"""Checkpoint files carry a digest of themselves, which is checked before a run goes on from one."""

import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from lightning_c3l.runs.digests import Digest

# torch.save writes a zip archive; its comment, the last thing in the file, holds the digest of all that precedes it
_MARK = b"blake2b "
_COMMENT_LENGTH = len(_MARK) + 32
_CHUNK = 1 << 24


def save_checkpoint(checkpoint: dict[str, Any], file: IO[bytes]) -> None:
    """Write a checkpoint and its digest in one pass.

    Args:
        checkpoint: what `torch.save` takes.
        file: empty, open for writing.

    Raises:
        OSError: it cannot be written.
    """
    digesting = _DigestingFile(file)
    try:
        torch.save(checkpoint, digesting)  # type: ignore[arg-type]  # all that torch calls is `write` and `flush`
    except RuntimeError:
        # torch finishes its archive after a failed write too, and complains of what it finds
        if digesting.problem is not None:
            raise digesting.problem from None
        raise
    # the archive ends with the length of its comment, so far 0
    file.seek(-2, 2)
    file.write(_COMMENT_LENGTH.to_bytes(2, "little") + _MARK + digesting.digest.hexdigest().encode())


def verify_checkpoint(path: Path) -> None:
    """Read a checkpoint once, to make sure that it is what was written.

    A file is held against its digest, or against the checksums of its archive where another program wrote it. Of a
    folder, as some strategies write it, the archives of torch (`.pt`) are checked in the second way and other files not
    at all.

    Raises:
        ValueError: if it is cut or damaged, or no checkpoint; names the file.
        OSError: if it cannot be read.
    """
    for file in sorted(path.rglob("*.pt")) if path.is_dir() else [path]:
        with file.open("rb") as opened:
            stored = _stored_digest(opened)
            if stored is not None and stored != _content_digest(opened):
                raise ValueError(f"{file}: damaged, its digest is not the one that was written with it")
        if stored is None:
            _verify_archive(file)


class _DigestingFile:
    """Passes on what is written, and digests it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, Digest()
        self.problem: OSError | None = None

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self.problem = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _stored_digest(file: IO[bytes]) -> str | None:
    """The digest at the end of a file, None where there is none."""
    if file.seek(0, 2) < _COMMENT_LENGTH:
        return None
    file.seek(-_COMMENT_LENGTH, 2)
    comment = file.read()
    return comment.removeprefix(_MARK).decode("latin-1") if comment.startswith(_MARK) else None


def _content_digest(file: IO[bytes]) -> str:
    """Digest of what precedes the comment, as it was before its length was filled in."""
    left = file.seek(0, 2) - _COMMENT_LENGTH - 2
    digest = Digest()
    file.seek(0)
    while left > 0 and (chunk := file.read(min(left, _CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    digest.update(b"\0\0")
    return digest.hexdigest()


def _verify_archive(file: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except Exception as error:  # of many kinds, depending on which byte is wrong
        raise ValueError(f"{file}: no checkpoint, or one that is cut or damaged") from error
    if damaged is not None:
        raise ValueError(f"{file}: damaged, the checksum of its part {damaged} differs")
