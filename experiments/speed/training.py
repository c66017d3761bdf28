"""A training step: groups that share their image against candidates that each carry it."""

from typing import Any

import torch
from torch import Tensor

from experiments.speed.models import Workload
from experiments.speed.shapes import Shape
from experiments.speed.timing import ratio, side_by_side, spread
from lightning_c3l.functional.losses import ContrastivePseudoLabelLoss, c3l_loss, sequence_nll
from lightning_c3l.lvlm.batches import GroupBatch, GroupStates, TokenRows
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.forward import Decoder, PromptRows
from lightning_c3l.lvlm.huggingface.groups import group_states
from lightning_c3l.lvlm.samples import GroupSample


class UnsharedDecoder(Decoder):
    """Each suffix with a copy of its prefix before it; the vision tower still runs once for an image."""

    def run_shared(self, prefixes: PromptRows, suffixes: TokenRows, joined: bool = False) -> tuple[Tensor, Tensor]:
        """The same states as the shared form, by R rows of full length."""
        owner = suffixes.owner
        # every prefix of a bench is of one length, so a row is its prefix with the suffix behind it
        ids = torch.cat([prefixes.ids[owner], suffixes.ids], dim=1)
        mask = torch.cat([prefixes.mask[owner], suffixes.mask], dim=1)
        features = None
        if prefixes.features is not None:
            vectors = prefixes.features.view(len(prefixes.ids), -1, prefixes.features.shape[-1])
            features = vectors[owner].flatten(0, 1)
        hidden, _ = self.run_rows(PromptRows(ids, mask, features, prefixes.grid))
        width = prefixes.ids.shape[1]
        first = torch.stack([hidden[owner == number][0, :width] for number in range(len(prefixes.ids))])
        return first, hidden[:, width:]


def loss_of_states(states: GroupStates, weights: Tensor, head: ContrastivePseudoLabelLoss) -> Tensor:
    """Loss of a batch of groups, the contrastive term included; all groups have as many candidates."""
    anchor = head.project(states.anchor, states.anchor_mask)
    rows = head.project(states.candidates, states.candidate_mask)
    table = rows.view(len(anchor), -1, rows.shape[-1])
    contrastive = head(anchor, table, torch.ones(table.shape[:2], dtype=torch.bool, device=table.device))
    write = sequence_nll(states.positive_logp, states.positive_mask)
    answer = sequence_nll(states.answer_logp, states.answer_mask)
    return c3l_loss(write, answer, contrastive, weights, 1.0, 0.3)


def training_step(decoder: Decoder, batch: GroupBatch, head: ContrastivePseudoLabelLoss) -> Tensor:
    """Loss and gradients of one batch."""
    loss = loss_of_states(group_states(decoder, batch, "prompt", "image"), batch.weights, head)
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

    def step(decoder: Decoder) -> object:
        lvlm.network.zero_grad()
        return training_step(decoder, batch, head)

    unshared = UnsharedDecoder(lvlm.model, lvlm.images)
    seconds = side_by_side({"shared": lambda: step(lvlm.decoder), "unshared": lambda: step(unshared)}, repeats)
    lvlm.network.eval()
    return {
        "vs_unshared": ratio(seconds["unshared"], seconds["shared"]),
        "groups_per_second": spread([shape.groups / s for s in seconds["shared"]]),
    }
