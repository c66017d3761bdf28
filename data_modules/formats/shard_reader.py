"""WebDataset shards of records: `<key>.json` and its images beside it, `<key>.jpg`, `<key>.1.png` and so on.

Names of members are read as names and never as paths. The key and the sample's other members become fields of the
record (`KEY` and `MEMBERS` in `fields.py`), unless a record that was converted to a shard here has its own.

webdataset's own reader is not used: it silently drops the rest of a shard behind a broken header, reads every member
into memory, whatever its size, and refuses a sample in which two members share an extension.
"""

import re
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self, cast

from data_modules.formats.dialects import parse_entry
from data_modules.formats.fields import KEY, MEMBERS
from data_modules.formats.images import UNKNOWN_EXTENSION, is_safe_name
from data_modules.formats.json_reader import LIMIT
from data_modules.formats.messages import PLACEHOLDER
from data_modules.formats.own_dialect import Rewrite
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
        rewrite: rewrites records of a dialect of the user's own.
    """

    container = "tar"

    def __init__(self, source: str, rewrite: Rewrite | None = None) -> None:
        self._source, self._is_pipe, self._rewrite = source, source.startswith("pipe:"), rewrite

    @property
    def files(self) -> list[Path]:
        """The shards; none for the output of a command."""
        return [] if self._is_pipe else [Path(name) for name in expand(self._source)]

    def count(self) -> int:
        """The number of entries, by the members' headers."""
        return sum(1 for _ in self.entries(lambda number: False))

    def entries(self, take: Take) -> Iterator[Entry | None]:
        """All samples, None for those that are not wanted, of which only the headers are read.

        Raises:
            ValueError: a shard cannot be opened.
        """
        decoder, number = StrictDecoder(), 0
        for shard in expand(self._source):
            # hashes of the keys of samples without a .json
            without_json = set[int]()
            sample: _Sample | None = None
            with open_shard(shard, self._is_pipe) as stream, _archive(shard, stream) as archive:
                for member in _members(archive, stream):
                    is_damage = isinstance(member, str)
                    key, extension = ("", "") if is_damage else split_member(member.name) or ("", "")
                    if sample is not None and (is_damage or key != sample.key or extension in sample.extensions):
                        yield sample.entry(decoder, without_json, self._rewrite)
                        sample = None
                    if is_damage:
                        number += 1
                        yield Entry(number, None, f"{shard}: damaged, the rest of it cannot be read: {member}")
                        continue
                    if sample is None:
                        number += 1
                        sample = _Sample(number, key, take(number))
                    sample.add(archive, member, extension)
                if sample is not None:
                    yield sample.entry(decoder, without_json, self._rewrite)


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


class _Sample:
    """Neighbours with one key, of which no two have one extension.

    Args:
        number: of the entry.
        key: of the members.
        is_wanted: whether the members are read.

    Attributes:
        extensions: of all members.
    """

    def __init__(self, number: int, key: str, is_wanted: bool) -> None:
        self.number, self.key, self.extensions = number, key, set[str]()
        self._is_wanted, self._is_own, self._wrong = is_wanted, False, ""
        self._json: bytes | None = None
        # with the number in the member's name
        self._images = list[tuple[int, ImageRef]]()
        self._others: dict[str, str | None] = {}

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> None:
        """Read a member; what is wrong with it is what is wrong with the sample."""
        self.extensions.add(name)
        self._is_own = member.uname == OWN
        if not self._is_wanted:
            return
        try:
            extension = "." + name.lower()
            ending = extension.rpartition(".")[2]
            if extension == ".json":
                self._json = _content(archive, member, LIMIT)
            elif extension.endswith(_IMAGES):
                numbered = _NUMBERED.fullmatch(extension[1:])
                path = member.name if is_safe_name(member.name) else PurePosixPath(member.name).name
                image = ImageRef(path, _content(archive, member, _MOST_IMAGE_BYTES))
                self._images.append((int(numbered[1] or 0) if numbered else LIMIT, image))
            elif ending in _UNREAD_IMAGES or ending in KIND_BY_ENDING:
                kind = KIND_BY_ENDING.get(ending, "images of this kind")
                self._wrong = f"{member.name!r}: {kind} not supported, only text and images"
            else:
                self._others[name] = None
                if member.size <= _MOST_FIELD_BYTES and not member.issparse():
                    with suppress(UnicodeDecodeError):  # binary
                        self._others[name] = _content(archive, member, _MOST_FIELD_BYTES).decode()
        except Exception as error:  # tar, gzip and the reader of a pipe each raise their own types
            self._wrong = f"{member.name!r}: {one_line(error)}"

    def entry(self, decoder: StrictDecoder, without_json: set[int], rewrite: Rewrite | None = None) -> Entry | None:
        """The record; None if it is not wanted.

        Args:
            decoder: of its JSON.
            without_json: hashes of the keys of samples without JSON, to which this one's may be added. Whether others
                are read must not depend on which are wanted.
            rewrite: rewrites the JSON of a dialect of the user's own.
        """
        value: Any = None
        key = "" if self._is_own else self.key
        if "json" not in map(str.lower, self.extensions) and len(without_json) < _MOST_KEYS:
            without_json.add(hash(key))
        if not self._is_wanted:
            return None
        try:
            if self._wrong:
                raise ValueError(self._wrong)
            if self._json is None:
                raise ValueError(f"has no .json ({_ORDER})")
            if key and hash(key) in without_json:
                raise ValueError(f"its .json stands apart from its other members: {_ORDER}")
            value = decoder.decode(self._json.decode("utf-8-sig"))
        except ValueError as error:
            entry = Entry(self.number, None, str(error))
        else:
            if isinstance(value, dict) and key:
                value.setdefault(KEY, key)
                if self._others:
                    value.setdefault(MEMBERS, self._others)
            entry = parse_entry(self.number, value, sorted(self._images, key=itemgetter(0)), rewrite=rewrite)
        if PLACEHOLDER in entry.reason and not self._images:
            entry.reason += f" ({_ORDER})"
        # a shard that was written here may hold the key that the record came with
        named = value.get(KEY) if isinstance(value, dict) else key
        if entry.reason and named:
            entry.reason = f"sample {named!r}: {entry.reason}"
        return entry


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int) -> bytes:
    if member.size > limit or member.issparse():
        raise ValueError(f"larger than {limit >> 20} MB, or sparse")
    return cast(IO[bytes], archive.extractfile(member)).read()
