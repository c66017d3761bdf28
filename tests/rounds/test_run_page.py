"""What the page of a run takes from its folder."""

import hashlib
import json
from pathlib import Path

import pytest

from lightning_c3l.rounds.run_page import read_extras


def test_files_of_the_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("i2c: {reading: gap}\nguard: {limits: {held_out: 0.8}}\n")
    (tmp_path / "metrics.csv").write_text("round/round,train/loss\n0,\n,0.5\n")
    for name in (".", "pope"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "evaluation.json").write_text(json.dumps({"benchmark": name}))
    found = read_extras(tmp_path, {})
    assert (found.reading, found.limits) == ("gap", {"held_out": 0.8})
    assert list(found.metrics) == [{"round/round": "0", "train/loss": ""}, {"round/round": "", "train/loss": "0.5"}]
    assert found.evaluations == {".": {"benchmark": "."}, "pope": {"benchmark": "pope"}}


def test_digests_name_the_model_the_images_and_the_files(tmp_path: Path) -> None:
    (tmp_path / "vlit.json").write_bytes(b"[]")
    images = {"held_out": {"b.png": "02", "a.png": "01"}}
    found = read_extras(tmp_path, {"model": "small (00ff)", "images": images}).digests
    assert found == {
        "starting model": "small (00ff)",
        "2 images, held out": hashlib.blake2b(b"a.png 01\nb.png 02\n", digest_size=16).hexdigest(),
        "vlit.json": hashlib.blake2b(b"[]", digest_size=16).hexdigest(),
    }


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    found = read_extras(tmp_path, {})
    assert (found.config, found.metrics, found.evaluations, found.digests) == ("", [], {}, {})
    assert (found.reading, found.limits) == ("answer", {})


def test_damaged_figures_are_told_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text('{"benchmark": ')
    with pytest.warns(UserWarning, match=r"evaluation\.json: is damaged.*the report leaves it out"):
        assert read_extras(tmp_path, {}).evaluations == {}
