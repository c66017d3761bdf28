"""One small run whose rounds are made with files of the user's own."""

import csv
import io
import json
import shutil
import sqlite3
import sys
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from data_modules.scenes import parse_scenes
from lightning_c3l.cli.main import main

READING = "my_reading.surprise"
EXPERIMENT = {
    "seed_everything": 0,
    "run": {"name": "own"},
    "model": {
        "class_path": "C3LModule",
        "init_args": {
            "lvlm": {"class_path": "HuggingFaceLVLM", "init_args": {"path": "shipped:scenes", "lora": {"rank": 4}}},
            "loss": {"form": "my_loss.simpo", "beta": 2.0},
            "writing": {"templates": "scenes", "sampling": {"samples": 3, "max_new_tokens": 12, "temperature": 0.9}},
        },
    },
    "data": {
        "class_path": "RoundDataModule",
        "init_args": {
            "images": "my_source.Album:album.sqlite",
            "fresh": "scenes:world=my_world.Dots,count=3,seed=2",
            "truth": {"class_path": "SceneTruth"},
            "batch_size": 8,
        },
    },
    "i2c": {"reading": READING},
    "guard": {"images": 2},
    "exposure": {"measure": False},
    "export": {"target_size": 4},
    "trainer": {
        "accelerator": "cpu",
        "max_epochs": 1,
        "log_every_n_steps": 1,
        "reload_dataloaders_every_n_epochs": 1,
        "enable_model_summary": False,
        "enable_progress_bar": False,
    },
}


@pytest.fixture(scope="module")
def version(written: Any, working_folder: Path) -> Path:
    """The run folder."""
    for tutorial in ("reading", "loss", "source", "world"):
        written(tutorial)
    _write_album(working_folder / "album.sqlite")
    (working_folder / "own.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    assert main(["fit", "--config", "own.yaml", "--run.root", "runs"]) == 0
    return working_folder / "runs" / "own" / "version_0"


def _write_album(file: Path) -> None:
    """Five scenes under the names by which the truth about them is known."""
    scenes = parse_scenes("scenes:count=5,seed=1")
    with closing(sqlite3.connect(file)) as album, album:
        album.execute("CREATE TABLE images (name TEXT PRIMARY KEY, data BLOB)")
        for key in scenes.keys():  # noqa: SIM118
            image = io.BytesIO()
            scenes.read(key).save(image, "PNG")
            album.execute("INSERT INTO images VALUES (?, ?)", (key, image.getvalue()))


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_candidates_have_the_reading_and_positives_are_chosen_by_it(version: Path) -> None:
    groups = defaultdict[tuple[str, str], list[tuple[float, str]]](list)
    for one in rows(version / "rounds" / "0" / "candidates-00000.jsonl"):
        if one["scores"] is not None:
            key = one["candidate"]["image"], one["candidate"]["instruction"]["kind"]
            groups[key].append((one["scores"][READING], one["fate"]))
    assert len(groups) > 5
    for own in groups.values():
        best = max(value for value, _ in own)
        assert {value for value, fate in own if fate == "positive"} == {best}
    positives = [value for own in groups.values() for value, fate in own if fate == "positive"]
    figures = json.loads((version / "rounds" / "0" / "round.json").read_text())
    assert figures["i2c_positive_mean"] == pytest.approx(sum(positives) / len(positives))


def test_the_written_set_has_the_reading(version: Path) -> None:
    pairs = json.loads((version / "vlit.json").read_text())
    values = [one["c3l"]["scores"][READING] for one in pairs]
    assert 0 < len(values) <= 4
    assert pq.read_table(version / "vlit.parquet")[f"score_{READING}"].to_pylist() == values


def test_figures_of_all_states_are_by_the_reading(version: Path) -> None:
    summary = json.loads((version / "summary.json").read_text())
    assert READING in summary["i2c_auroc"]
    for state in summary["guard"]["states"]:
        assert isinstance(state["figures"]["i2c_mean"], float)


def test_images_come_from_the_source_and_truth_from_the_worlds(version: Path) -> None:
    candidates = rows(version / "rounds" / "0" / "candidates-00000.jsonl")
    assert {one["candidate"]["image"] for one in candidates} == set(parse_scenes("scenes:count=5,seed=1").keys())
    assert "right" in {one["verdict"] for one in candidates}
    written = rows(version / "vlit-candidates.jsonl")
    assert all(one["candidate"]["image"].startswith("dot_") for one in written)
    # the shipped LVLM knows of no dot
    assert {one["verdict"] for one in written} <= {"unanswerable", "unparsable"}
    for pair in json.loads((version / "vlit.json").read_text()):
        assert (version / "images" / pair["image"]).is_file()


def test_report_imports_nothing_that_the_run_folder_names(version: Path, working_folder: Path) -> None:
    # W&B's own process may still be removing its files
    logs = shutil.ignore_patterns("wandb")
    folder = shutil.copytree(version, working_folder / "other" / "version_0", ignore=logs)
    text = (folder / "config.yaml").read_text()
    (working_folder / "theirs.py").write_text("raise SystemExit('imported')\n")
    for own in (READING, "my_loss.simpo", "my_source.Album", "my_world.Dots"):
        assert own in text
        text = text.replace(own, "theirs.Own")
    (folder / "config.yaml").write_text(text)
    assert main(["report", str(folder)]) == 0
    assert "theirs" not in sys.modules


def test_a_wrong_name_is_said_in_one_line(version: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config", "own.yaml", "--run.root", "runs", "--i2c.reading", "my_reading.suprise"]
    assert main(["fit", *words]) == 2
    said = "i2c.reading my_reading.suprise: module my_reading has no attribute suprise; did you mean surprise?"
    assert said in capsys.readouterr().err


def test_the_contrastive_term_is_the_form(version: Path) -> None:
    with (version / "metrics.csv").open() as file:
        values = [float(row["train/con"]) for row in csv.DictReader(file) if row.get("train/con")]
    assert values
    assert all(0 < value < 50 for value in values)


def test_the_page_shows_the_reading(version: Path) -> None:
    page = (version / "report.html").read_text()
    assert f"<dt>{READING}</dt>" in page
