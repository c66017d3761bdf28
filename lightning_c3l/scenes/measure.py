"""How good a trained base is: accuracy of its answers by kind, and what is wrong in the pairs that it generates."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.base import GenerationRequest, Sampling, TextGenerator
from lightning_c3l.rounds.generation import GenerationConfig, ImageChunk, generate_candidates
from lightning_c3l.rounds.truth import right_share
from lightning_c3l.scenes.worlds import World

_BATCH = 128


def measure_base(lvlm: TextGenerator, world: World, scenes: int = 250, seed: int = 1 << 41) -> dict[str, Any]:
    """Accuracies on scenes that no training record shows: training draws its scenes' seeds below 2^40.

    Args:
        lvlm: a base of the world.
        world: what its scenes are.
        scenes: number of scenes for each figure.
        seed: of the first scene.

    Returns:
        `qa_unusual` and `qa_usual` with the accuracy over all and by kind, and `writing` on unusual scenes; see
        `answer_accuracy` and `writing_figures`.
    """
    unusual = [world.sample(seed + i, 0.0) for i in range(scenes)]
    usual = [world.sample(seed + i, 1.0) for i in range(scenes)]
    return {
        "scenes": scenes,
        "qa_unusual": answer_accuracy(lvlm, world, unusual),
        "qa_usual": answer_accuracy(lvlm, world, usual),
        "writing": writing_figures(lvlm, world, unusual),
    }


def answer_accuracy(lvlm: TextGenerator, world: World, scenes: Sequence[Any]) -> dict[str, float]:
    """Share of right statements in greedy answers, over all and by kind; one question of each kind for each scene."""
    random = stream(0)
    asked = [(scene, one) for scene in scenes for one in world.questions("", scene, random)]
    shares = defaultdict[str, list[float]](list)
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        requests = [GenerationRequest(one.question, world.draw(scene)) for scene, one in batch]
        texts = lvlm.generate(requests, Sampling(1, world.longest, 0.0))
        for (scene, one), (text,) in zip(batch, texts, strict=True):
            shares[one.kind].append(right_share(world.statements(scene, one.question, text)))
    means = {kind: fmean(shares[kind]) for kind in world.kinds}
    return {"all": fmean(means.values()), **means}


def writing_figures(lvlm: TextGenerator, world: World, scenes: Sequence[Any]) -> dict[str, Any]:
    """What is wrong in pairs generated at temperature 0.7, two for each scene and kind.

    Returns:
        `truth_rate` and `verdicts` of whole pairs, `statement_truth`: the share of right statements, mean over pairs,
        and `invented`: the share of the wrong statements that the prior gives; the last two also by kind.
    """
    by_key = {str(number): scene for number, scene in enumerate(scenes)}
    writing = GenerationConfig(world.templates, sampling=Sampling(2, world.longest, 0.7), batch_size=_BATCH)
    images = ImageChunk(list(by_key), lambda key: world.draw(by_key[key]))
    verdicts, shares = Counter[str](), defaultdict[str, list[float]](list)
    wrong = defaultdict[str, list[bool]](list)
    for one in generate_candidates(lvlm, images, writing, seed=0):
        scene, kind = by_key[one.image], one.instruction.kind
        verdicts["unparsable" if one.rejected else world.judge(scene, one.question, one.answer)] += 1
        stated = [] if one.rejected else world.statements(scene, one.question, one.answer)
        shares[kind].append(right_share(stated))
        wrong[kind] += [statement.invented for statement in stated if not statement.right]
    pairs, all_wrong = verdicts.total(), [invented for own in wrong.values() for invented in own]
    return {
        "pairs": pairs,
        "truth_rate": verdicts["right"] / pairs,
        "verdicts": dict(verdicts),
        "statement_truth": {"all": fmean(map(fmean, shares.values())), **{k: fmean(own) for k, own in shares.items()}},
        "invented": {"all": _mean(all_wrong), **{kind: _mean(own) for kind, own in wrong.items()}},
    }


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0
