"""WebDataset shards of records: `<key>.json` and its images beside it, `<key>.jpg`, `<key>.1.png` and so on.

Names of members are read as names and never as paths. The key and the sample's other members become fields of the
record (`KEY` and `MEMBERS` in `fields.py`), unless a record that was converted to a shard here has its own.
"""

import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import IO, Any, Self, cast

from data_modules.images.folders import EXTENSIONS
from data_modules.formats.fields import KEY, MEMBERS
from data_modules.formats.images import UNKNOWN_KIND, safe_name
from data_modules.formats.json_reader import Beside, Raw, Take
from data_modules.formats.json_window import LIMIT, StrictDecoder
from data_modules.formats.messages import PLACEHOLDER
from data_modules.formats.record import Entry, Picture
from data_modules.formats.unsupported import KIND_BY_ENDING
from data_modules.images.shard_files import BoundedHeader, drain, expand, one_line, open_shard, split_member

_IMAGES = (*EXTENSIONS, UNKNOWN_KIND)
_NUMBERED = re.compile(r"(?:(\d{1,6})\.)?\w+")
_IMAGE_LIMIT = 1 << 30
# a larger text beside a record is no field of it
_FIELD_LIMIT = 1 << 20
# images that are not read; others would see them, and without them the record would be read as a text
_UNREAD_IMAGES = ("avif", "heic", "heif", "jxl", "svg")
# keys whose samples have no JSON are remembered per shard, at most so many
_MOST_KEYS = 1 << 20
# owner of the members of shards that are written here, whose keys are numbers that say nothing
OWN = "lightning_c3l"
_ORDER = "members of one sample must stand next to each other in a shard, as `tar --sort=name` writes them"
# not in the type stubs
_INVALID, _TRUNCATED = tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError  # type: ignore[attr-defined]


class _Sample:
    """The members of one key."""

    def __init__(self, member: tarfile.TarInfo) -> None:
        key, _ = split_member(member.name) or ("", "")
        self.key = "" if member.uname == OWN else key
        self.json: bytes | None = None
        self.pictures: list[tuple[int, Picture]] = []
        self.members: dict[str, str | None] = {}
        self.wrong = ""


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
        without_json = set[int]()
        with _opened_archive(shard, is_pipe) as (archive, stream):
            for damage, members in groupby(_members(archive, stream), _Grouping()):
                number += 1
                if isinstance(damage, str):
                    yield Entry(number, None, f"{shard}: damaged, the rest of it cannot be read: {damage}")
                elif take(number):
                    yield _parsed(number, _sample(archive, members), decoder, without_json)
                else:
                    _pass_over(members, without_json)
                    yield None


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
    with open_shard(shard, is_pipe) as stream, _archive(shard, stream) as archive:
        yield archive, stream


def _sample(archive: tarfile.TarFile, members: Iterator[Any]) -> _Sample:
    """The sample, with what is wrong with it."""
    sample: _Sample | None = None
    for member in members:
        sample = sample or _Sample(member)
        try:
            _add(sample, archive, member)
        except Exception as error:  # tar, gzip and the reader of a pipe each raise their own types
            sample.wrong = f"{member.name!r}: {one_line(error)}"
    assert sample is not None  # groups have at least one member
    return sample


def _add(sample: _Sample, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    """Read a member into its sample.

    Raises:
        ValueError: it is too large, or of a kind that is not supported.
    """
    name = (split_member(member.name) or ("", ""))[1]
    extension = "." + name.lower()
    if extension == ".json":
        sample.json = _data(archive, member, LIMIT)
    elif extension.endswith(_IMAGES):
        numbered = _NUMBERED.fullmatch(extension[1:])
        place = int(numbered[1] or 0) if numbered else LIMIT
        sample.pictures.append((place, Picture(safe_name(member.name), _data(archive, member, _IMAGE_LIMIT))))
    elif (ending := extension.rpartition(".")[2]) in _UNREAD_IMAGES or ending in KIND_BY_ENDING:
        raise ValueError(f"{KIND_BY_ENDING.get(ending, 'images of this kind')} not supported, only text and images")
    else:
        sample.members[name] = _text(archive, member)


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str | None:
    """The member's text; None if it is none, or too large for a field."""
    if member.size > _FIELD_LIMIT or member.issparse():
        return None
    try:
        return cast(IO[bytes], archive.extractfile(member)).read().decode("utf-8")
    except UnicodeDecodeError:
        return None


def _data(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int) -> bytes:
    if member.size > limit or member.issparse():
        raise ValueError(f"larger than {limit >> 20} MB, or sparse")
    return cast(IO[bytes], archive.extractfile(member)).read()


def _pass_over(members: Iterator[Any], without_json: set[int]) -> None:
    """Go on behind a sample that is not wanted; whether others are read must not depend on which are."""
    names = [split_member(member.name) or ("", "") for member in members]
    if all(extension.lower() != "json" for _, extension in names):
        _note(names[0][0], without_json)


def _note(key: str, without_json: set[int]) -> None:
    if len(without_json) < _MOST_KEYS:
        without_json.add(hash(key))


def _parsed(number: int, sample: _Sample, decoder: StrictDecoder, without_json: set[int]) -> Raw:
    """The sample's JSON with its other members; keys of samples without JSON are added to `without_json`."""
    try:
        if sample.wrong:
            raise ValueError(sample.wrong)
        if sample.json is None:
            _note(sample.key, without_json)
            raise ValueError(f"has no .json ({_ORDER})")
        if sample.key and hash(sample.key) in without_json:
            raise ValueError(f"its .json stands apart from its other members: {_ORDER}")
        value = decoder.whole(sample.json.decode("utf-8-sig"))
    except ValueError as error:
        return Entry(number, None, _named(sample.key, str(error)))
    if isinstance(value, dict) and sample.key:
        value.setdefault(KEY, sample.key)
        if sample.members:
            value.setdefault(MEMBERS, sample.members)
    return number, value, tuple(sorted(sample.pictures, key=itemgetter(0)))


def explained(value: object, beside: Beside, reason: str) -> str:
    """Why a sample's JSON is no record, with its key; where an image is missing, with the usual cause."""
    key = value.get(KEY) if isinstance(value, dict) else None
    return _named(key, f"{reason} ({_ORDER})" if PLACEHOLDER in reason and not beside else reason)


def _named(key: object, reason: str) -> str:
    return f"sample {key!r}: {reason}" if key else reason
