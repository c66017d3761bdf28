"""Pretraining of a vision tower: it learns to tell labelled pictures apart before a decoder has to read it.

What CLIP's pretraining does for LLaVA, on a scale of minutes: a small LLaVA that learns everything at once from answers
learns colours long before shapes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn
from tqdm import trange

from lightning_c3l.lvlm.huggingface.loading import load_checkpoint
from lightning_c3l.runs.atomic import atomic_folder


def train_vision_tower(
    folder: Path, labelled: Sequence[tuple[Image, int]], out: Path, steps: int, seed: int = 0
) -> float:
    """Train the vision tower of a LLaVA folder to classify pictures, and write the folder with that tower.

    The head is linear on the mean of the patch features that the projector gets; it is thrown away.

    Args:
        folder: checkpoint of a LLaVA.
        labelled: training pictures, each with its class, from 0.
        out: folder to write.
        steps: batches of 64.
        seed: of the head and of the batches.

    Returns:
        Share of the last 100 batches' pictures that were told right.
    """
    model, processor = load_checkpoint(str(folder), "float32", trust_remote_code=False)
    parts = [[picture for picture, _ in labelled[n : n + 500]] for n in range(0, len(labelled), 500)]
    pixels = torch.cat([processor.image_processor(part, return_tensors="pt")["pixel_values"] for part in parts])
    labels = torch.tensor([label for _, label in labelled])
    right = _train(model.model.vision_tower, model.config.vision_feature_layer, pixels, labels, steps, seed)
    with atomic_folder(out) as temporary:
        model.save_pretrained(temporary)
        processor.save_pretrained(temporary)
    return right


def _train(tower: Any, layer: int, pixels: Tensor, labels: Tensor, steps: int, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(tower.config.hidden_size, int(labels.max()) + 1)
    with torch.no_grad():
        head.weight.normal_(0, 0.02, generator=generator)
        head.bias.zero_()
    weights = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.07)
    told = list[float]()
    for _ in trange(steps, desc="teach the vision tower", unit="batch", leave=False):
        batch = torch.randint(len(pixels), (64,), generator=generator)
        # as LLaVA takes them: that layer's states without the class token
        seen = tower(pixels[batch], output_hidden_states=True).hidden_states[layer][:, 1:]
        logits = head(seen.mean(dim=1))
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, labels[batch]).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        told.append(float((logits.argmax(-1) == labels[batch]).float().mean()))
    return sum(told[-100:]) / len(told[-100:])
