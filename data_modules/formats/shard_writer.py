"""Records to WebDataset shards."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from data_modules.formats.dialects import to_json
from data_modules.formats.images import image_bytes, image_extension, is_inline
from data_modules.formats.record import Inexpressible, Record, WriteOptions
from data_modules.formats.shard_reader import OWN
from data_modules.images.folders import EXTENSIONS


class ShardWriter:
    """Writes one shard. The same records always give the same bytes.

    Args:
        path: the file.
        options: dialect of the JSON, folder of the images; `lossy` leaves out images that cannot be found.
    """

    carries_images = True

    def __init__(self, path: Path, options: WriteOptions) -> None:
        from webdataset.writer import TarWriter  # late: it imports torch, which the other formats have no use for

        self._options, self._file = options, path.open("wb")
        # neither owner nor time of the machine; members are encoded here
        made = {"user": OWN, "group": "", "mode": 0o644, "mtime": 0.0}
        self._archive = TarWriter(self._file, encoder=False, compress=False, **made)

    def write(self, record: Record, number: int) -> None:
        """Add a sample; its key is the record's number.

        Raises:
            Inexpressible: the record has an image that cannot be found, or the dialect cannot hold it.
        """
        sample: dict[str, Any] = {"__key__": f"{number:09d}"}
        for index, image in enumerate(record.images):
            if is_inline(image):
                continue  # the JSON has it
            try:
                data = image_bytes(image, self._options.image_root)
            except Inexpressible:
                if self._options.lossy:
                    continue
                raise
            suffix = PurePosixPath(image.name).suffix.lower()
            extension = (suffix if suffix in EXTENSIONS else image_extension(data))[1:]
            sample[f"{index}.{extension}" if index else extension] = data
        sample["json"] = json.dumps(to_json(record, self._options.dialect, self._options.lossy)).encode()
        self._archive.write(sample)

    def close(self) -> None:
        """Write the end of the archive."""
        with self._file:
            self._archive.close()
