"""Pretraining of a vision tower on labelled images, which takes the place of CLIP's pretraining for a small LLaVA.

A small LLaVA that learns everything from answers at once learns colours long before shapes.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL.Image import Image
from torch import nn

from lightning_c3l.lvlm.huggingface.hub_layout import save_model
from lightning_c3l.lvlm.huggingface.loading import load_checkpoint
from lightning_c3l.report.progress import track
from lightning_c3l.runs.atomic import atomic_folder


def train_vision_tower(
    folder: Path, labelled: Sequence[tuple[Image, int]], out: Path, steps: int, seed: int = 0
) -> float:
    """Train the vision tower of a LLaVA checkpoint to classify images, and write the checkpoint with the new tower.

    The classifier is linear on the mean of the patch features that the projector gets, and is not kept.

    Args:
        folder: checkpoint of a LLaVA.
        labelled: training images with their classes, from 0.
        out: folder to write.
        steps: number of batches of 64 images.
        seed: of the classifier's weights and of the batches.

    Returns:
        Accuracy on the last 100 batches.
    """
    model, processor = load_checkpoint(str(folder), "float32", trust_remote_code=False)
    parts = [[image for image, _ in labelled[n : n + 500]] for n in range(0, len(labelled), 500)]
    pixels = torch.cat([processor.image_processor(part, return_tensors="pt")["pixel_values"] for part in parts])
    labels = torch.tensor([label for _, label in labelled])
    tower, layer = model.model.vision_tower, model.config.vision_feature_layer
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(tower.config.hidden_size, int(labels.max()) + 1)
    with torch.no_grad():
        head.weight.normal_(0, 0.02, generator=generator)
        head.bias.zero_()
    weights = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.07)
    accuracies = list[float]()
    for _ in track(range(steps), "train the vision tower", "batches"):
        batch = torch.randint(len(pixels), (64,), generator=generator)
        # as in LLaVA: the layer's states without the class token
        features = tower(pixels[batch], output_hidden_states=True).hidden_states[layer][:, 1:]
        logits = head(features.mean(dim=1))
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, labels[batch]).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        accuracies.append(float((logits.argmax(-1) == labels[batch]).float().mean()))
    with atomic_folder(out) as temporary:
        save_model(model, temporary)
        processor.save_pretrained(temporary)
    return sum(accuracies[-100:]) / len(accuracies[-100:])
