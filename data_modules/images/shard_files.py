"""Tar shards as streams, whoever reads them: names with braces, gzip, and commands that write one.

webdataset opens any URL by its scheme, among them `pipe:` (a shell command) and ones that start other
programs. Local shards are therefore opened here; only a text that itself starts with `pipe:` is handed to it.
"""

import gzip
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import IO, Any, Self

import braceexpand

_ENDS = (".tar", ".tar.gz", ".tgz")
# kinds of members that tarfile reads as a whole before the member that they are about
_BEFORE = (b"L", b"K", b"x", b"g", b"X")
_MOST_BEFORE = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
# as webdataset's `base_plus_ext`, whose module imports torch: the key ends at the first dot of the file's name
_MEMBER = re.compile(r"((?:.*/)?[^.]+)\.([^/]*)")


def looks_like_shards(spec: str) -> bool:
    """Whether the text names tar shards, or a command that writes one, and not a folder or a glob."""
    return spec.startswith("pipe:") or any(url.lower().endswith(_ENDS) for url in _braces(spec))


def _braces(spec: str) -> list[str]:
    try:
        return list(braceexpand.braceexpand(spec))
    except ValueError as error:
        raise ValueError(f"{spec}: {error}; braces look like {{000..009}} or {{a,b}}") from error


def expand(urls: str) -> list[str]:
    """The shards' own names. A file of the very name given wins over what its braces might mean."""
    if urls.startswith("pipe:"):
        return _braces(urls)
    if Path(urls).exists():
        return [urls]
    found: list[str] = []
    for url in _braces(urls):
        if Path(url).exists():
            found.append(url)
        elif re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url):
            raise ValueError(f"{url}: only local files are opened; for other shards give pipe:curl -sfL URL or such")
        else:
            found += sorted(glob(url, recursive=True)) or [url]
    return found


@contextmanager
def opened(shard: str, is_pipe: bool) -> Iterator[Any]:
    """The shard's bytes, without its gzip layer; the end of the block sees whether a command succeeded.

    Raises:
        ValueError: it cannot be opened, or the command failed; names the shard.
    """
    try:
        stream: Any = _command(shard) if is_pipe else _local(Path(shard))
    except (OSError, EOFError) as error:
        raise ValueError(f"{shard}: cannot be opened: {one_line(error)}") from error
    is_whole = False
    try:
        yield stream
        is_whole = True
    finally:
        # a command that is cut off, since its first images or records were enough, fails of a broken pipe
        _close(shard, stream, must_succeed=is_whole and is_pipe)


class BoundedHeader(tarfile.TarInfo):
    """A member's header. A long name or a list of properties before it may fill the memory: none needs a megabyte."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """As tarfile's own.

        Raises:
            tarfile.ReadError: if it announces more than that.
        """
        found = super().frombuf(buf, encoding, errors)
        if found.type in _BEFORE and found.size > _MOST_BEFORE:
            raise tarfile.ReadError(f"a header of {found.size} bytes")
        return found


def split_member(name: str) -> tuple[str, str] | None:
    """Key and extension of a shard's member, `("a/b", "seg.png")` for `a/b.seg.png`.

    Returns:
        None for a name that belongs to no sample: one without a dot, or that starts with one.
    """
    found = _MEMBER.fullmatch(name)
    return None if found is None else (found[1], found[2])


def drain(stream: Any) -> None:
    """Reads a gzip file to its checksum, and a command to its end, since it would fail of a closed pipe."""
    while stream.read(1 << 20):
        pass


def _command(shard: str) -> Any:
    from webdataset.gopen import gopen  # late: it imports torch, for which nobody else here has a use

    return gopen(shard)


def _local(path: Path) -> IO[bytes] | gzip.GzipFile:
    if not path.is_file():  # a folder, or a named pipe that would block for ever
        raise FileNotFoundError("no such file")
    stream = path.open("rb")
    # Python's gzip reader verifies the checksum; the one inside tarfile's streams does not.
    if stream.peek(2)[:2] == GZIP_MAGIC:
        stream.close()
        return gzip.open(path, "rb")
    return stream


def _close(shard: str, stream: Any, must_succeed: bool) -> None:
    try:
        stream.close()
    except OSError as error:
        if must_succeed:
            raise ValueError(f"{shard}: the command failed: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """What went wrong, for a message."""
    # webdataset adds the stream and the URL to the arguments
    text = (error.strerror if isinstance(error, OSError) else None) or str(error.args[0] if error.args else error)
    return " ".join(text.split(" @ <")[0].split())[:200] or type(error).__name__
