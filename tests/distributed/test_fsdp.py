"""Weights split over two gloo ranks: the same figures as whole ones, and rounds that ranks run apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from lightning_c3l.distributed import fsdp
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.path_check import choose_training_path
from lightning_c3l.modules.c3l import C3LModule
from lightning_c3l.runs.digests import trained_digest
from tests.helpers.ranks import run_ranks
from tests.helpers.tiny import generate_texts
from tests.modules.test_c3l import module_of, samples

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")


def split(module: C3LModule) -> C3LModule:
    """The module, its weights split over all ranks."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    fsdp.shard(module, module.lvlm.model.get_decoder().layers, mesh)
    return module


def whole(tensor: Tensor | None) -> Tensor | None:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gradients(module: C3LModule) -> dict[str, Tensor]:
    found = {name: whole(p.grad) for name, p in module.named_parameters() if p.requires_grad}
    assert all(value is not None for value in found.values())
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def writing(module: C3LModule) -> Iterator[None]:
    with fsdp.gathered(module), torch.no_grad():
        module.eval()
        yield
        module.train()


def written(module: C3LModule, count: int) -> list[list[str]]:
    """Texts for so many prompts."""
    one = samples()[0]
    return generate_texts(module.lvlm, [one.image] * count, [one.instruction] * count, Sampling(2, 5, 1.0), 7)


def check_steps(rank: int, folder: str) -> None:
    """A step on two split halves of a batch beside the same step on whole weights, before and after a round."""
    # with a head of its own
    form = {"form": "representation"}
    plain, halves = module_of(Path(folder), **form), split(module_of(Path(folder), **form))
    assert all(isinstance(parameter, DTensor) for parameter in halves.parameters())
    held = sum(p.to_local().numel() for p in halves.parameters() if isinstance(p, DTensor))
    assert held < 0.6 * sum(p.numel() for p in plain.parameters())
    digest = trained_digest(plain)
    assert trained_digest(halves) == digest
    # the first rank writes nothing, the second three texts
    with writing(halves):
        assert written(halves, 3 * rank) == written(plain.eval(), 3 * rank)
        assert trained_digest(halves) == digest
        state = fsdp.whole_state(halves.network)
        torch.testing.assert_close(state, dict(plain.network.state_dict()), rtol=0, atol=0)
    plain.train()
    for _ in range(2):
        expected = plain.training_step(plain.encode(samples()), 0)
        expected.backward()  # type: ignore[no-untyped-call]
        loss = halves.training_step(halves.encode(samples()[rank : rank + 1]), 0)
        loss.backward()  # type: ignore[no-untyped-call]
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        torch.testing.assert_close(mean / 2, expected.detach(), rtol=1e-5, atol=1e-5)
    ours, theirs = gradients(halves), gradients(plain)
    assert len(ours) == 30
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    with writing(halves):
        assert written(halves, 1 + rank) == written(plain.eval(), 1 + rank)


def check_slices(rank: int, folder: str) -> None:
    """The default loss on halves with unlike numbers of tokens, and so of slices of logits."""
    plain, halves = module_of(Path(folder)), split(module_of(Path(folder)))
    size = 3 * plain.lvlm.model.config.get_text_config().vocab_size
    with patch("lightning_c3l.lvlm.huggingface.forward._LOGITS", size):
        plain.training_step(plain.encode(samples()), 0).backward()  # type: ignore[no-untyped-call]
        halves.training_step(halves.encode(samples()[rank : rank + 1]), 0).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(gradients(halves), gradients(plain), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("check", [check_steps, check_slices])
def test_a_step_on_split_weights_is_a_step_on_whole_ones(check: Any, tiny_checkpoint: Path) -> None:
    run_ranks(check, str(tiny_checkpoint))


def check_preparation(rank: int, folder: str) -> None:
    """The self-check of training on gathered weights, which the first rank alone repeats, and a step after it."""
    plain, halves = module_of(Path(folder)), split(module_of(Path(folder)))
    lvlm = halves.lvlm
    assert isinstance(lvlm, HuggingFaceLVLM)
    with fsdp.gathered(halves):
        lvlm.prepare_training()
        if rank == 0:
            chosen = choose_training_path(lvlm.network, lvlm.model, lvlm.encoder, lvlm.inference_path)
            assert (chosen.name, chosen.reason) == ("fast", "")
        assert not any(isinstance(parameter, DTensor) for parameter in halves.parameters())
    assert all(isinstance(parameter, DTensor) and parameter.grad is None for parameter in halves.parameters())
    plain.training_step(plain.encode(samples()), 0).backward()  # type: ignore[no-untyped-call]
    halves.training_step(halves.encode(samples()[rank : rank + 1]), 0).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(gradients(halves), gradients(plain), rtol=1e-5, atol=1e-5)


def test_backward_passes_on_gathered_weights_are_a_rank_s_own(tiny_checkpoint: Path) -> None:
    run_ranks(check_preparation, str(tiny_checkpoint))


def test_weights_in_few_bits_are_refused() -> None:
    layer = nn.Linear(2, 2)
    layer.weight = nn.Parameter(torch.zeros(2, 1, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(ValueError, match=r"strategy: 0\.weight is quantized and cannot be sharded"):
        fsdp.shard(nn.Sequential(layer), nn.ModuleList([layer]), None)  # type: ignore[arg-type]


REPRESENTATION = {"form": "representation", "token_weights": "none"}


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (REPRESENTATION, 2),
        (REPRESENTATION | {"anchor": "instruction"}, 3),
        (REPRESENTATION | {"context": "text"}, 3),
        # the starting model reads the same rows, and by default the texts without their image too
        ({"token_weights": "none"}, 4),
        ({}, 5),
    ],
    ids=["representation", "instruction", "text", "dpo", "default"],
)
def test_passes_depend_on_options_alone(loss: dict[str, Any], expected: int, tiny_checkpoint: Path) -> None:
    """Ranks with unlike batches must run the same layers the same number of times."""
    module, passes = module_of(tiny_checkpoint, **loss), list[int]()
    module.lvlm.prepare_training()
    layer = module.lvlm.model.get_decoder().layers[0]
    layer.register_forward_hook(lambda *_: passes.__setitem__(-1, passes[-1] + 1))
    first, second = samples()
    short = replace(first, texts=first.texts[:1], weight=0.0)
    for batch in ([first], [short], [first, second], [second, short, first]):
        passes.append(0)
        module.training_step(module.encode(batch), 0)
    assert passes == [expected] * 4
