"""The shipped base: that it is what the recipe makes, and as strong and inventive as the manifest says."""

import json

import pytest

from lightning_c3l.scenes.language import KINDS
from lightning_c3l.scenes.recipe import BASES

BASE = BASES["corners"].folder
_LIMIT = 3 * 1024 * 1024


@pytest.fixture(scope="module")
def manifest() -> dict:
    return json.loads((BASE / "manifest.json").read_text())


def test_the_recipe_was_not_edited_without_training_again(manifest):
    assert manifest["recipe"] == BASES["corners"].hash(), (
        "scene sources or training configuration changed: make scenes-base"
    )


def test_the_base_is_small_and_holds_no_pickle():
    files = [path for path in BASE.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= _LIMIT
    assert {path.suffix for path in files} <= {".json", ".jinja", ".safetensors"}
    assert (BASE / "model.safetensors").is_file()


def test_the_base_is_strong_on_unusual_scenes(manifest):
    measured = manifest["measured"]["qa_unusual"]
    assert measured["all"] >= 0.85
    for kind in KINDS:
        assert measured[kind] >= 0.7, kind
    assert manifest["measured"]["qa_usual"]["all"] >= measured["all"]


def test_the_base_invents_from_the_prior(manifest):
    writing = manifest["measured"]["writing"]
    assert writing["invented"]["all"] >= 0.6
    # there is something to select from, and something to find
    assert 0.4 <= writing["truth_rate"] <= 0.9


def test_the_manifest_says_how_it_was_made(manifest):
    assert manifest["command"] == "make scenes-base"
    assert 0 < manifest["training_seconds"] <= 15 * 60
    assert 0.9e6 <= manifest["parameters"] <= 1.3e6


def test_the_manifests_figures_are_those_of_the_shipped_weights(manifest):
    """Measured anew on fewer scenes: within four standard errors of the manifest."""
    from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
    from lightning_c3l.scenes.measure import answer_accuracy
    from lightning_c3l.scenes.worlds import WORLDS

    lvlm = HuggingFaceLVLM(str(BASE), lora=None, keep_reference=False)
    scenes = [WORLDS["corners"].sample(10**15 + number, 0.0) for number in range(60)]
    found = answer_accuracy(lvlm, WORLDS["corners"], scenes)["all"]
    told = manifest["measured"]["qa_unusual"]["all"]
    assert abs(found - told) <= 4 * (told * (1 - told) / 240) ** 0.5 + 0.01
