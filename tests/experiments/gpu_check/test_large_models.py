"""Models of the real sizes: their configurations without weights, and the whole way at tiny sizes."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from experiments.gpu_check.arithmetic import Parameters, Passes
from experiments.gpu_check.large_models import LLAVA, QWEN, LargeModel, build_lvlm, parameters_of, prepare, write_zeros
from experiments.gpu_check.rounds import TINY, MeasuredRounds, run_rounds
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA


@pytest.fixture(scope="module")
def lvlm(tmp_path_factory: pytest.TempPathFactory) -> HuggingFaceLVLM:
    return build_lvlm(LLAVA.tiny(), tmp_path_factory.mktemp("tiny"), "cpu", LoRA(rank=2))


@pytest.mark.parametrize(
    ("model", "parameters"),
    # of llava-hf/llava-1.5-7b-hf and Qwen/Qwen3-VL-8B-Instruct, added up matrix by matrix
    [(LLAVA, 7_063_427_072), (QWEN, 8_767_123_696)],
    ids=["llava", "qwen"],
)
def test_sizes_are_those_of_the_published_models(model: LargeModel, parameters: int, tmp_path: Path) -> None:
    prepare(model, tmp_path)
    with torch.device("meta"):
        built = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(tmp_path))
    assert sum(parameter.numel() for parameter in built.parameters()) == parameters
    processor = AutoProcessor.from_pretrained(tmp_path)
    image = Image.new("RGB", (model.side, model.side))
    ids = processor(text=[processor.image_token], images=[[image]])["input_ids"][0]
    assert list(ids).count(built.config.image_token_id) == 576


def test_the_weight_file_reads_as_zeros_and_takes_no_room(tmp_path: Path) -> None:
    prepare(LLAVA.tiny(), tmp_path)
    file = tmp_path / "model.safetensors"
    before = load_file(file)
    write_zeros(tmp_path)
    after = load_file(file)
    assert {tuple(tensor.shape) for tensor in after.values()} == {tuple(tensor.shape) for tensor in before.values()}
    assert all(tensor.dtype == torch.bfloat16 and not tensor.any() for tensor in after.values())
    # all of it but the header lies in a hole
    assert file.stat().st_blocks * 512 < 0.5 * file.stat().st_size


def test_weights_are_drawn_and_adapters_stay_fresh(lvlm: HuggingFaceLVLM) -> None:
    assert lvlm.dtype == torch.bfloat16
    parameters = dict(lvlm.network.named_parameters())
    scales = [p for name, p in parameters.items() if name.endswith("norm.weight")]
    assert all((p == 1).all() for p in scales)
    assert scales
    matrices = [p for name, p in parameters.items() if p.ndim == 2 and "lora_" not in name]
    assert all(0.015 < float(p.float().std()) < 0.025 for p in matrices)
    ends = [p for name, p in parameters.items() if "lora_B" in name]
    assert not any(p.any() for p in ends)
    assert len(ends) == 2 * 7


def test_parameters_of_layers_and_head(lvlm: HuggingFaceLVLM) -> None:
    # q and o of 64 x 64, k and v of 64 x 32, three matrices of 64 x 128, two scales of 64
    layer = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64
    assert parameters_of(lvlm) == Parameters(2 * layer, 64 * lvlm.model.config.get_text_config().vocab_size)


def test_a_round_counts_its_tokens_and_times_its_stages(lvlm: HuggingFaceLVLM) -> None:
    work = MeasuredRounds(lvlm, TINY, LLAVA.tiny().side)
    passes = work.passes()
    prompt = len(lvlm.processor.tokenizer("Write a question about the picture, with its answer.")["input_ids"]) - 1
    # two images of 9 tokens, two texts of 5 tokens about each
    assert passes["generate"] == (Passes(2 * (9 + prompt) + 4 * 4, 4 * 5), 1)
    found = run_rounds(work, "cpu")
    assert len(found["seconds"]) == 2
    last = found["seconds"][-1]
    assert found["pairs_per_second"] == pytest.approx(4 / last["score"])
    assert found["tokens_per_second"] == pytest.approx(4 * 5 / last["generate"])
    assert found["rows_per_second"] == pytest.approx(4 / last["train"])
    # on tiny matrices overhead is all
    assert all(0 < value < 1 for value in found["share"].values())
    # a batch of scores and two training steps in each round
    assert len(work.numbers) == 2 * 3
    changed = [p for name, p in lvlm.network.named_parameters() if "lora_B" in name]
    assert all(p.any() for p in changed)
