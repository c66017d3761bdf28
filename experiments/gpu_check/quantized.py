"""QLoRA: training steps of adapters on weights in 4 bits."""

from importlib.util import find_spec

import torch

from experiments.gpu_check.checks import Outcome, Setting
from experiments.speed.models import Workload, build_llava
from experiments.speed.shapes import SHAPES
from experiments.speed.training import loss_of_states
from lightning_c3l.functional.losses import ContrastivePseudoLabelLoss
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.samples import GroupSample

_STEPS = 5


def check_step(setting: Setting) -> Outcome:
    """The loss of a few steps on one batch falls, and only adapters change."""
    if find_spec("bitsandbytes") is None:
        return Outcome(not_run="bitsandbytes is not installed")
    shape = SHAPES["small"]
    build_llava(setting.folder, shape, "bfloat16", torch.device(setting.device))
    lvlm = HuggingFaceLVLM(str(setting.folder), lora=LoRA(rank=8), dtype="bfloat16", quantize="nf4")
    packed = sum(type(parameter).__name__ == "Params4bit" for parameter in lvlm.network.parameters())
    trained = {name: p for name, p in lvlm.network.named_parameters() if p.requires_grad}
    load = Workload.random(shape)
    samples = [
        GroupSample(image, "Write a question.", tuple(f"{q} {a}" for q, a in pairs), *pairs[0])
        for image, pairs in zip(load.images, load.pairs, strict=True)
    ]
    head = ContrastivePseudoLabelLoss(lvlm.hidden_size, 128, 0.2, False).to(lvlm.model.device)
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-3)
    batch = lvlm.encode_groups(samples, "prompt", "image").to(lvlm.model.device)
    losses = list[float]()
    lvlm.network.train()
    for _ in range(_STEPS):
        optimizer.zero_grad()
        loss = loss_of_states(lvlm.group_states(batch, "prompt", "image"), batch.weights, head)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    problems = [] if packed == 7 * shape.layers else [f"{packed} matrices are in 4 bits instead of {7 * shape.layers}"]
    if others := [name for name in trained if "lora_" not in name]:
        problems.append(f"{others[0]} is trained")
    if not losses[-1] < losses[0]:
        problems.append("the loss does not fall")
    summary = f"{packed} matrices in nf4, loss {losses[0]:.3f} to {losses[-1]:.3f} in {_STEPS} steps"
    return Outcome(summary, problems, {"packed": packed, "losses": losses})
