"""WebDataset shards of records: `<key>.json` and its images beside it, `<key>.jpg`, `<key>.1.png` and so on.

Names of members are read as names and never as paths. Members that are neither JSON nor image are passed over.
"""

import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import PurePosixPath
from typing import IO, Any, Self, cast

from data_modules.folder_images import EXTENSIONS
from data_modules.formats.json_text import Raw, Take
from data_modules.formats.json_window import LIMIT, StrictDecoder
from data_modules.formats.pictures import UNKNOWN_KIND
from data_modules.formats.record import Entry, Picture
from data_modules.shard_files import BoundedHeader, drain, expand, one_line, opened, split_member

_IMAGES = (*EXTENSIONS, UNKNOWN_KIND)
_NUMBERED = re.compile(r"(?:(\d{1,6})\.)?\w+")
_IMAGE_LIMIT = 1 << 30
# not in the type stubs
_INVALID, _TRUNCATED = tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError  # type: ignore[attr-defined]


class _Sample:
    """The members of one key."""

    def __init__(self) -> None:
        self.json: bytes | None = None
        self.pictures: list[tuple[int, Picture]] = []


def raw_records(source: str, take: Take) -> Iterator[Raw]:
    """The samples of all shards that `take` accepts by their number.

    Raises:
        ValueError: a shard cannot be opened.
    """
    yield from (item for item in _samples(source, take) if item is not None)


def count(source: str) -> int:
    """The number of entries that `raw_records` gives, by the members' headers."""
    return sum(1 for _ in _samples(source, lambda number: False))


def _samples(source: str, take: Take) -> Iterator[Raw | None]:
    """An item for each sample, None where it is not wanted."""
    decoder, number, is_pipe = StrictDecoder(), 0, source.startswith("pipe:")
    for shard in expand(source):
        with _opened_archive(shard, is_pipe) as (archive, stream):
            for damage, members in groupby(_members(archive, stream), _Grouping()):
                number += 1
                if isinstance(damage, str):
                    yield Entry(number, None, f"{shard}: damaged, the rest of it cannot be read: {damage}")
                else:
                    yield _parsed(number, _sample(archive, members), decoder) if take(number) else None


class _Grouping:
    """Tells samples apart: neighbours with one key, of which no two members have one extension."""

    def __init__(self) -> None:
        self._key: str | None = None
        self._seen: set[str] = set()
        self._number = 0

    def __call__(self, member: tarfile.TarInfo | str) -> int | str:
        if isinstance(member, str):
            return member
        key, extension = split_member(member.name) or ("", "")
        if key != self._key or extension in self._seen:
            self._key, self._seen, self._number = key, set(), self._number + 1
        self._seen.add(extension)
        return self._number


def _members(archive: Any, stream: Any) -> Iterator[tarfile.TarInfo | str]:
    """The archive's files; at last, where it is damaged, in what way."""
    try:
        for member in archive:
            archive.members = []  # tarfile remembers all of them otherwise
            if member.isreg() and split_member(member.name) is not None:
                yield member
        drain(stream)
    except Exception as error:  # tar, gzip and the reader of a pipe each raise their own types
        yield one_line(error)


class _Header(BoundedHeader):
    """A member's header. tarfile takes a broken one, other than the first, for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except (_INVALID, _TRUNCATED) as error:
            raise tarfile.ReadError(f"broken header: {error}") from error


def _archive(shard: str, stream: Any) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header)
    except Exception as error:  # tar, gzip and the reader of a pipe each raise their own types
        raise ValueError(f"{shard}: damaged, or no tar archive: {one_line(error)}") from error


@contextmanager
def _opened_archive(shard: str, is_pipe: bool) -> Iterator[tuple[tarfile.TarFile, Any]]:
    """The archive, to be read once from front to back, and what it is read from."""
    with opened(shard, is_pipe) as stream, _archive(shard, stream) as archive:
        yield archive, stream


def _sample(archive: tarfile.TarFile, members: Iterator[Any]) -> _Sample | str:
    """The sample, or what is wrong with it."""
    sample, wrong = _Sample(), ""
    for member in members:
        extension = "." + (split_member(member.name) or ("", ""))[1].lower()
        if extension != ".json" and not extension.endswith(_IMAGES):
            continue
        try:
            data = _data(archive, member, LIMIT if extension == ".json" else _IMAGE_LIMIT)
        except Exception as error:  # as above
            wrong = f"{member.name!r}: {one_line(error)}"
            continue
        if extension == ".json":
            sample.json = data
        else:
            numbered = _NUMBERED.fullmatch(extension[1:])
            place = int(numbered[1] or 0) if numbered else LIMIT
            sample.pictures.append((place, Picture(PurePosixPath(member.name).name, data)))
    return wrong or sample


def _data(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int) -> bytes:
    if member.size > limit or member.issparse():
        raise ValueError(f"larger than {limit >> 20} MB, or sparse")
    return cast(IO[bytes], archive.extractfile(member)).read()


def _parsed(number: int, sample: _Sample | str, decoder: StrictDecoder) -> Raw:
    if isinstance(sample, str):
        return Entry(number, None, sample)
    if sample.json is None:
        return Entry(number, None, "the sample has no .json")
    try:
        return number, decoder.whole(sample.json.decode("utf-8-sig")), tuple(sorted(sample.pictures, key=itemgetter(0)))
    except ValueError as error:
        return Entry(number, None, str(error))
