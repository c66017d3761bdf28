"""The bench compares implementations that do the same, and counts what it says it counts."""

import gc
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from experiments.speed import run
from experiments.speed.models import PlainLVLM, Workload, build_llava
from experiments.speed.scoring import recorded_products
from experiments.speed.shapes import SHAPES, variants
from experiments.speed.timing import process_memory, ratio, side_by_side, spread_table
from experiments.speed.training import training_step
from lightning_c3l.cli.bench import main
from lightning_c3l.functional.losses import ContrastivePseudoLabelLoss
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.fast_path import FastPath
from lightning_c3l.lvlm.huggingface.forward import Decoder
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.tiny import awaken_adapter

SHAPE = SHAPES["tiny"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    build_llava(folder, SHAPE, "float32", CPU)
    return folder


@pytest.fixture
def lvlm(checkpoint: Path) -> HuggingFaceLVLM:
    return build_llava(checkpoint, SHAPE, "float32", CPU)


@pytest.mark.parametrize(("batch_size", "head_on_answers"), [(1, False), (3, False), (6, True)])
def test_plain_and_shared_scoring_give_the_same_figures(
    lvlm: HuggingFaceLVLM, batch_size: int, head_on_answers: bool
) -> None:
    load = Workload.random(SHAPE)
    shared = score_pairs(lvlm, load.images, load.pairs)
    plain = PlainLVLM(lvlm).score(load, batch_size, head_on_answers)
    assert len(plain) == load.count == 6
    for number, figures in enumerate(plain):
        mask = shared.mask[number]
        mine = torch.stack([shared.logp_image[number][mask], shared.logp_blind[number][mask], shared.kl[number][mask]])
        torch.testing.assert_close(mine, figures, atol=1e-4, rtol=1e-4)


def test_texts_have_the_lengths_that_the_shape_says(lvlm: HuggingFaceLVLM) -> None:
    load = Workload.random(SHAPE)
    assert score_pairs(lvlm, load.images, load.pairs).mask.sum(1).tolist() == [SHAPE.answer] * 6
    for question, _ in load.pairs[0]:
        assert len(lvlm.processor.tokenizer(f" {question}")["input_ids"]) == SHAPE.question


def test_plain_generation_writes_the_forced_length(lvlm: HuggingFaceLVLM) -> None:
    load, plain = Workload.random(SHAPE), PlainLVLM(lvlm)
    prompts = [plain.render(pairs[0][0]) for pairs in load.pairs]
    before = plain.inputs(load.images, prompts)["input_ids"].shape[1]
    out = plain.generate(load.images, prompts, 7, num_return_sequences=3)
    assert out.shape == (6, before + 7)


def test_a_shared_step_has_the_gradients_of_one_whose_candidates_carry_their_images(checkpoint: Path) -> None:
    load = Workload.random(SHAPE)
    samples = [
        GroupSample(image, "Write a question.", tuple(f"{q} {a}" for q, a in pairs), *pairs[0])
        for image, pairs in zip(load.images, load.pairs, strict=True)
    ]
    found = list[dict[str, torch.Tensor]]()
    for copies in (False, True):
        lvlm = build_llava(checkpoint, SHAPE, "float32", CPU, LoRA(rank=2))
        awaken_adapter(lvlm)
        torch.manual_seed(0)
        head = ContrastivePseudoLabelLoss(lvlm.hidden_size, 16, 0.2, False)
        path = FastPath(Decoder(lvlm.model, lvlm.images, copies=copies), lvlm.encoder)
        training_step(path, lvlm.encode_groups(samples, "prompt", "image"), head)
        trained = {n: p.grad for n, p in lvlm.network.named_parameters() if p.requires_grad}
        found.append({n: g for n, g in trained.items() if g is not None})
    shared, unshared = found
    assert shared.keys() == unshared.keys()
    assert len(shared) == 2 * 7 * SHAPE.layers
    for name, gradient in unshared.items():
        assert float((shared[name] - gradient).norm()) <= 1e-4 * float(gradient.norm()), name


def test_products_are_counted_with_their_shapes() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 8))
    with recorded_products(network) as found:
        network(torch.randn(2, 3, 4))
        network(torch.randn(5, 4))
    assert found == {(6, 4, 8): 1, (5, 4, 8): 1, (6, 8, 8): 2, (5, 8, 8): 2}
    network(torch.randn(1, 4))
    assert sum(found.values()) == 6


def test_implementations_run_side_by_side() -> None:
    calls = list[str]()
    seconds = side_by_side({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 4
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}
    assert ratio([2.0, 6.0, 9.0], [1.0, 2.0, 1.0]) == {"median": 3.0, "min": 2.0, "max": 9.0}


def test_the_table_names_spreads_by_their_path() -> None:
    figures = {"a": {"b": ratio([2.0], [1.0]), "batch": 3}, "c": ratio([1234.5], [1.0])}
    table = spread_table(figures, ",.4g")
    assert [list(column.cells) for column in table.columns] == [["a.b", "c"], *[["2", "1,234"]] * 3]


def test_memory_is_resident_memory_and_its_peak() -> None:
    assert 10_000_000 < process_memory("VmRSS") <= process_memory("VmHWM")


def test_variants_change_one_size_at_a_time() -> None:
    for shapes in variants(SHAPE).values():
        for shape in shapes.values():
            changed = {name for name, value in shape.__dict__.items() if value != getattr(SHAPE, name)}
            assert len(changed - {"groups"}) <= 1


PATHS = {"fast", "cached", "plain", "one_by_one"}


def test_the_command_writes_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--shape", "tiny", "--repeats", "1", "--no-memory", "--no-growth", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    found = json.loads((tmp_path / "out" / "bench.json").read_text())
    for figures in (found, found["bf16"]):
        for part, names in {
            "scoring": ("vs_one_by_one", "vs_batched", "vs_generate", "floor_share", "pairs_per_second"),
            "generation": ("vs_num_return_sequences", "tokens_per_second"),
            "train": ("vs_unshared", "groups_per_second"),
        }.items():
            for name in names:
                spread = figures[part][name]
                assert 0 < spread["min"] <= spread["median"] <= spread["max"], name
        assert set(figures["paths"]) == PATHS
        assert figures["paths"]["plain"]["scoring_vs_plain"]["median"] == 1
    assert "scoring.vs_one_by_one" in capsys.readouterr().out


def test_only_the_model_that_is_trained_is_there_while_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {str(n * n): replace(SHAPE, side=n * SHAPE.patch, groups=1) for n in (2, 3)}
    monkeypatch.setattr(run, "variants", lambda shape: {"image tokens": sizes})

    def models() -> int:
        gc.collect()
        return sum(isinstance(one, HuggingFaceLVLM) for one in gc.get_objects())

    monkeypatch.setattr(run, "bench_training", lambda *_: {"models": models()})
    before = models()
    words = ["--shape", "tiny", "--repeats", "1", "--no-memory", "--precision", "float32", "--out", str(tmp_path)]
    assert main(words) == 0
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["train"]["models"] == before + 1
    assert {size: set(own) for size, own in found["growth"]["image tokens"].items()} == {
        size: {"shared", "one by one"} for size in sizes
    }


def test_the_paths_of_a_checkpoint_of_the_users(tmp_path: Path, tiny_checkpoint: Path) -> None:
    words = ["--shape", "tiny", "--repeats", "1", "--checkpoint", str(tiny_checkpoint), "--out", str(tmp_path / "out")]
    assert main([*words, "--precision", "float32"]) == 0
    found = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert "scoring" not in found
    assert set(found["paths"]) == PATHS
    assert all(figures["pairs_per_second"]["median"] > 0 for figures in found["paths"].values())


def test_impossible_repeats_are_refused() -> None:
    with pytest.raises(ValueError, match="--repeats must be at least 1"):
        main(["--repeats", "0"])
