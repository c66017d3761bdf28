"""Rounds in a Trainer of one's own, about images in memory."""

from pathlib import Path

import torch
from lightning import Trainer

import lightning_c3l
from data_modules.images.given import given_images
from lightning_c3l.rounds.store import RunStore
from tests.helpers.tiny import pictures


def test_an_lvlm_is_trained_on_a_list_of_images(tiny_checkpoint: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    lvlm = lightning_c3l.load(str(tiny_checkpoint), device="cpu", lora=lightning_c3l.LoRA(rank=2))
    sampling = lightning_c3l.Sampling(3, 4, 1.0)
    writing = lightning_c3l.GenerationConfig("scenes", 1, sampling, begin="Question: Where are the circles?\nAnswer:")
    module = lightning_c3l.C3LModule(lvlm, writing, lightning_c3l.LossConfig(contrastive_weight=0.0))
    images = pictures(4)
    before = lightning_c3l.score(lvlm, images[0], "Where are the circles?", "top left")
    Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=2,
        callbacks=[lightning_c3l.I2CReweighting()],
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    ).fit(module, datamodule=lightning_c3l.RoundDataModule(images, batch_size=2))
    store = RunStore(tmp_path)
    assert store.rounds() == [0, 1]
    assert {one.candidate.image for one in store.read_round(1).candidates} == set(given_images(images).keys)
    # the LVLM given is the one that was trained, and it still knows how it began
    after = lightning_c3l.score(lvlm, images[0], "Where are the circles?", "top left")
    reference = lightning_c3l.score(lvlm, images[0], "Where are the circles?", "top left", scorer="reference")
    assert after.scores != before.scores
    assert before.scores is not None
    assert reference.scores is not None
    assert abs(reference.scores.mean_logp - before.scores.mean_logp) < 1e-5
