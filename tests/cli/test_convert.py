"""`convert` through the real command line, and what it refuses."""

import csv
import json
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_modules.formats import read_records
from lightning_c3l.cli.convert import main
from tests.helpers.commandline import ROOT, environment, run

TURNS = [{"from": "human", "value": "<image>\nWhy?"}, {"from": "gpt", "value": "So."}]
PARTS = [{"type": "image_url", "image_url": {"url": "a.jpg"}}, {"type": "text", "text": "\nWhy?"}]
CHAT = [{"role": "user", "content": PARTS}, {"role": "assistant", "content": "So."}]
GOOD = {"id": "1", "image": "a.jpg", "conversations": TURNS}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "x.json"
    path.parent.mkdir()
    path.write_text(json.dumps([GOOD, {"conversations": []}, GOOD | {"id": "3"}]))
    (path.parent / "a.jpg").write_bytes(b"\xff\xd8picture")
    return path


# a question with its image in every layout that is read
LAYOUTS = {
    "llava": GOOD,
    "image behind": GOOD | {"conversations": [{"from": "human", "value": "Why?\n<image>"}, TURNS[1]]},
    "sharegpt": {"images": ["a.jpg"], "conversations": TURNS},
    "messages": {"messages": CHAT},
    "parts apart": {"messages": [{"role": "user", "content": [PARTS[0], {"type": "text", "text": "Why?"}]}, CHAT[1]]},
    "pairs": {"image": "a.jpg", "question": "<image>\nWhy?", "answer": "So."},
    "alpaca": {"image": "a.jpg", "instruction": "<image>", "input": "Why?", "output": "So."},
    "swift": {"images": ["a.jpg"], "query": "<image>\nWhy?", "response": "So."},
    "xtuner": {"image": "a.jpg", "conversation": [{"input": "<image>\nWhy?", "output": "So."}]},
    "cauldron": {"images": ["a.jpg"], "texts": [{"user": "Why?", "assistant": "So."}]},
    "minicpm": {
        "image": {"<image_00>": "a.jpg"},
        "conversations": [{**TURNS[0], "value": "<image_00>\nWhy?"}, TURNS[1]],
    },
    "qwen": {"conversations": [{"from": "user", "value": "<img>a.jpg</img>\r\nWhy?"}, TURNS[1]]},
}


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_command_line(source: Path, tmp_path: Path) -> None:
    status, printed = run("convert", str(source), "out.jsonl", "--dialect", "messages", cwd=tmp_path)
    assert (status, printed.splitlines()[-1]) == (0, "2 records in out.jsonl, 1 rejected in out.rejected.jsonl")
    assert lines(tmp_path / "out.jsonl") == [{"id": name, "messages": CHAT} for name in ("1", "3")]
    (rejected,) = lines(tmp_path / "out.rejected.jsonl")
    assert rejected == {"record": 2, "reason": "'conversations' is missing, empty or no list"}


def test_the_dialect_stays(source: Path, tmp_path: Path) -> None:
    assert main([str(source), str(tmp_path / "a.jsonl"), "--dialect", "sharegpt"]) == 0
    assert main([str(tmp_path / "a.jsonl"), str(tmp_path / "a.parquet")]) == 0
    assert main([str(tmp_path / "a.parquet"), str(tmp_path / "b.json")]) == 0
    assert json.loads((tmp_path / "b.json").read_text())[0] == {"id": "1", "images": ["a.jpg"], "conversations": TURNS}
    assert not (tmp_path / "b.rejected.jsonl").exists()


def test_a_list_of_an_earlier_run_goes(source: Path, tmp_path: Path) -> None:
    main([str(source), str(tmp_path / "a.jsonl")])
    assert (tmp_path / "a.rejected.jsonl").exists()
    main([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), "--rejected", str(tmp_path / "a.rejected.jsonl")])
    assert not (tmp_path / "a.rejected.jsonl").exists()


def test_a_set_without_a_readable_record_replaces_nothing(source: Path, tmp_path: Path) -> None:
    source.write_text("[1, 2]")
    (tmp_path / "a.jsonl").write_text("old")
    with pytest.raises(ValueError, match=r"x\.json: no record can be converted; the first: must be an object, got int"):
        main([str(source), str(tmp_path / "a.jsonl")])
    assert (tmp_path / "a.jsonl").read_text() == "old"
    source.write_text("[]")
    main([str(source), str(tmp_path / "a.jsonl")])
    assert (tmp_path / "a.jsonl").read_text() == ""


def test_images_go_along(source: Path, tmp_path: Path) -> None:
    assert main([str(source), str(tmp_path / "a.tar")]) == 0
    assert main([str(tmp_path / "a.tar"), str(tmp_path / "a.parquet")]) == 0
    images = pq.read_table(tmp_path / "a.parquet")["images"].to_pylist()
    assert images == [[{"bytes": b"\xff\xd8picture", "path": "a.jpg"}]] * 2
    with pytest.raises(ValueError, match=r"a\.parquet carries its images; give --extract FOLDER"):
        main([str(tmp_path / "a.parquet"), str(tmp_path / "a.json")])
    assert main([str(tmp_path / "a.parquet"), str(tmp_path / "a.json"), "--extract", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "a.jpg").read_bytes() == b"\xff\xd8picture"
    assert main([str(source), str(tmp_path / "b.parquet"), "--embed", "--images", str(tmp_path / "out")]) == 0
    assert pq.read_table(tmp_path / "b.parquet")["images"].to_pylist() == images
    with pytest.raises(ValueError, match=r"no record can be converted; the first: image a\.jpg is not below"):
        main([str(source), str(tmp_path / "b.tar"), "--images", str(tmp_path)])


def test_the_images_are_found_from_another_folder(source: Path, tmp_path: Path) -> None:
    """What `<stem>.meta.json` says goes along; the folder of the images is named as seen from the new set."""
    (tmp_path / "images").mkdir()
    (source.parent / "a.jpg").rename(tmp_path / "images" / "a.jpg")
    meta = source.with_suffix(".meta.json")
    meta.write_text(json.dumps({"image_root": "../images", "scored_with": {"model": "m"}}))
    out = tmp_path / "other" / "y.jsonl"
    out.parent.mkdir()
    assert main([str(source), str(out)]) == 0
    expected = {"image_root": str(tmp_path / "images"), "scored_with": {"model": "m"}}
    assert json.loads(out.with_suffix(".meta.json").read_text()) == expected
    assert main([str(out), str(tmp_path / "z.parquet"), "--embed"]) == 0
    assert json.loads((tmp_path / "z.meta.json").read_text()) == {"scored_with": {"model": "m"}}
    # below the set's own folder it is relative, so that both can be moved
    assert main([str(tmp_path / "z.parquet"), str(tmp_path / "b.json"), "--extract", str(tmp_path / "b")]) == 0
    assert json.loads((tmp_path / "b.meta.json").read_text()) == {"image_root": "b", "scored_with": {"model": "m"}}
    # the same stem has the same file
    assert main([str(source), str(source.with_suffix(".jsonl"))]) == 0
    assert json.loads(meta.read_text())["image_root"] == "../images"


def test_misuse_is_refused(source: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(source)
    for out in (source, link, source.parent / ".." / "in" / "x.json"):
        with pytest.raises(ValueError, match="three files"):
            main([str(source), str(out)])
    with pytest.raises(ValueError, match="three files"):
        main([str(source), str(tmp_path / "a.json"), "--rejected", str(source)])
    with pytest.raises(ValueError, match="is a folder"):
        main([str(source), str(tmp_path)])
    with pytest.raises(ValueError, match=r"x\.txt: cannot be written; known are \.json, "):
        main([str(source), str(tmp_path / "x.txt")])
    with pytest.raises(ValueError, match=r"x\.txt: cannot be read"):
        main([str(tmp_path / "x.txt"), str(tmp_path / "a.json")])
    with pytest.raises(FileNotFoundError):
        main([str(tmp_path / "absent.json"), str(tmp_path / "a.json")])
    assert len(json.loads(source.read_text())) == 3


def test_what_cannot_be_said_costs_its_record(source: Path, tmp_path: Path) -> None:
    chat = [{"role": "user", "content": [{"type": "text", "text": "<image>"}]}, CHAT[1]]
    source.write_text(json.dumps([GOOD, {"messages": chat}]))
    assert main([str(source), str(tmp_path / "a.jsonl"), "--dialect", "llava"]) == 0
    assert lines(tmp_path / "a.jsonl") == [GOOD]
    (rejected,) = lines(tmp_path / "a.rejected.jsonl")
    says = "a text says <image> itself, which would be taken for an image; --lossy writes it as near as possible"
    assert rejected == {"record": 2, "reason": says}
    assert main([str(source), str(tmp_path / "a.jsonl"), "--dialect", "llava", "--lossy"]) == 0
    assert lines(tmp_path / "a.jsonl")[1]["conversations"][0]["value"] == "<image >"


def test_one_record_that_a_format_cannot_hold(source: Path, tmp_path: Path) -> None:
    half = {"conversations": [{"from": "human", "value": "Name \ud83d"}, TURNS[1]]}
    source.write_text(json.dumps([GOOD, half, GOOD | {"image": "absent.jpg"}]))
    for name, wrong in (("a.parquet", [2]), ("a.tar", [3]), ("b.parquet", [2, 3])):
        assert main([str(source), str(tmp_path / name), *(["--embed"] if name[0] == "b" else [])]) == 0
        found = [entry.record for entry in read_records(tmp_path / name)]
        assert len(found) == 3 - len(wrong)
        rejected = lines(tmp_path / f"{name[0]}.rejected.jsonl")
        assert [one["record"] for one in rejected] == wrong
        assert all("surrogate" in one["reason"] or "absent.jpg is not below" in one["reason"] for one in rejected)


def shard(path: Path, *members: tuple[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))


def test_images_of_one_name_are_extracted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, data in enumerate((b"\xff\xd8one", b"\xff\xd8two", b"\xff\xd8one")):
        record = json.dumps({"conversations": TURNS}).encode()
        members = [("cam/1.jpg", data), ("cam/1.json", record), ("cam/1.txt", b"t"), ("cam/1.npy", b"\xff")]
        shard(tmp_path / f"x-{number}.tar", *members)
    assert main([f"{tmp_path}/x-{{0..2}}.tar", str(tmp_path / "a.jsonl"), "--extract", str(tmp_path / "out")]) == 0
    found = lines(tmp_path / "a.jsonl")
    names = [one["image"] for one in found]
    assert names[0] == names[2] == "cam/1.jpg" != names[1]
    assert [(tmp_path / "out" / name).read_bytes() for name in names[:2]] == [b"\xff\xd8one", b"\xff\xd8two"]
    assert [(one["__key__"], one["__members__"]) for one in found] == [("cam/1", {"txt": "t", "npy": None})] * 3
    assert capsys.readouterr().out.splitlines()[-1] == "members left out, binary or large: .npy in 3 records"


FULL_DISK = """
import resource, sys
from lightning_c3l.cli.convert import main
# Python ignores the signal of this limit, so that writing fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for name in sys.argv[1:]:
    try:
        main(["in.jsonl", name])
    except OSError as error:
        print(name, error.strerror or error)
"""


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    names = ["out.json", "out.jsonl", "out.parquet", "out.tar"]
    # hex digits do not compress to nothing
    answers = [" ".join(f"{hash((number, index)):x}" for index in range(10)) for number in range(2000)]
    records = ({"conversations": [TURNS[1] | {"from": "human"}, {"from": "gpt", "value": one}]} for one in answers)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    for name in names:
        (tmp_path / name).write_text("old")
    words = [sys.executable, "-c", FULL_DISK, *names]
    paths = {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(words, cwd=tmp_path, env=environment() | paths, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    failed = ended.stdout.splitlines()
    assert [line.split()[0] for line in failed] == names
    assert all("too large" in line.lower() for line in failed), failed
    assert "Exception ignored" not in ended.stderr
    assert [(tmp_path / name).read_text() for name in names] == ["old"] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", *names]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_questions_of_a_table_begin_with_their_words(tmp_path: Path, layout: str) -> None:
    (tmp_path / "x.json").write_text(json.dumps([LAYOUTS[layout]]))
    assert main([str(tmp_path / "x.json"), str(tmp_path / "x.csv"), "--lossy"]) == 0
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        assert [row[1:] for row in csv.reader(file)][1:] == [["a.jpg", "Why?", "So."]]
