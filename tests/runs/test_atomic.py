"""A file is whole or absent."""

import errno
import json
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from lightning_c3l.runs.atomic import (
    atomic_folder,
    atomic_path,
    naming,
    require_writable,
    write_json_atomic,
    write_text_atomic,
)


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


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    far = tmp_path / "other disk"
    far.mkdir()
    (far / "old.bin").write_text("old")
    link, chained = tmp_path / "link.json", tmp_path / "chained.json"
    link.symlink_to(Path("other disk") / "old.bin")  # relative, as `ln -s` often leaves them
    chained.symlink_to("link.json")
    with atomic_path(chained) as temporary:
        # the rename must not cross file systems; writers go by the extension of the name they were given
        assert (temporary.parent, temporary.suffix) == (far, ".json")
        temporary.write_text("new")
    assert chained.is_symlink()
    assert link.is_symlink()
    assert (far / "old.bin").read_text() == "new"
    dangling = tmp_path / "dangling.json"
    dangling.symlink_to(far / "later.json")
    write_text_atomic(dangling, "there")
    assert dangling.is_symlink()
    assert (far / "later.json").read_text() == "there"
    assert sorted(path.name for path in far.iterdir()) == ["later.json", "old.bin"]


def test_a_linked_folder_stays_a_link(tmp_path: Path) -> None:
    far, link = tmp_path / "far", tmp_path / "adapter"
    far.mkdir()
    (far / "stale").write_text("old")
    link.symlink_to(far)
    with atomic_folder(link) as temporary:
        (temporary / "fresh").write_text("new")
    assert link.is_symlink()
    assert [path.name for path in far.iterdir()] == ["fresh"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "far"]


def test_text_that_is_no_utf_8_is_escaped(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "x.html", "<p>\udcff.jpg \u00fc")
    assert (tmp_path / "x.html").read_text(encoding="utf-8") == "<p>\\udcff.jpg \u00fc"


@pytest.fixture
def noted(monkeypatch) -> list[tuple[str, str]]:
    """What the disk is asked to do, in order: ("sync" or "rename", name)."""
    done: list[tuple[str, str]] = []
    opened: dict[int, str] = {}
    real_open, real_sync, real_replace = os.open, os.fsync, os.replace

    def open_noting(path, *options, **more) -> int:
        number = real_open(path, *options, **more)
        opened[number] = Path(path).name
        return number

    def sync(number) -> None:
        done.append(("sync", opened[number]))
        real_sync(number)

    def replace(source, target) -> None:
        done.append(("rename", Path(target).name))
        real_replace(source, target)

    monkeypatch.setattr(os, "open", open_noting)
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    return done


def test_a_file_is_synced_before_its_rename_and_its_folder_after(tmp_path: Path, noted) -> None:
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("a")
    assert noted == [("sync", temporary.name), ("rename", "a.txt"), ("sync", tmp_path.name)]


def test_all_files_of_a_folder_are_synced_before_its_rename_and_its_parent_after(tmp_path: Path, noted) -> None:
    for _ in range(2):
        noted.clear()
        with atomic_folder(tmp_path / "best") as temporary:
            (temporary / "deep").mkdir()
            (temporary / "deep" / "weights").write_text("w")
            (temporary / "state").write_text("s")
        renamed = noted.index(("rename", "best"))
        before = {what for what in noted[:renamed] if what[0] == "sync"}
        assert before == {("sync", name) for name in ("weights", "deep", "state", temporary.name)}
        # a folder's names are synced when its files are
        assert noted.index(("sync", "weights")) < noted.index(("sync", "deep")) < noted.index(("sync", temporary.name))
        assert noted[renamed + 1 :] == [("sync", tmp_path.name)]
        assert {path.name for path in (tmp_path / "best").rglob("*")} == {"deep", "weights", "state"}
        assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_folder_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "best") as temporary:
        (temporary / "state").write_text("old")
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match=r"No space left on device: .*best"), atomic_folder(tmp_path / "best"):
        raise full
    assert (tmp_path / "best" / "state").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_place_that_cannot_be_written_is_known_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "a" / "b.json", tmp_path / "a.json", Path("relative.json")):
        require_writable(path)
    assert not (tmp_path / "a").exists()
    with pytest.raises(NotADirectoryError, match=r"not a folder: '.*file'$"):
        require_writable(tmp_path / "file" / "a" / "b.json")
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(PermissionError, match=r"a\.json cannot be written: no permission: "):
        require_writable(tmp_path / "a.json")


def test_a_full_disk_is_told_by_safetensors_too(tmp_path: Path) -> None:
    # the words of its own error
    full = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(OSError, match=r"No space left on device: .*best") as told, atomic_folder(tmp_path / "best"):
        raise full
    assert told.value.errno == errno.ENOSPC
    other = SafetensorError("Error while serializing: invalid header")
    with pytest.raises(SafetensorError, match="invalid header"), atomic_folder(tmp_path / "best"):
        raise other
    assert list(tmp_path.iterdir()) == []
