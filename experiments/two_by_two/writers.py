"""What the starting and the tuned writer say about the same images, and what is true of them."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer

from callbacks.i2c_reweighting import I2CReweighting
from data_modules.rounds import RoundDataModule
from data_modules.scenes import SceneImages, SceneTruth, scene_of
from experiments.two_by_two.plan import BASE, TRUE, WRITERS, ExperimentPlan
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.modules.c3l import C3LModule
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.records import Candidate, Instruction, ScoredCandidate
from lightning_c3l.rounds.figures import judged
from lightning_c3l.rounds.generation import GenerationConfig, ImageChunk
from lightning_c3l.rounds.run import engine_of
from lightning_c3l.rounds.store import Round, RunStore
from lightning_c3l.scenes.language import KINDS, ask, queries, true_answer

FOLLOW = 0.2
# no image of a round is written about afterwards; sources of different seeds have nothing in common
_ROUND_STREAM, _FRESH_STREAM = 100_000, 200_000
# of the draws, the same for both writers
_WRITE = 15_485_863
# of the demonstration
_WRITING = GenerationConfig("scenes", sampling=Sampling(4, 24, 0.7), batch_size=64, score_batch_size=32)
_OPTIMIZATION = OptimizerConfig(learning_rate=1e-3, warmup_steps=10)
_BATCH = 16
# twice the images of a round are there to draw from
_SPARE = 2


def fresh_images(plan: ExperimentPlan, seed: int) -> SceneImages:
    """The images that all sets of a seed are about."""
    return SceneImages(plan.fresh_images, FOLLOW, _FRESH_STREAM + seed)


def write(plan: ExperimentPlan, seed: int, folder: Path) -> None:
    """Let both writers write, score it all by the starting model, and put true pairs beside it.

    What is there already is not made again: each of the three is a round in the folder's store.

    Args:
        plan: sizes.
        seed: of all draws.
        folder: of this seed.
    """
    store, truth = RunStore(folder / "written"), SceneTruth()
    images = fresh_images(plan, seed)
    starting, tuned, true = (name in _kept(store) for name in (*WRITERS, TRUE))
    if starting and tuned and true:
        return
    module = _module(seed)
    if not starting:
        _keep(store, WRITERS[0], judged(_written(module, images, folder / "starting"), truth.judge))
    if not true:
        scored = engine_of(module).score(
            _true_pairs(images.keys(), seed), images.read, seed, progress="score true pairs"
        )
        _keep(store, TRUE, judged(scored, truth.judge))
    if not tuned:
        # a training that was killed begins again, and so does what its writer wrote
        for begun in (folder / "c3l", folder / "tuned"):
            shutil.rmtree(begun, ignore_errors=True)
        _train(module, plan, seed, folder / "c3l")
        _keep(store, WRITERS[1], judged(_written(module, images, folder / "tuned"), truth.judge))


def read_pairs(folder: Path, name: str) -> list[ScoredCandidate]:
    """What one of the writers, or `TRUE`, has for this seed."""
    return list(RunStore(folder / "written").read_round(_NUMBERS[name]).candidates)


_NUMBERS = {name: number for number, name in enumerate((*WRITERS, TRUE))}


def _kept(store: RunStore) -> set[str]:
    whole = store.rounds()
    return {name for name, number in _NUMBERS.items() if number in whole}


def _keep(store: RunStore, name: str, candidates: Sequence[ScoredCandidate]) -> None:
    store.write_round(_NUMBERS[name], Round(candidates, [], {}, {"name": name}))


def _module(seed: int) -> C3LModule:
    torch.manual_seed(seed)  # adapters and heads begin alike whenever this seed is worked on
    module = C3LModule(HuggingFaceLVLM(BASE, LoRA()), _WRITING, optimization=_OPTIMIZATION)
    module.seed = seed
    return module


def _written(module: C3LModule, images: SceneImages, folder: Path) -> list[ScoredCandidate]:
    return engine_of(module).final_records(folder, ImageChunk(images.keys(), images.read), _WRITE)


def _train(module: C3LModule, plan: ExperimentPlan, seed: int, folder: Path) -> None:
    """Rounds of C3L as in the demonstration, without its reports."""
    spec = f"scenes:count={_SPARE * plan.round_images},follow={FOLLOW},seed={_ROUND_STREAM + seed}"
    data = RoundDataModule(images=spec, truth=SceneTruth(), batch_size=_BATCH)
    rounds = I2CReweighting(images_per_round=plan.round_images)
    fit(module, data, folder, plan.rounds, [rounds])


def fit(module: LightningModule, data: Any, folder: Path, epochs: int, callbacks: Sequence[Any] = ()) -> None:
    """Train on one CPU process, without logs and checkpoints.

    Lightning's own words on it are of no use for the many short trainings here, so there is no bar either.
    """
    Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        gradient_clip_val=1.0,
        reload_dataloaders_every_n_epochs=1,
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    ).fit(module, datamodule=data)


def _true_pairs(keys: Sequence[str], seed: int) -> list[Candidate]:
    """One question of each kind about each image, with the answer that it shows."""
    out = list[Candidate]()
    for key in keys:
        scene, random = scene_of(key), stream("true", seed, key)
        for kind in KINDS:
            query = random.choice(queries(scene, kind))
            question, answer = ask(query, random), str(true_answer(scene, query))
            out.append(Candidate(key, Instruction(kind, "the truth"), 0, f"{question} {answer}", question, answer))
    return out
