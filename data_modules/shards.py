"""WebDataset shards into a folder of image files.

webdataset opens any URL by its scheme, among them `pipe:` (a shell command) and ones that start other
programs. Local shards are therefore opened here and handed over as streams; only a text that itself starts
with `pipe:` gets that far.
"""

import gzip
import re
import tarfile
from collections.abc import Iterator, Sequence
from glob import glob
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, cast

import braceexpand
from webdataset import tariterators
from webdataset.gopen import gopen

from data_modules.folder_images import EXTENSIONS, FolderImages, check_limit
from lightning_c3l.atomic import atomic_path

_ENDS = (".tar", ".tar.gz", ".tgz")
_GZIP_MAGIC = b"\x1f\x8b"


def looks_like_shards(spec: str) -> bool:
    """Whether the text names tar shards, or a command that writes one, and not a folder or a glob."""
    return spec.startswith("pipe:") or any(url.lower().endswith(_ENDS) for url in _braces(spec))


def unpack_shards(urls: str, folder: Path, limit: int | None = None) -> FolderImages:
    """Writes the image of every sample as its own file, in its original bytes.

    Nothing is decoded: a damaged image is listed like any other and `read` says what is wrong with it. Names
    are the samples' keys with everything but plain letters replaced, folders flattened; the same shards
    always give the same names. Of a sample with several images the one with the shortest extension counts
    (`jpg` before `seg.png`).

    Args:
        urls: path of a shard, with {000..009} braces or wildcards, or `pipe:` and a shell command.
        folder: where the files go; created.
        limit: only the first so many images.

    Returns:
        The unpacked files, in the order of the shards.

    Raises:
        ValueError: a shard is missing or damaged, or there is no image in any.
        OSError: `folder` cannot be written.
    """
    check_limit(limit)
    shards = _expand(urls)
    taken: dict[str, int] = {}
    keys: list[str] = []
    for shard in shards:
        for name, data in _images(shard, is_pipe=urls.startswith("pipe:")):
            keys.append(_free_name(_safe_name(name), taken))
            with atomic_path(folder / keys[-1]) as temporary:
                temporary.write_bytes(data)
            if len(keys) == limit:
                return FolderImages.listed(folder, keys)
    if not keys:
        raise ValueError(f"{urls}: no image in {len(shards)} shard(s); members must end in {' '.join(EXTENSIONS)}")
    return FolderImages.listed(folder, keys)


def _braces(spec: str) -> list[str]:
    try:
        return list(braceexpand.braceexpand(spec))
    except ValueError as error:
        raise ValueError(f"{spec}: {error}; braces look like {{000..009}} or {{a,b}}") from error


def _expand(urls: str) -> list[str]:
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
            raise ValueError(f"{url}: only local shards are opened; for others give pipe:curl -sfL URL, or the like")
        else:
            found += sorted(glob(url, recursive=True)) or [url]
    return found


def _images(shard: str, is_pipe: bool) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each sample's image.

    Raises:
        ValueError: for whatever goes wrong with the shard, naming it.
    """
    try:
        stream = gopen(shard) if is_pipe else _local(Path(shard))
    except (OSError, EOFError) as error:
        raise ValueError(f"{shard}: cannot be opened: {_one_line(error)}") from error
    finished = False
    try:
        yield from _one_per_sample(_members(shard, stream))
        finished = True
    finally:
        # A command that is cut off by `limit` fails of a broken pipe, which is no news.
        _close(shard, stream, must_succeed=finished and is_pipe)


def _members(shard: str, stream: Any) -> Iterator[tuple[str, bytes]]:
    files = tariterators.tar_file_expander(
        [{"url": shard, "stream": stream}],
        select_files=lambda name: name.lower().endswith(EXTENSIONS),
        eof_value=None,
    )
    while True:
        try:
            file = next(files, None)
            if file is None:
                _check_whole(shard, stream)
                return
        except Exception as error:  # tar, gzip and the reader of a pipe each raise their own types
            raise ValueError(f"{shard}: damaged, or no tar archive: {_one_line(error)}") from error
        yield file["fname"], file["data"]


def _local(path: Path) -> IO[bytes] | gzip.GzipFile:
    if not path.is_file():  # a folder, or a named pipe that would block for ever
        raise FileNotFoundError("no such file")
    stream = path.open("rb")
    # Python's gzip reader verifies the checksum; the one inside tarfile's streams does not.
    if stream.peek(2)[:2] == _GZIP_MAGIC:
        stream.close()
        return gzip.open(path, "rb")
    return stream


def _check_whole(shard: str, stream: Any) -> None:
    """Sees to damage that tarfile takes for the end of the archive: a broken header after the first."""
    if not isinstance(stream, BufferedReader):
        # A gzip file to its checksum; a command to its end, since it would fail of a closed pipe.
        while stream.read(1 << 20):
            pass
        return
    with tarfile.open(shard) as archive:
        archive.getmembers()
        rest = cast(IO[bytes], archive.fileobj)
        rest.seek(archive.offset)
        if any(rest.read(tarfile.BLOCKSIZE)):
            raise tarfile.ReadError(f"broken header at byte {archive.offset}")


def _close(shard: str, stream: Any, must_succeed: bool) -> None:
    try:
        stream.close()
    except OSError as error:
        if must_succeed:
            raise ValueError(f"{shard}: the command failed: {_one_line(error)}") from error


def _one_per_sample(members: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Of neighbours with one key (the name up to its first dot) the image with the shortest extension."""
    sample: dict[str, tuple[str, bytes]] = {}
    current: str | None = None
    for name, data in members:
        key, extension = tariterators.base_plus_ext(name)
        if key is None:  # a name that starts with a dot belongs to no sample
            continue
        if sample and (key != current or extension in sample):
            yield _main_image(sample)
            sample = {}
        current = key
        sample[extension] = (name, data)
    if sample:
        yield _main_image(sample)


def _main_image(sample: dict[str, tuple[str, bytes]]) -> tuple[str, bytes]:
    return sample[min(sample, key=lambda extension: extension.count("."))]


def _safe_name(name: str) -> str:
    """A plain file name, whatever the archive says: no folder, no `..`, nothing hidden, not too long."""
    stem, dot, extension = name.rpartition(".")
    parts: Sequence[str] = [part for part in re.split(r"[/\\]", stem) if part.strip(". ")]
    plain = re.sub(r"[^\w.+-]", "_", "_".join(parts)).strip(".") or "image"
    # 60 letters of 4 bytes each still fit where names have 255 bytes
    return f"{plain[-60:].lstrip('.')}{dot}{extension.lower()}"


def _free_name(name: str, taken: dict[str, int]) -> str:
    """The name, or with a number where an earlier image has it, also in file systems that ignore case."""
    stem, dot, extension = name.rpartition(".")
    candidate, number = name, taken.get(name.lower(), 0)
    while candidate.lower() in taken:
        number += 1
        candidate = f"{stem}-{number}{dot}{extension}"
    taken[name.lower()] = number
    taken.setdefault(candidate.lower(), 0)
    return candidate


def _one_line(error: Exception) -> str:
    # webdataset adds the stream and the URL to the arguments
    text = (error.strerror if isinstance(error, OSError) else None) or str(error.args[0] if error.args else error)
    return " ".join(text.split(" @ <")[0].split())[:200] or type(error).__name__
