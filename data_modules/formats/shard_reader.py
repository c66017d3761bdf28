"""WebDataset shards of records: `<key>.json` and its images beside it, `<key>.jpg`, `<key>.1.png` and so on.

Names of members are read as names and never as paths. The key and the sample's other members become fields of the
record (`KEY` and `MEMBERS` in `fields.py`), unless a record that was converted to a shard here has its own.

webdataset's own reader is not used: it takes a broken header for the end of the archive, so that the rest of the shard
is missing without a word, reads every member whole, whatever size it announces, and its decoders unpickle members.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Self, cast

from data_modules.formats.dialects import parse_entry
from data_modules.formats.fields import KEY, MEMBERS
from data_modules.formats.images import UNKNOWN_EXTENSION, safe_name
from data_modules.formats.json_reader import LIMIT
from data_modules.formats.messages import PLACEHOLDER
from data_modules.formats.record import Entry, ImageRef, Take
from data_modules.formats.strict_json import StrictDecoder
from data_modules.formats.unsupported import KIND_BY_ENDING
from data_modules.images.folders import EXTENSIONS
from data_modules.images.shard_files import BoundedHeader, drain, expand, one_line, open_shard, split_member

# owner of the members of shards that are written here, whose keys are numbers that say nothing
OWN = "lightning_c3l"
_IMAGES = (*EXTENSIONS, UNKNOWN_EXTENSION)
_NUMBERED = re.compile(r"(?:(\d{1,6})\.)?\w+")
_MOST_IMAGE_BYTES = 1 << 30
# a larger text beside a record is no field of it
_MOST_FIELD_BYTES = 1 << 20
# images that are not read; others would see them, and without them the record would be read as a text
_UNREAD_IMAGES = ("avif", "heic", "heif", "jxl", "svg")
# keys whose samples have no JSON are remembered per shard, at most so many
_MOST_KEYS = 1 << 20
_ORDER = "members of one sample must stand next to each other in a shard, as `tar --sort=name` writes them"
# not in the type stubs
_INVALID, _TRUNCATED = tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError  # type: ignore[attr-defined]


class ShardReader:
    """Reads shards, each once from front to back.

    Args:
        source: path of a shard, braces or wildcards for several, or `pipe:` and a command.
    """

    container = "tar"

    def __init__(self, source: str) -> None:
        self._source, self._is_pipe = source, source.startswith("pipe:")

    @property
    def files(self) -> list[Path]:
        """The shards; none for the output of a command."""
        return [] if self._is_pipe else [Path(name) for name in expand(self._source)]

    def entries(self, take: Take) -> Iterator[Entry]:
        """The wanted samples; of the others only the headers are read.

        Raises:
            ValueError: a shard cannot be open_shard.
        """
        return (entry for entry in self._scan(take) if entry is not None)

    def count(self) -> int:
        """The number of entries, by the members' headers."""
        return sum(1 for _ in self._scan(lambda number: False))

    def _scan(self, take: Take) -> Iterator[Entry | None]:
        """All entries, None for those that are not wanted."""
        decoder, number = StrictDecoder(), 0
        for shard in expand(self._source):
            # hashes of the keys of samples without a .json
            without_json = set[int]()
            with open_shard(shard, self._is_pipe) as stream, _archive(shard, stream) as archive:
                for damage, members in groupby(_members(archive, stream), _SampleNumber()):
                    number += 1
                    if isinstance(damage, str):
                        yield Entry(number, None, f"{shard}: damaged, the rest of it cannot be read: {damage}")
                    elif take(number):
                        yield _entry(number, _Sample(archive, members), decoder, without_json)
                    else:  # whether others are read must not depend on which are wanted
                        names = [split_member(member.name) or ("", "") for member in members]
                        if all(extension.lower() != "json" for _, extension in names):
                            _remember(names[0][0], without_json)
                        yield None


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


def _members(archive: Any, stream: Any) -> Iterator[Any]:
    """The archive's files as TarInfo; if it is damaged, in the end what is wrong as a text."""
    try:
        for member in archive:
            archive.members = []  # tarfile remembers all of them otherwise
            if member.isreg() and split_member(member.name) is not None:
                yield member
        drain(stream)
    except Exception as error:  # tar, gzip and the reader of a pipe each raise their own types
        yield one_line(error)


class _SampleNumber:
    """Tells samples apart: neighbours with one key, of which no two members have one extension."""

    def __init__(self) -> None:
        self._key: str | None = None
        self._extensions: set[str] = set()
        self._number = 0

    def __call__(self, member: tarfile.TarInfo | str) -> int | str:
        if isinstance(member, str):
            return member
        key, extension = split_member(member.name) or ("", "")
        if key != self._key or extension in self._extensions:
            self._key, self._extensions, self._number = key, set(), self._number + 1
        self._extensions.add(extension)
        return self._number


class _Sample:
    """The members of one key, read.

    Attributes:
        key: empty if the sample was written here.
        json: None if there is none.
        images: with the number in the member's name.
        members: the others, by extension.
        wrong: what is wrong with the sample, naming the member.
    """

    def __init__(self, archive: tarfile.TarFile, members: Iterable[Any]) -> None:
        self.key, self.wrong = "", ""
        self.json: bytes | None = None
        self.images, self.members = list[tuple[int, ImageRef]](), dict[str, str | None]()
        for member in members:
            key, extension = split_member(member.name) or ("", "")
            self.key = "" if member.uname == OWN else key
            try:
                self._add(archive, member, extension)
            except Exception as error:  # tar, gzip and the reader of a pipe each raise their own types
                self.wrong = f"{member.name!r}: {one_line(error)}"

    def _add(self, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> None:
        """Read a member.

        Raises:
            ValueError: it is too large, or of a kind that is not supported.
        """
        extension = "." + name.lower()
        ending = extension.rpartition(".")[2]
        if extension == ".json":
            self.json = _content(archive, member, LIMIT)
        elif extension.endswith(_IMAGES):
            numbered = _NUMBERED.fullmatch(extension[1:])
            image = ImageRef(safe_name(member.name), _content(archive, member, _MOST_IMAGE_BYTES))
            self.images.append((int(numbered[1] or 0) if numbered else LIMIT, image))
        elif ending in _UNREAD_IMAGES or ending in KIND_BY_ENDING:
            raise ValueError(f"{KIND_BY_ENDING.get(ending, 'images of this kind')} not supported, only text and images")
        else:
            self.members[name] = None
            if member.size <= _MOST_FIELD_BYTES and not member.issparse():
                content = _content(archive, member, _MOST_FIELD_BYTES)
                with suppress(UnicodeDecodeError):  # binary
                    self.members[name] = content.decode()


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int) -> bytes:
    if member.size > limit or member.issparse():
        raise ValueError(f"larger than {limit >> 20} MB, or sparse")
    return cast(IO[bytes], archive.extractfile(member)).read()


def _remember(key: str, without_json: set[int]) -> None:
    if len(without_json) < _MOST_KEYS:
        without_json.add(hash(key))


def _entry(number: int, sample: _Sample, decoder: StrictDecoder, without_json: set[int]) -> Entry:
    """The record of a sample; the key of one without JSON is added to `without_json`."""
    value: Any = None
    try:
        if sample.wrong:
            raise ValueError(sample.wrong)
        if sample.json is None:
            _remember(sample.key, without_json)
            raise ValueError(f"has no .json ({_ORDER})")
        if sample.key and hash(sample.key) in without_json:
            raise ValueError(f"its .json stands apart from its other members: {_ORDER}")
        value = decoder.decode(sample.json.decode("utf-8-sig"))
    except ValueError as error:
        entry = Entry(number, None, str(error))
    else:
        if isinstance(value, dict) and sample.key:
            value.setdefault(KEY, sample.key)
            if sample.members:
                value.setdefault(MEMBERS, sample.members)
        entry = parse_entry(number, value, sorted(sample.images, key=itemgetter(0)))
    if entry.reason and PLACEHOLDER in entry.reason and not sample.images:
        entry.reason += f" ({_ORDER})"
    # a shard that was written here may hold the key that the record came with
    key = value.get(KEY) if isinstance(value, dict) else sample.key
    if entry.reason and key:
        entry.reason = f"sample {key!r}: {entry.reason}"
    return entry
