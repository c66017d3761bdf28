"""The written data set as files."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.formats import llava_json, parquet_table, write_llava_json
from lightning_c3l.records import Scores, VLITRecord
from tests.helpers.conversations import read_conversations

SCORE_ROW = {"answer": 0.5, "positions": 0.25, "vocabulary": 1.5, "gap": -0.5}
SCORE_ROW |= {"mean_logp": -1.0, "mean_logq": -0.5, "tokens": 3}
SCORES = Scores(**SCORE_ROW)
COLUMNS = ["id", "image", "question", "answer", "kind", "score_answer", "score_positions", "score_vocabulary"]
COLUMNS += ["score_gap", "score_mean_logp", "score_mean_logq", "tokens", "provenance"]


def write_parquet(path: Path, records: Iterable[VLITRecord]) -> None:
    with parquet_table(path) as add:
        for one in records:
            add(one)


def record(question: str = "What is it?", answer: str = "A cat.", **changes: Any) -> VLITRecord:
    fields = {
        "id": "7",
        "image": "a b/ü.png",
        "kind": "short",
        "scores": SCORES,
        "provenance": {"round": 2, "seed": 0},
    }
    return VLITRecord(question=question, answer=answer, **(fields | changes))


def test_llava_file_is_a_bare_list_with_a_meta_file(tmp_path: Path) -> None:
    write_llava_json(tmp_path / "out" / "vlit.json", [record()], str(tmp_path / "out" / "images"))
    assert json.loads((tmp_path / "out" / "vlit.json").read_text()) == [
        {
            "id": "7",
            "image": "a b/ü.png",
            "conversations": [
                {"from": "human", "value": "<image>\nWhat is it?"},
                {"from": "gpt", "value": "A cat."},
            ],
            "c3l": {"kind": "short", "scores": SCORE_ROW, "provenance": {"round": 2, "seed": 0}},
        }
    ]
    meta = json.loads((tmp_path / "out" / "vlit.meta.json").read_text())
    assert meta == {"format": "llava", "count": 1, "image_root": "images"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["vlit.json", "vlit.meta.json"]


def test_no_records(tmp_path: Path) -> None:
    write_llava_json(tmp_path / "x.json", iter([]), "images")
    assert json.loads((tmp_path / "x.json").read_text()) == []
    assert read_conversations(tmp_path / "x.json", None) == []
    write_parquet(tmp_path / "x.parquet", iter([]))
    write_parquet(tmp_path / "y.parquet", [record()])
    empty, full = pq.read_table(tmp_path / "x.parquet"), pq.read_table(tmp_path / "y.parquet")
    assert (empty.num_rows, full.num_rows) == (0, 1)
    assert empty.schema == full.schema
    assert empty.column_names == COLUMNS


def test_parquet_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", [record()])
    row = pq.read_table(tmp_path / "x.parquet").to_pylist()[0]
    assert [row["score_answer"], row["score_gap"], row["score_mean_logq"], row["tokens"]] == [
        0.5,
        -0.5,
        -0.5,
        3,
    ]
    assert json.loads(row["provenance"]) == {"round": 2, "seed": 0}


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    odd = record(scores=Scores(math.nan, math.inf, 0, 0, 0, 0, 1), provenance={"lr": [-math.inf], "path": Path("runs")})
    write_llava_json(tmp_path / "x.json", [odd], "")
    c3l = json.loads((tmp_path / "x.json").read_text())[0]["c3l"]
    assert (c3l["scores"]["answer"], c3l["scores"]["positions"]) == (None, None)
    assert c3l["provenance"] == {"lr": [None], "path": "runs"}


def test_file_names_that_are_no_utf_8(tmp_path: Path) -> None:
    odd = record(image="\udcff.jpg")  # as Python reads the name b"\xff.jpg"
    write_llava_json(tmp_path / "x.json", [odd], "images")
    assert json.loads((tmp_path / "x.json").read_text())[0]["image"] == "\udcff.jpg"
    write_parquet(tmp_path / "x.parquet", [odd])
    assert pq.read_table(tmp_path / "x.parquet")["image"].to_pylist() == ["\\udcff.jpg"]


@pytest.mark.parametrize("where", ["question", "answer"])
def test_placeholder_in_a_written_text_is_refused(tmp_path: Path, where: str) -> None:
    with pytest.raises(ValueError, match=r"record 7.*<image>"):
        write_llava_json(tmp_path / "x.json", [record(**{where: "see <image> here"})], "")
    assert list(tmp_path.iterdir()) == []


TEXT = st.text(max_size=40).filter(lambda text: "<image>" not in text and "<video>" not in text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_round_trip_keeps_every_character(pairs: list[tuple[str, str]]) -> None:
    records = [record(question, answer, id=str(number)) for number, (question, answer) in enumerate(pairs)]
    with TemporaryDirectory() as folder:
        write_llava_json(Path(folder) / "x.json", records, "images")
        write_parquet(Path(folder) / "x.parquet", records)
        back = read_conversations(Path(folder) / "x.json", None)
        rows = pq.read_table(Path(folder) / "x.parquet").to_pylist()
    assert [tuple(turn.text for turn in item.turns) for item in back] == pairs
    assert [(row["question"], row["answer"]) for row in rows] == pairs
    assert all(item.image == "a b/ü.png" for item in back)


def test_records_are_on_the_disk_before_the_last_of_them(tmp_path: Path) -> None:
    with llava_json(tmp_path / "x.json", "") as add_pair, parquet_table(tmp_path / "x.parquet") as add_row:
        for number in range(20_000):
            add_pair(record(id=str(number)))
            add_row(record(id=str(number)))
        # under temporary names
        assert sorted(path.suffix for path in tmp_path.iterdir() if path.stat().st_size > 100_000) == [
            ".json",
            ".parquet",
        ]
        assert not any((tmp_path / name).exists() for name in ("x.json", "x.parquet"))
    assert [one["id"] for one in json.loads((tmp_path / "x.json").read_text())] == list(map(str, range(20_000)))
    assert pq.read_table(tmp_path / "x.parquet")["id"].to_pylist() == list(map(str, range(20_000)))


def test_what_is_interrupted_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), llava_json(tmp_path / "x.json", "") as add_pair:  # noqa: PT012
        add_pair(record())
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), parquet_table(tmp_path / "x.parquet") as add_row:  # noqa: PT012
        add_row(record())
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
