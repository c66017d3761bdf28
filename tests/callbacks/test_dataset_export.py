import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from callbacks.dataset_export import DatasetExport
from callbacks.dataset_files import ImagesOfSet
from data_modules.images.sources import open_images
from data_modules.scenes import SceneImages
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.modules.c3l import C3LModule
from lightning_c3l.rounds.generation import GenerationConfig
from tests.helpers.tiny import load_tiny


class Data:
    """A datamodule's side of the protocol, without truth."""

    truth, rejected, longest_side, round = None, (), None, -1

    def __init__(self, count: int) -> None:
        self._source = SceneImages(count, seed=3)

    def source(self, name: str):
        return self._source, list(self._source.keys())

    def digests(self, name: str) -> dict[str, str]:
        return dict.fromkeys(self.source(name)[1], "")

    def set_round(self, number, groups, descriptions) -> None:
        raise AssertionError("the export makes no round")


class Run:
    def __init__(self, folder) -> None:
        self.default_root_dir, self.datamodule = str(folder), Data(6)


@pytest.fixture(scope="module")
def module(tiny_checkpoint) -> C3LModule:
    writing = GenerationConfig("scenes", 2, Sampling(3, 10, 1.0), begin="Question: Where are the circles?\nAnswer:")
    return C3LModule(load_tiny(tiny_checkpoint), writing)


def exported(module: C3LModule, folder) -> list[dict]:
    folder.mkdir()
    DatasetExport(target_size=12, near_duplicate=1.0).on_fit_end(Run(folder), module)
    return json.loads((folder / "vlit.json").read_text())


def test_a_data_set_written_in_parts_is_that_written_in_one(module, tmp_path, monkeypatch):
    whole = exported(module, tmp_path / "whole")
    monkeypatch.setattr(module, "writing", replace(module.writing, batch_size=1, score_batch_size=1))
    parts = exported(module, tmp_path / "parts")
    assert len(whole) > 5
    # which pairs, in which order; their scores may differ in the last digit
    assert [(one["image"], one["conversations"]) for one in parts] == [
        (one["image"], one["conversations"]) for one in whole
    ]
    pictures = {path.name for path in (tmp_path / "parts" / "images").rglob("*") if path.is_file()}
    assert pictures == {one["image"].rsplit("/", 1)[-1] for one in parts}
    summary = json.loads((tmp_path / "parts" / "summary.json").read_text())
    assert summary["dataset"]["pairs"] == len(parts)
    assert summary["dataset"]["candidates"] == 6 * 2 * 3
    card = (tmp_path / "parts" / "vlit.card.md").read_text()
    assert f"{len(parts)} of the 36 records of vlit-candidates.jsonl" in card
    assert "How many are true is not known" in card
    assert str(tmp_path) not in card
    assert (tmp_path / "parts" / "vlit.card.svg").read_text().startswith("<svg")


def test_sentences_that_the_image_does_not_support_stay_out(module, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    export = DatasetExport(target_size=99, reading="gap", near_duplicate=1.0, unit="sentence", pooling="min_sentence")
    export.on_fit_end(Run(folder), module)
    written = json.loads((folder / "vlit.json").read_text())
    figures = json.loads((folder / "summary.json").read_text())["dataset"]
    # every sentence that is left has a mean of at least 0, and the lowest of them is the score
    assert written
    assert all(one["c3l"]["scores"]["gap"] >= 0 for one in written)
    provenance = [one["c3l"]["provenance"] for one in written]
    assert {(one["pooling"], one["unit"], one["sentences_by"]) for one in provenance} == {
        ("min_sentence", "sentence", "gap")
    }
    assert sum(one.get("dropped", 0) for one in provenance) == figures["sentences_dropped_from_pairs"]
    assert all(len(one.get("dropped_sentences", [])) == one.get("dropped", 0) for one in provenance)
    candidates = [json.loads(line) for line in (folder / "vlit-candidates.jsonl").read_text().splitlines()]
    lost = [one for one in candidates if one["candidate"]["rejected"] == "the image supports none of its sentences"]
    assert lost
    assert len(lost) == figures["answers_without_sentence"]
    assert sum(len(one.get("dropped", [])) for one in candidates) == figures["sentences_dropped"]
    assert "sentences that the image does not support" in (folder / "vlit.card.md").read_text()


def test_images_inside_of_archives_are_copied_byte_by_byte(tmp_path):
    files = {f"{n}.png": b"these very bytes %d" % n for n in range(3)}
    for mode, name in (("w", "plain.tar"), ("w:gz", "packed.tar")):
        with tarfile.open(tmp_path / name, mode) as tar:
            for key, data in files.items():
                info = tarfile.TarInfo(key)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        source = open_images(str(tmp_path / name), tmp_path / "spool", longest_side=2)
        images = ImagesOfSet(tmp_path / name[:2], source)
        for key in ("2.png", "0.png", "0.png", "2.png"):
            images.add(key)
        assert images.root == str(tmp_path / name[:2] / "images")
        copied = {path.name: path.read_bytes() for path in Path(images.root).iterdir()}
        assert copied == {key: files[key] for key in ("0.png", "2.png")}
