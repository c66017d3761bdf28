"""The park's shipped base: that it is what the recipe makes, and errs as the manifest says."""

import json

import pytest

from lightning_c3l.scenes.recipe import BASES
from lightning_c3l.scenes.worlds import WORLDS

PARK = BASES["park"]
_LIMIT = 6 * 1024 * 1024


@pytest.fixture(scope="module")
def manifest() -> dict:
    return json.loads((PARK.folder / "manifest.json").read_text())


def test_the_recipe_was_not_edited_without_training_again(manifest):
    assert manifest["recipe"] == PARK.hash(), "sources of the park or its training changed: make park-base"
    assert manifest["command"] == "make park-base"


def test_the_base_is_small_and_holds_no_pickle():
    files = [path for path in PARK.folder.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= _LIMIT
    assert {path.suffix for path in files} <= {".json", ".jinja", ".safetensors"}


def test_the_base_errs_in_both_ways(manifest):
    writing = manifest["measured"]["writing"]
    assert 0.5 <= writing["statement_truth"]["all"] <= 0.75
    assert 0.4 <= writing["invented"]["all"] <= 0.6


def test_the_manifests_figures_are_those_of_the_shipped_weights(manifest):
    """Measured anew on fewer scenes: within four standard errors of the manifest."""
    from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
    from lightning_c3l.scenes.measure import answer_accuracy

    lvlm = HuggingFaceLVLM(str(PARK.folder), lora=None, keep_reference=False)
    scenes = [WORLDS["park"].sample(10**15 + number, 0.0) for number in range(30)]
    found = answer_accuracy(lvlm, WORLDS["park"], scenes)["all"]
    told = manifest["measured"]["qa_unusual"]["all"]
    # shares of statements vary less than single right or wrong answers would
    assert abs(found - told) <= 4 * (told * (1 - told) / 240) ** 0.5
