"""Tar shards as byte streams: names with braces, gzip, and commands that write one.

webdataset opens any URL by its scheme, among them `pipe:` (a shell command) and ones that start other programs. Local
shards are therefore opened here; only a spec that itself starts with `pipe:` is handed to webdataset.
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
# types of headers that tarfile reads as a whole before the member that they describe
_BEFORE = (b"L", b"K", b"x", b"g", b"X")
_MOST_BEFORE = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
# as webdataset's `base_plus_ext`, whose module imports torch: the key ends at the first dot of the file's name
_MEMBER = re.compile(r"((?:.*/)?[^.]+)\.([^/]*)")


def looks_like_shards(spec: str) -> bool:
    """Whether the spec names tar shards, or a command that writes one, and not a folder or a glob."""
    return spec.startswith("pipe:") or any(url.lower().endswith(_ENDS) for url in _braces(spec))


def expand(urls: str) -> list[str]:
    """The names of the shards. A file of exactly the given name wins over an expansion of its braces."""
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


def _braces(spec: str) -> list[str]:
    try:
        return list(braceexpand.braceexpand(spec))
    except ValueError as error:
        raise ValueError(f"{spec}: {error}; braces look like {{000..009}} or {{a,b}}") from error


@contextmanager
def open_shard(shard: str, is_pipe: bool) -> Iterator[Any]:
    """The shard's bytes without its gzip layer; leaving the block checks that a command succeeded.

    Raises:
        ValueError: it cannot be opened, or the command failed; names the shard.
    """
    try:
        if is_pipe:
            from webdataset.gopen import gopen  # late: it imports torch, which nothing else here needs

            opened: Any = gopen(shard)
            # its own `read` raises as soon as the command has failed, and the bytes that it had read are lost
            stream = opened.stream
        else:
            opened = stream = _open_local(Path(shard))
    except (OSError, EOFError) as error:
        raise ValueError(f"{shard}: cannot be opened: {one_line(error)}") from error
    try:
        yield stream
    except ValueError as error:
        if failure := _close(opened):
            raise ValueError(f"{error}; the command ended with {failure}") from error
        raise
    except BaseException:
        _close(opened)  # a command that is cut off, since its first images or records were enough, may well fail
        raise
    if failure := _close(opened):
        raise ValueError(f"{shard}: the command failed with {failure}")


def _close(opened: Any) -> str:
    """Close a shard, and say with which exit status its command failed, "" where it did not."""
    try:
        opened.close()
    except OSError:
        # a file has no status, and has been read
        return f"exit status {opened.status}" if hasattr(opened, "status") else ""
    return ""


class BoundedHeader(tarfile.TarInfo):
    """A member's header, with a limit of 1 MiB for the long names and properties before it, which fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse a header as tarfile does.

        Raises:
            tarfile.ReadError: it announces more than the limit.
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
    """Read a gzip file to its checksum, and a command to its end, since a closed pipe would make it fail."""
    while stream.read(1 << 20):
        pass


def _open_local(path: Path) -> IO[bytes] | gzip.GzipFile:
    if not path.is_file():  # a folder, or a named pipe that would block for ever
        raise FileNotFoundError("no such file")
    stream = path.open("rb")
    # Python's gzip reader verifies the checksum; the one inside tarfile's streams does not
    if stream.peek(2)[:2] == GZIP_MAGIC:
        stream.close()
        return gzip.open(path, "rb")
    return stream


def one_line(error: Exception) -> str:
    """The reason of an error on one line, for a message."""
    # webdataset adds the stream and the URL to the arguments
    text = (error.strerror if isinstance(error, OSError) else None) or str(error.args[0] if error.args else error)
    return " ".join(text.split(" @ <")[0].split())[:200] or type(error).__name__
