"""Full checkpoints have the weight names of the Hub, whatever file the model came from."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration

from lightning_c3l.lvlm.huggingface.hub_layout import save_model
from lightning_c3l.scenes.recipe import BASES

# as in the files of llava-hf/llava-1.5-7b-hf
INNER = "vision_tower.vision_model."
NAMES = {
    "language_model.model.embed_tokens.weight",
    "language_model.model.layers.0.self_attn.q_proj.weight",
    "language_model.model.norm.weight",
    "multi_modal_projector.linear_1.weight",
    INNER + "embeddings.class_embedding",
    INNER + "encoder.layers.0.self_attn.q_proj.weight",
    INNER + "pre_layrnorm.weight",
}


@pytest.fixture(scope="module")
def flat(tiny_checkpoint, tmp_path_factory):
    """A checkpoint as `save_pretrained` writes it for a model that was built from its configuration."""
    folder = tmp_path_factory.mktemp("flat")
    model = LlavaForConditionalGeneration.from_pretrained(tiny_checkpoint)
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name.replace(INNER, "vision_tower."): w for name, w in weights.items()}, folder / "model.safetensors")
    return folder


def names_in(folder):
    return {name for file in folder.glob("*.safetensors") for name in load_file(file)}


def same_weights(one, other):
    states = [LlavaForConditionalGeneration.from_pretrained(folder).state_dict() for folder in (one, other)]
    return states[0].keys() == states[1].keys() and all(
        torch.equal(w, states[1][name]) for name, w in states[0].items()
    )


def test_a_checkpoint_that_was_built_here_and_the_shipped_base_have_the_hubs_names(tiny_checkpoint):
    for folder in (tiny_checkpoint, BASES["corners"].folder):
        names = names_in(folder)
        assert names >= NAMES
        assert all(name.startswith(INNER) for name in names if name.startswith("vision_tower."))


def test_a_model_that_was_read_from_other_names_is_saved_under_the_hubs(flat, tmp_path):
    model = LlavaForConditionalGeneration.from_pretrained(flat)
    assert INNER + "pre_layrnorm.weight" not in names_in(flat)
    save_model(model, tmp_path)
    assert names_in(tmp_path) >= NAMES
    assert same_weights(flat, tmp_path)


def test_shards_and_their_index_are_renamed_together(flat, tmp_path, monkeypatch):
    model = LlavaForConditionalGeneration.from_pretrained(flat)
    whole = model.save_pretrained
    monkeypatch.setattr(model, "save_pretrained", lambda folder, **more: whole(folder, max_shard_size="60KB", **more))
    save_model(model, tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    assert len(set(index.values())) > 1
    assert {name: file for file in index.values() for name in load_file(tmp_path / file)} == index
    assert index.keys() >= NAMES
    assert same_weights(flat, tmp_path)


def test_given_weights_are_saved_in_place_of_those_in_memory(flat, tmp_path):
    model = LlavaForConditionalGeneration.from_pretrained(flat)
    save_model(model, tmp_path, {name: 2 * weight for name, weight in model.state_dict().items()})
    name = "language_model.model.norm.weight"
    assert torch.equal(load_file(tmp_path / "model.safetensors")[name], 2 * load_file(flat / "model.safetensors")[name])
