"""Records to WebDataset shards."""

import json
import tarfile
from io import BytesIO
from pathlib import Path, PurePosixPath

from data_modules.images.folders import EXTENSIONS
from data_modules.formats.dialects import to_json
from data_modules.formats.images import is_inline, kind_of, picture_bytes
from data_modules.formats.record import Inexpressible, Picture, Record
from data_modules.formats.shard_reader import OWN


class ShardWriter:
    """Writes one shard. The same records always give the same bytes.

    Args:
        path: the file.
        dialect: of the JSON.
        lossy: leave out images that cannot be found, and write what cannot be said as near as possible.
        image_root: folder that image paths are relative to.
    """

    def __init__(self, path: Path, dialect: str, lossy: bool, image_root: Path | None) -> None:
        self._dialect, self._lossy, self._root = dialect, lossy, image_root
        self._archive = tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT)

    def write(self, record: Record, number: int) -> None:
        """Adds a sample; its key is the record's number.

        Raises:
            Inexpressible: the record has an image that cannot be found, or the dialect cannot hold it.
        """
        files = [(place, *one) for place, one in enumerate(map(self._file, record.pictures)) if one is not None]
        self._add(f"{number:09d}.json", json.dumps(to_json(record, self._dialect, self._lossy, shard=True)).encode())
        for place, extension, data in files:
            self._add(f"{number:09d}.{place}{extension}" if place else f"{number:09d}{extension}", data)

    def close(self) -> None:
        """Writes the end of the archive."""
        self._archive.close()

    def _file(self, picture: Picture) -> tuple[str, bytes] | None:
        if is_inline(picture):
            return None  # the JSON has it
        try:
            data = picture_bytes(picture, self._root)
        except Inexpressible:
            if not self._lossy:
                raise
            return None
        named = PurePosixPath(picture.name).suffix.lower()
        return (named if named in EXTENSIONS else kind_of(data)), data

    def _add(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.uname = len(data), OWN
        self._archive.addfile(member, BytesIO(data))
