"""A training step: groups that share their image against candidates that each carry it."""

from typing import Any

import torch
from torch import Tensor

from experiments.speed.models import Workload
from experiments.speed.shapes import Shape
from experiments.speed.timing import ratio, side_by_side, spread
from lightning_c3l.functional.losses import ContrastivePseudoLabelLoss, c3l_loss, sequence_nll
from lightning_c3l.lvlm.base import GroupExtras
from lightning_c3l.lvlm.batches import GroupBatch, GroupStates
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.fast_path import FastPath
from lightning_c3l.lvlm.huggingface.forward import Decoder
from lightning_c3l.lvlm.huggingface.groups import group_states
from lightning_c3l.lvlm.samples import GroupSample


def loss_of_states(states: GroupStates, weights: Tensor, head: ContrastivePseudoLabelLoss) -> Tensor:
    """Loss of a batch of groups, the contrastive term included; all groups have as many candidates."""
    anchor = head.project(states.anchor, states.anchor_mask)
    rows = head.project(states.candidates, states.candidate_mask)
    table = rows.view(len(anchor), -1, rows.shape[-1])
    contrastive = head(anchor, table, torch.ones(table.shape[:2], dtype=torch.bool, device=table.device))
    write = sequence_nll(states.positive_logp, states.positive_mask)
    answer = sequence_nll(states.answer_logp, states.answer_mask)
    return c3l_loss(write, answer, contrastive, weights, 1.0, 0.3)


def training_step(path: FastPath, batch: GroupBatch, head: ContrastivePseudoLabelLoss) -> Tensor:
    """Loss and gradients of one batch."""
    loss = loss_of_states(group_states(path, batch, "prompt", "image", GroupExtras()), batch.weights, head)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def bench_training(lvlm: HuggingFaceLVLM, shape: Shape, repeats: int) -> dict[str, Any]:
    """Ratio of seconds of a step on the same groups, forward and backward."""
    load, device = Workload.random(shape), lvlm.model.device
    samples = [
        GroupSample(image, "Write a question with its answer.", tuple(f"{q} {a}" for q, a in pairs), *pairs[0])
        for image, pairs in zip(load.images, load.pairs, strict=True)
    ]
    lvlm.network.train()
    batch = lvlm.encode_groups(samples, "prompt", "image").to(device)
    head = ContrastivePseudoLabelLoss(lvlm.hidden_size, 128, 0.2, False).to(device)

    def step(copies: bool) -> object:
        lvlm.network.zero_grad()
        # with copies, each suffix is in a row of its own; the vision tower still runs once for an image
        return training_step(FastPath(Decoder(lvlm.model, lvlm.images, copies=copies), lvlm.encoder), batch, head)

    seconds = side_by_side({"shared": lambda: step(False), "unshared": lambda: step(True)}, repeats)
    lvlm.network.eval()
    return {
        "vs_unshared": ratio(seconds["unshared"], seconds["shared"]),
        "groups_per_second": spread([shape.groups / s for s in seconds["shared"]]),
    }
