"""Pairs that the starting and the tuned writer generate for the same images, with scores and verdicts."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from callbacks.i2c_reweighting import I2CReweighting
from data_modules.rounds import RoundDataModule
from data_modules.scenes import SceneImages, SceneTruth
from experiments.two_by_two.plan import STARTING, TRUE, TUNED, ExperimentPlan
from experiments.two_by_two.tuning import fit
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.modules.c3l import C3LModule
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.records import Candidate, Instruction, ScoredCandidate
from lightning_c3l.rounds.figures import judged
from lightning_c3l.rounds.generation import GenerationConfig, ImageChunk
from lightning_c3l.rounds.run import engine_of
from lightning_c3l.rounds.store import Round, RunStore
from lightning_c3l.scenes.worlds import WORLDS, World

FOLLOW = 0.2
# images of rounds and fresh images are disjoint: sources of different seeds have nothing in common
_ROUND_STREAM, _FRESH_STREAM = 100_000, 200_000
# of the draws, the same for both writers
_WRITE = 15_485_863
_OPTIMIZATION = OptimizerConfig(learning_rate=1e-3, warmup_steps=10)
_BATCH = 16
# kinds for each image, in turn
_KINDS = 4
# images to draw from, for each image of a round
_SPARE = 2
# each is kept as a round of the seed's store
_ROUNDS = {STARTING: 0, TUNED: 1, TRUE: 2}


def fresh_images(plan: ExperimentPlan, seed: int) -> SceneImages:
    """The images that all sets of a seed are about."""
    return SceneImages(plan.fresh_images, FOLLOW, _FRESH_STREAM + seed, world=plan.world)


def read_pairs(folder: Path, name: str) -> list[ScoredCandidate]:
    """Pairs of one of the writers, or the true ones, from the folder of a seed."""
    return list(RunStore(folder / "written").read_round(_ROUNDS[name]).candidates)


def write_pairs(plan: ExperimentPlan, seed: int, folder: Path) -> None:
    """Let both writers generate pairs, make true ones, and score all of them by the starting model.

    Those that are stored already are not made again.

    Args:
        plan: world and sizes.
        seed: of all draws.
        folder: of this seed.
    """
    store, images, truth = RunStore(folder / "written"), fresh_images(plan, seed), SceneTruth()
    stored = store.rounds()
    missing = [name for name, number in _ROUNDS.items() if number not in stored]
    if not missing:
        return
    torch.manual_seed(seed)  # adapters and heads start alike whenever this seed is resumed
    writing = generation(WORLDS[plan.world])
    module = C3LModule(HuggingFaceLVLM(plan.base, LoRA()), writing, optimization=_OPTIMIZATION)
    module.seed = seed
    chunk = ImageChunk(images.keys(), images.read)

    def save(name: str, candidates: Sequence[ScoredCandidate]) -> None:
        store.write_round(_ROUNDS[name], Round(list(judged(candidates, truth.judge)), [], {}, {"name": name}))

    if STARTING in missing:
        save(STARTING, engine_of(module).final_records(folder / STARTING, chunk, _WRITE))
    if TRUE in missing:
        pairs = _true_pairs(images.keys())
        save(TRUE, engine_of(module).score(pairs, images.read, seed, progress="score true pairs"))
    if TUNED in missing:
        # a training that was killed starts over, and so does what its writer generated
        for unfinished in (folder / "c3l", folder / TUNED):
            shutil.rmtree(unfinished, ignore_errors=True)
        count = _SPARE * plan.round_images
        spec = f"scenes:world={plan.world},count={count},follow={FOLLOW},seed={_ROUND_STREAM + seed}"
        data = RoundDataModule(images=spec, truth=SceneTruth(), batch_size=_BATCH)
        # without balance the tuned writer says no in six of seven cases, and the sets lack yes
        reweighting = I2CReweighting(images_per_round=plan.round_images, balance_yes_no=True)
        fit(module, data, folder / "c3l", plan.rounds, reweighting)
        save(TUNED, engine_of(module).final_records(folder / TUNED, chunk, _WRITE))


def generation(world: World) -> GenerationConfig:
    """How both writers generate pairs."""
    kinds, sampling = min(_KINDS, len(world.kinds)), Sampling(4, world.longest, 0.5)
    return GenerationConfig(world.templates, kinds, sampling, batch_size=64, score_batch_size=32)


def _true_pairs(keys: Sequence[str]) -> list[Candidate]:
    """One question of each kind about each image, with the true answer."""
    return [
        Candidate(
            one.image,
            Instruction(one.kind, "the truth"),
            0,
            f"{one.question} {one.answer}",
            one.question,
            one.answer,
        )
        for one in SceneTruth().questions(keys)
    ]
