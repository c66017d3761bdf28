"""The scored set: images that come along, and records that its format cannot hold. No LVLM is asked."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from data_modules.formats import count_records, image_root, read_layout, read_records
from data_modules.tuning_sets import FileRecords
from lightning_c3l.cli import convert, score, select, validate_data
from lightning_c3l.cli.scored_output import Scored, figures_table, images_folder, write_scored
from lightning_c3l.records import READINGS_AND_RIVAL
from lightning_c3l.runs.row_files import RowFiles

TURNS = [{"from": "human", "value": "<image>\nWhat color is it?"}, {"from": "gpt", "value": "red"}]


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (number, 0, 0)).save(file, "PNG")
    return file.getvalue()


def shards(folder: Path, count: int) -> str:
    """Shards whose members have the same names, of different images."""
    for number in range(count):
        with tarfile.open(folder / f"same-{number}.tar", "w") as archive:
            for name, data in (("1.png", png(number)), ("1.json", json.dumps({"conversations": TURNS}).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return f"{folder}/same-{{0..{count - 1}}}.tar"


def nameless(folder: Path, count: int) -> str:
    """As `datasets` writes images that came from no file."""
    rows = [{"image": {"bytes": png(n), "path": None}, "question": "<image>Why?", "answer": "so"} for n in range(count)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "nameless.parquet")
    return str(folder / "nameless.parquet")


def written(source: str, out: Path) -> dict[str, Any]:
    """Figures of a scored set whose n-th record has the score n."""
    parts = RowFiles(out.with_name(out.name + ".parts"))
    rows = parts.writer("rows")
    for number in range(1, count_records(source) + 1):
        turn = dict.fromkeys((*READINGS_AND_RIVAL, "mean_logq", "shuffled"), float(number))
        rows.append([{"record": number, "turns": [{"turn": 1, "status": "scored", "tokens": 1, **turn}]}])
    rows.close()
    return write_scored(Scored(source, out, image_root(source), parts, {}))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("made", [shards, nameless])
def test_images_of_a_set_that_carries_them(tmp_path: Path, made: Any) -> None:
    source, out = made(tmp_path, 8), tmp_path / "out" / "s.jsonl"
    figures = written(source, out)
    assert figures["folder"] == images_folder(out, read_layout(source)) == tmp_path / "out" / "s.images"
    names = [one["image"] for one in lines(out)]
    assert len(set(names)) == 8
    assert all(name.startswith("s.images/") for name in names)
    assert [(out.parent / name).read_bytes() for name in names] == [png(number) for number in range(8)]
    # whoever reads it next finds the images, also once the folder was moved
    assert image_root(out) == out.parent
    (tmp_path / "out").rename(tmp_path / "moved")
    moved = FileRecords(str(tmp_path / "moved" / "s.jsonl"))
    assert [one[1].getpixel((0, 0))[0] for one in map(moved.__getitem__, range(8))] == list(range(8))  # type: ignore[union-attr, index]


@pytest.mark.parametrize("name", ["s.jsonl", "s.parquet", "s.tar"])
def test_each_image_has_its_own_quota(tmp_path: Path, name: str) -> None:
    written(shards(tmp_path, 8), tmp_path / name)
    best = tmp_path / f"best{Path(name).suffix}"
    assert select.main([str(tmp_path / name), str(best), "--per-image", "1"]) == 0
    assert count_records(best) == 8


@pytest.mark.parametrize(("name", "wrong"), [("s.parquet", [2]), ("s.tar", [3]), ("s.jsonl", [])])
def test_a_record_that_the_format_cannot_hold(tmp_path: Path, name: str, wrong: list[int]) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    record = {"image": "a.png", "conversations": TURNS}
    half = {"conversations": [{"from": "human", "value": "half \ud83d"}, TURNS[1]]}
    records = [record, half, record | {"image": "absent.png"}, record]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    figures = written(str(tmp_path / "set.jsonl"), tmp_path / name)
    assert (figures["records"], figures["scored"], figures["listed"]) == (4 - len(wrong), 4 - len(wrong), len(wrong))
    kept = [number for number in (1, 2, 3, 4) if number not in wrong]
    found = [entry.record.extra["c3l_scores"][0]["answer"] for entry in read_records(tmp_path / name) if entry.record]
    assert found == kept
    listed = tmp_path / "s.rejected.jsonl"
    assert [one["record"] for one in (lines(listed) if listed.exists() else [])] == wrong


def test_scores_are_kept_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_text(json.dumps({"image": "absent.png", "conversations": TURNS}) + "\n")
    with pytest.raises(ValueError, match=r"s\.tar: no record can be written: image absent\.png is not below"):
        written(str(tmp_path / "set.jsonl"), tmp_path / "s.tar")
    assert not (tmp_path / "s.tar").exists()
    assert len(RowFiles(tmp_path / "s.tar.parts").done(1)) == 1


def test_selecting_passes_over_what_the_format_cannot_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = {"conversations": [{"from": "human", "value": "Why?"}, TURNS[1]]}
    half = {"conversations": [{"from": "human", "value": "half \ud83d"}, TURNS[1]]}
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (record, half, record)))
    written(str(tmp_path / "set.jsonl"), tmp_path / "s.jsonl")
    out = tmp_path / "best.parquet"
    assert select.main([str(tmp_path / "s.jsonl"), str(out), "--top-k", "3", "--left-out"]) == 0
    assert count_records(out) == json.loads((tmp_path / "best.meta.json").read_text())["count"] == 2
    assert "best.parquet: record 2 cannot be written: a text holds half a surrogate pair" in capsys.readouterr().err
    (left,) = lines(tmp_path / "best.left_out.jsonl")
    assert (left["record"], left["reason"].split(":")[0]) == (2, "cannot be written")


def test_every_verb_refuses_a_second_column_of_images_at_once(tmp_path: Path) -> None:
    image = {"bytes": png(1), "path": None}
    row = {"image": image, "thumbnail": image, "question": "<image>Why?", "answer": "so"}
    source, out = str(tmp_path / "x.parquet"), str(tmp_path / "y.jsonl")
    pq.write_table(pa.Table.from_pylist([row]), source)
    verbs = (
        lambda: validate_data.main([source]),
        lambda: convert.main([source, out, "--extract", str(tmp_path / "z")]),
        lambda: score.main(["--model", "no such folder", source, out]),  # before it is looked for
        lambda: select.main([source, out]),
        lambda: FileRecords(source),
    )
    for verb in verbs:
        with pytest.raises(ValueError, match=r"x\.parquet: column 'thumbnail' holds binary data, which is not read"):
            verb()
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_means_have_the_names_of_the_page() -> None:
    names = (*READINGS_AND_RIVAL, "mean_logq", "shuffled", "my_reading.surprise")
    counts = dict.fromkeys(("records", "scored", "text_only", "rejected"), 0)
    table = figures_table({**counts, "mean": dict.fromkeys(names, 0.5), "above_shuffled": None})
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table)
    said = [line.strip("│┃ ").split("│")[0].strip() for line in console.export_text().splitlines() if "0.5000" in line]
    readings = ["mean S(I²C) answer", "mean S(I²C) positions", "mean S(I²C) vocabulary", "mean S(I²C) gap"]
    others = ["mean log p", "mean log q", "mean S(I²C) answer, other image", "mean my_reading.surprise"]
    assert sorted(said) == sorted(readings + others)
