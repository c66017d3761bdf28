"""`select` from files to files."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules.formats import open_writer, read_records
from lightning_c3l.cli.select import main
from tests.helpers.commandline import ROOT, run
from tests.report.dom import parse

SCORED_WITH = {"model": "base|<b>`x`", "fingerprint": "abc123", "prompt": "USER: <image>\n{question} ASSISTANT:"}


def scored(number: int, score: float | None, question: str, answer: str, image: str = "a.png", **more: Any) -> Any:
    status = {"status": "rejected", "reason": "no such image"} if score is None else {"status": "scored"}
    item = {"turn": 1, **status, "answer": score, "gap": -(score or 0.0), "tokens": len(answer.split())}
    return {
        "id": f"r{number}",
        "image": image,
        "conversations": [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}],
        "c3l_scores": [item],
        **more,
    }


RECORDS = [
    scored(1, 0.5, "What color is it?", "red"),
    scored(2, 0.9, "What color is it?", "Red."),  # the same but for case and punctuation
    scored(3, 0.1, "Is there a dog?", "yes", "b.png"),
    scored(4, None, "Is there a cat?", "no", "b.png"),
    {
        "id": "r5",
        "conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "I"}],
        "c3l_scores": [{"turn": 1, "status": "text_only"}],
    },
    scored(6, 0.7, "Is there a bird?", "no it is a plane", "b.png", extra_field={"kept": [1, None]}),
    scored(7, -0.2, "How many are there?", "two of them", "c.png"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "set.jsonl"
    lines = [json.dumps(record) for record in RECORDS]
    path.write_text("\n".join([*lines, "{broken"]) + "\n")
    (tmp_path / "set.meta.json").write_text(json.dumps({"image_root": "pictures", "scored_with": SCORED_WITH}))
    return path


def ids(path: Path) -> list[str]:
    return [record["id"] for record in map(json.loads, path.read_text().splitlines())]


def test_from_the_command_line(source: Path) -> None:
    out, control = source.parent / "out" / "best.jsonl", source.parent / "out" / "random.jsonl"
    words = ["--near-duplicates", "0.8", "--min-score", "0", "--top-k", "2", "--random-control", str(control)]
    status, printed = run("select", str(source), str(out), *words, "--left-out", cwd=ROOT)
    assert status == 0, printed
    assert ids(out) == ["r2", "r6"]
    # untouched, unknown fields among them
    assert [json.loads(line) for line in out.read_text().splitlines()] == [RECORDS[1], RECORDS[5]]
    left_out = [json.loads(line) for line in (out.parent / "best.left_out.jsonl").read_text().splitlines()]
    assert [(one["record"], one["id"], one["reason"].partition(":")[0]) for one in left_out] == [
        (1, "r1", "exact duplicate"),
        (3, "r3", "not among the best"),
        (4, "r4", "rejected"),
        (5, "r5", "text-only"),
        (7, "r7", "below the threshold"),
        (8, None, "unreadable"),
    ]
    assert len(left_out[-1]["reason"]) > len("unreadable: ")
    meta = json.loads((out.parent / "best.meta.json").read_text())
    # the images stay where they are, and the selection is in another folder
    assert meta["image_root"] == str(source.parent / "pictures")
    assert meta["scored_with"] == SCORED_WITH
    assert meta["count"] == 2
    assert [rule["kept"] for rule in meta["selected"]["rules"]] == [5, 4, 4, 3, 2]
    assert json.loads((out.parent / "random.meta.json").read_text())["selected"]["random_control"] is True
    assert len(ids(control)) == 2
    card = (out.parent / "best.card.md").read_text()
    assert "FILL IN" in card
    assert "abc123" in card
    assert (out.parent / "best.card.svg").read_text().startswith("<svg")
    assert "drawn at random (seed 0)" in (out.parent / "random.card.md").read_text()
    assert "exact duplicate" in printed
    # the table, two results and the card; nothing of the progress bar stays as a line
    assert not [path for path in out.parent.iterdir() if path.name.startswith(".tmp")]


def test_yes_and_no_are_balanced_as_in_a_run_and_it_is_printed(tmp_path: Path, capsys: Any) -> None:
    answers = ["yes", "yes", "yes", "no"]
    records = [scored(i, 1.0 - i / 10, f"Is there a thing{i}?", answer) for i, answer in enumerate(answers)]
    source, out = tmp_path / "set.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    main([str(source), str(out), "--top-k", "2"])
    assert ids(out) == ["r0", "r3"]
    assert "answers balanced: 1 yes and 1 no; by score alone 2 yes and 0 no" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.meta.json").read_text())["selected"]["rules"][-1] == {
        "rule": "--top-k 2 --balance-yes-no",
        "kept": 2,
        "fell": {"not among the best": 1, "beyond the balance of yes and no": 1},
    }
    assert "| answered yes | 1 | 3 |" in (tmp_path / "out.card.md").read_text()
    main([str(source), str(out), "--top-k", "2", "--no-balance-yes-no"])
    assert ids(out) == ["r0", "r1"]
    assert "answers balanced" not in capsys.readouterr().out


def test_the_same_again_gives_the_same_files(source: Path) -> None:
    words = [str(source), str(source.parent / "out.jsonl"), "--top-fraction", "0.4", "--random-control"]
    words.append(str(source.parent / "random.jsonl"))
    main(words)
    first = {path.name: path.read_bytes() for path in source.parent.iterdir()}
    main(words)
    assert {path.name: path.read_bytes() for path in source.parent.iterdir()} == first
    # the page is about the selection alone
    assert len(first) == 2 + 5 + 4


def test_the_page_shows_what_each_rule_left_out(source: Path) -> None:
    (source.parent / "pictures").mkdir()
    Image.new("RGB", (120, 100), (9, 9, 9)).save(source.parent / "pictures" / "b.png")
    tokens = {"texts": ["no it is", " a plane"], "logp_image": [-1.0, -2.0], "logp_blind": [-2.5, -1.0]}
    stored = [
        {"record": 6, "turn": 1, "answer": "no it is a plane", "tokens": tokens},
        {"record": 3, "turn": 1, "answer": "it was another answer", "tokens": tokens},
    ]
    (source.parent / "set.tokens.json").write_text(json.dumps({"answers": stored}))
    out = source.parent / "out.jsonl"
    words = ["--near-duplicates", "0.8", "--min-score", "0", "--top-k", "2"]
    assert main([str(source), str(out), *words]) == 0
    page = parse((source.parent / "out.html").read_text())
    shown = {one.find("p", "answer")[0].text: one for one in page.find("article")}
    assert {answer: card.attributes["data-section"] for answer, card in shown.items()} == {
        "Red.": "best kept",
        "no it is a plane": "worst kept",
        "red": "left out: exact duplicate",
        "two of them": "left out: below the threshold",
        "yes": "left out: not among the best",
        "no": "left out: rejected: no such image",
        "I": "left out: text-only",
    }
    assert [one.text for one in shown["no it is a plane"].find("small")] == ["+1.5", "\u22121.0"]
    assert len(page.find("p", "heat")) == 1
    assert {answer for answer, card in shown.items() if card.find("img")} == {"no it is a plane", "yes", "no"}
    assert "2 of 8 records" in page.find("p", "verdict")[0].text
    (source.parent / "out.html").unlink()
    assert main([str(source), str(out), *words, "--no-page"]) == 0
    assert not (source.parent / "out.html").exists()


def test_the_reading_is_a_choice(source: Path) -> None:
    out = source.parent / "out.jsonl"
    main([str(source), str(out), "--by", "gap", "--top-k", "1"])
    # gap is minus the answer's score here
    assert ids(out) == ["r7"]


def test_text_only_records_are_kept_beside_on_request(source: Path) -> None:
    out, control = source.parent / "out.jsonl", source.parent / "random.jsonl"
    words = [str(source), str(out), "--top-k", "1", "--text-only", "keep", "--random-control", str(control)]
    main(words)
    assert ids(out) == ["r2", "r5"]
    assert len(ids(control)) == 2
    assert "r5" in ids(control)


def test_quotas_by_image_and_by_kind(source: Path) -> None:
    out = source.parent / "out.jsonl"
    main([str(source), str(out), "--per-image", "1"])
    assert ids(out) == ["r2", "r6", "r7"]
    # kinds: color, color, yes_no, yes_no, number
    main([str(source), str(out), "--per-kind", "1"])
    assert ids(out) == ["r2", "r6", "r7"]


def test_the_set_of_a_run_is_understood(tmp_path: Path) -> None:
    records = [
        {
            "id": f"{number:06d}",
            "image": f"{number}.png",
            "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat"}],
            "c3l": {
                "kind": f"kind{number}",
                "scores": {"answer": number / 10, "tokens": 2},
                "provenance": {"model": "feedbeef"},
            },
        }
        for number in range(4)
    ]
    (tmp_path / "vlit.json").write_text(json.dumps(records))
    main([str(tmp_path / "vlit.json"), str(tmp_path / "out.json"), "--top-k", "1"])
    assert json.loads((tmp_path / "out.json").read_text()) == [records[3]]
    card = (tmp_path / "out.card.md").read_text()
    assert "| kind3 | 1 | 100.0% | 1 | 25.0% |" in card
    assert "| fingerprint | feedbeef |" in card


@pytest.mark.parametrize("end", [".parquet", ".json"])
def test_another_format(source: Path, end: str) -> None:
    out = source.parent / f"out{end}"
    main([str(source), str(out), "--top-k", "2"])
    found = [entry.record for entry in read_records(out)]
    assert [record and record.extra["id"] for record in found] == ["r2", "r6"]


def test_images_in_the_set_go_with_it(tmp_path: Path) -> None:
    first = [entry.record for entry in read_records(_jsonl(tmp_path, RECORDS[:3]))]
    with open_writer(tmp_path / "in.tar") as writer:
        for number, record in enumerate(first, start=1):
            assert record is not None
            record.images[0].data = b"\x89PNG" + bytes([number])
            writer.write(record, number)
    for end in (".tar", ".parquet"):
        main([str(tmp_path / "in.tar"), str(tmp_path / f"out{end}"), "--top-k", "2"])
        found = [entry.record for entry in read_records(tmp_path / f"out{end}")]
        assert [record and record.images[0].data for record in found] == [b"\x89PNG\x01", b"\x89PNG\x02"]
    with pytest.raises(ValueError, match=r"carries its images; give a \.parquet or \.tar"):
        main([str(tmp_path / "in.tar"), str(tmp_path / "out.json")])


def _jsonl(folder: Path, records: list[Any]) -> Path:
    path = folder / "some.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize(
    ("out", "more", "named"),
    [
        ("set.jsonl", [], "would be written over"),
        ("set.json", [], "would be written over .*set.meta.json"),
        ("sub/../set.jsonl", [], "would be written over"),
        ("out.jsonl", ["--random-control", "OUT/out.jsonl"], "would be written over"),
        ("out.jsonl", ["--random-control", "OUT/out.parquet"], "would be written over"),
        ("out.jsonl", ["--random-control", "OUT/set.parquet"], "would be written over"),
        ("out.csv", [], "known are .json"),
        ("out", [], "known are .json"),
    ],
)
def test_no_file_is_written_over_another(source: Path, out: str, more: list[str], named: str) -> None:
    (source.parent / "sub").mkdir()
    before = {path: path.read_bytes() for path in source.parent.glob("*.*")}
    with pytest.raises(ValueError, match=named):
        main([str(source), str(source.parent / out), *(word.replace("OUT", str(source.parent)) for word in more)])
    assert {path: path.read_bytes() for path in source.parent.glob("*.*")} == before


def test_a_selection_of_nothing_leaves_the_old_file(source: Path) -> None:
    out = source.parent / "out.jsonl"
    out.write_text("old")
    with pytest.raises(ValueError, match=r"set\.jsonl: .*--min-score 5 keeps none of 5 records"):
        main([str(source), str(out), "--min-score", "5"])
    assert out.read_text() == "old"
    assert sorted(path.name for path in source.parent.iterdir()) == ["out.jsonl", "set.jsonl", "set.meta.json"]


def test_an_unscored_set_is_an_error(tmp_path: Path) -> None:
    plain = [{name: value for name, value in one.items() if name != "c3l_scores"} for one in RECORDS]
    with pytest.raises(ValueError, match="not scored; see the verb `score`"):
        main([str(_jsonl(tmp_path, plain)), str(tmp_path / "out.jsonl")])


@pytest.mark.parametrize("text", ["{", "[]", '{"scored_with": 3}'])
def test_a_broken_file_beside_the_set_is_named(source: Path, text: str) -> None:
    (source.parent / "set.meta.json").write_text(text)
    with pytest.raises(ValueError, match=r"set\.meta\.json: "):
        main([str(source), str(source.parent / "out.jsonl")])


def test_a_failed_write_leaves_the_old_files(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = source.parent / "out.jsonl"
    main([str(source), str(out)])
    before = {path: path.read_bytes() for path in source.parent.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "disk")

    monkeypatch.setattr("data_modules.formats.text_writers.JsonWriter.write", full)
    with pytest.raises(OSError, match="No space left"):
        main([str(source), str(out), "--top-k", "1", "--left-out"])
    assert {path: path.read_bytes() for path in source.parent.iterdir()} == before


def by_sentence(number: int, answer: str, dropped: list[list[int]], kept: dict[str, float] | None) -> Any:
    record = scored(number, 0.1, "What is there?", answer, f"{number}.png")
    record["c3l_scores"][0]["supported"] = {"scores": kept, "shuffled": 0.05, "dropped": dropped}
    return record


def test_sentences_that_the_image_does_not_support(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        by_sentence(1, "A dog. A cat. A bird.", [[7, 13]], {"answer": 0.8, "gap": 0.9, "tokens": 4}),
        by_sentence(2, "A cow.", [[0, 6]], None),
        by_sentence(3, "A fish.", [], {"answer": 0.1, "gap": -0.1, "tokens": 2}),
    ]
    source, out = tmp_path / "set.jsonl", tmp_path / "best.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    words = [str(source), str(out), "--unit", "sentence", "--left-out", "--no-page"]
    with pytest.raises(ValueError, match="not scored by sentences"):
        main(words)
    (tmp_path / "set.meta.json").write_text(json.dumps({"scored_with": {"unit": "sentence"}}))
    assert main(words) == 0
    first, third = map(json.loads, out.read_text().splitlines())
    assert first["conversations"][1]["value"] == "A dog. A bird."
    lost = {"dropped": 1, "dropped_sentences": ["A cat."]}
    assert first["c3l_scores"] == [
        {"turn": 1, "status": "scored", "answer": 0.8, "gap": 0.9, "tokens": 4, "shuffled": 0.05, **lost}
    ]
    assert third["conversations"][1]["value"] == "A fish."
    assert "supported" not in third["c3l_scores"][0]
    (left_out,) = map(json.loads, (tmp_path / "best.left_out.jsonl").read_text().splitlines())
    assert left_out["reason"] == "an answer has no sentence that the image supports"
    said = "1 of the answers have lost 1 sentences that the image does not support."
    assert said in (tmp_path / "best.card.md").read_text()
    assert said in capsys.readouterr().out
    # without the option, answers stay as they are
    assert main([str(source), str(out), "--no-page"]) == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == records
