"""A VLIT dialect in a file of the user's own: read, written, scored and trained on."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules.instruction_tuning import InstructionDataModule
from data_modules.tuning_sets import FileRecords, MixedRecords, Part
from lightning_c3l.cli.main import main
from lightning_c3l.records import Turn

NAME = "my_dialect.Chats"
RULES = {"by": "rules", "said": "Be short."}
CHATS = [
    {
        "id": "one",
        "photo": "a.png",
        "chat": [RULES, {"by": "visitor", "said": "Look: [photo]"}, {"by": "guide", "said": "A square."}],
        "place": {"hall": 3},
    },
    {"id": "two", "photo": None, "chat": [{"by": "visitor", "said": "Hello"}, {"by": "guide", "said": "Good day."}]},
]


@pytest.fixture(scope="module", autouse=True)
def _set(written: Any, working_folder: Path) -> None:
    assert written("dialect") == "my_dialect"
    Image.new("RGB", (48, 48), "red").save(working_folder / "a.png")
    (working_folder / "chats.jsonl").write_text("".join(json.dumps(one) + "\n" for one in CHATS))
    broken = [CHATS[0], {"id": "x"}, {"chat": [{"by": "guard", "said": "Halt!"}]}]
    (working_folder / "broken.json").write_text(json.dumps(broken))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_round_trip_keeps_everything(working_folder: Path) -> None:
    assert main(["convert", "chats.jsonl", "set.parquet", "--read-as", NAME]) == 0
    assert main(["convert", "chats.jsonl", "ours.jsonl", "--read-as", NAME, "--dialect", "messages"]) == 0
    for source in ("set.parquet", "ours.jsonl"):
        assert main(["convert", source, "back.jsonl", "--dialect", NAME]) == 0
        assert lines(working_folder / "back.jsonl") == CHATS


def test_problems_are_named_by_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate-data", "chats.jsonl", "--read-as", NAME]) == 0
    assert "records 2" in capsys.readouterr().out.replace("2 records", "records 2")
    assert main(["validate-data", "broken.json", "--read-as", NAME]) == 1
    printed = capsys.readouterr().out
    assert "record 2: 'chat' is missing or empty" in printed
    assert f"record 3: cannot be read as {NAME}: KeyError: 'guard'" in printed


def test_records_are_trained_on(working_folder: Path) -> None:
    turns = (Turn("system", "Be short."), Turn("user", "Look:", (5,)), Turn("assistant", "A square."))
    mixed = MixedRecords([Part("chats.jsonl", read_as=NAME), Part("chats.jsonl", read_as=NAME)])
    for records in (InstructionDataModule("chats.jsonl", read_as=NAME).records, mixed.sets[1]):
        assert isinstance(records, FileRecords)
        assert [one.id for one in records.conversations] == ["one", "two"]
        assert records.conversations[0].images == ("a.png",)
        assert [(one.role, one.text.strip()) for one in records.conversations[0].turns] == [
            (one.role, one.text) for one in turns
        ]


def test_answers_are_scored(working_folder: Path) -> None:
    words = ["chats.jsonl", "scored.jsonl", "--model", "shipped:scenes", "--no-page", "--accelerator", "cpu"]
    assert main(["score", *words, "--read-as", NAME, "--lossy"]) == 0
    (first, second) = lines(working_folder / "scored.jsonl")
    assert [one["from"] for one in first["conversations"]] == ["system", "human", "gpt"]
    assert first["place"] == {"hall": 3}
    assert [one["c3l_scores"][0]["status"] for one in (first, second)] == ["scored", "text_only"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--read-as", "my_dialect.TO_OURS"], "read_as my_dialect.TO_OURS: cannot be used as a dialect: it is a "),
        (["--dialect", "xml"], "--dialect must be one of llava, sharegpt, messages, pairs, or module.attribute"),
        (
            ["--dialect", "builtins.list"],
            "builtins.list: cannot be used as a dialect: it needs `read`, or `write` and `base`",
        ),
    ],
)
def test_what_is_no_dialect(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "chats.jsonl", "out.jsonl", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_set_names_no_code(working_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither its records nor the notes beside it or in its columns are imported."""
    (working_folder / "theirs.py").write_text("raise SystemExit('imported')\n")
    assert main(["convert", "ours.jsonl", "theirs.parquet"]) == 0
    import pyarrow.parquet as pq

    table = pq.read_table(working_folder / "theirs.parquet").replace_schema_metadata({"c3l_dialect": "theirs.Own"})
    pq.write_table(table, working_folder / "theirs.parquet")
    (working_folder / "theirs.meta.json").write_text(json.dumps({"format": "theirs.Own", "read_as": "theirs.Own"}))
    assert main(["convert", "theirs.parquet", "again.jsonl"]) == 0
    assert [one["id"] for one in lines(working_folder / "again.jsonl")] == ["one", "two"]
    record = {**lines(working_folder / "ours.jsonl")[0], "read_as": "theirs.Own", "dialect": "theirs.Own"}
    record["c3l_scores"] = [{"turn": 2, "status": "scored", "theirs.own": 0.5, "tokens": 2}]
    (working_folder / "notes.jsonl").write_text(json.dumps(record) + "\n")
    words = ["notes.jsonl", "chosen.jsonl", "--by", "theirs.own", "--top-k", "1", "--no-page", "--no-balance-yes-no"]
    assert main(["select", *words]) == 0
    assert "imported" not in capsys.readouterr().err
