"""Shards as streams: what a header may announce."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from data_modules.formats import read_records
from data_modules.images.sources import open_images


def bomb(path: Path) -> None:
    """A member whose name is said to be 64 MB long."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 64 << 20
    out = io.BytesIO()
    out.write(header.tobuf(tarfile.GNU_FORMAT))
    out.write(b"a" * header.size)
    path.write_bytes(gzip.compress(out.getvalue(), 1))


def test_headers_that_would_fill_the_memory(tmp_path: Path) -> None:
    bomb(tmp_path / "x.tar.gz")
    with pytest.raises(ValueError, match=r"x\.tar\.gz: damaged.*a header of 67108864 bytes"):
        open_images(str(tmp_path / "x.tar.gz"), tmp_path / "spool")
    found = []
    with pytest.raises(ValueError, match="header of 67108864 bytes"):
        found = list(read_records(tmp_path / "x.tar.gz"))
    assert not found
