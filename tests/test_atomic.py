"""A file is whole or absent."""

import errno
import json
from pathlib import Path

import pytest

from lightning_c3l.atomic import atomic_path, naming, write_json_atomic, write_text_atomic


def test_replaces_and_creates_parents(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_text_atomic(path, "old")
    write_text_atomic(path, "new\r\nümlaut\n")
    assert path.read_bytes() == "new\r\nümlaut\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("old")

    def interrupted() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".txt"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "x.json", {"a": [1, None]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [1, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(tmp_path / "y.json", float("nan"))
    assert not (tmp_path / "y.json").exists()


def test_unwritable_place_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError):
        write_text_atomic(tmp_path / "file" / "below.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_text_atomic(tmp_path / "folder", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(OSError, match=r"No space left on device: .*result\.json"),
        atomic_path(tmp_path / "result.json"),
    ):
        raise full
    other = OSError(errno.EACCES, "Permission denied", "another file")
    with pytest.raises(OSError, match="Permission denied: 'another file'"), naming(tmp_path / "result.json"):
        raise other
    assert list(tmp_path.iterdir()) == []
