"""How good a trained base is: accuracy of its answers by kind, and what is wrong in the pairs that it generates."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.base import GenerationRequest, Sampling, TextGenerator
from lightning_c3l.rounds.generation import GenerationConfig, ImageChunk, generate_candidates
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.language import (
    KINDS,
    ask,
    normalise,
    queries,
    true_answer,
    truth,
    understand,
    usual_answer,
)
from lightning_c3l.scenes.world import Scene, sample_scene

_BATCH = 128


def measure_base(lvlm: TextGenerator, scenes: int = 250, seed: int = 1 << 41) -> dict[str, Any]:
    """Accuracies on scenes that no training record shows: training draws its scenes' seeds below 2^40.

    Args:
        lvlm: a base of the embedded world.
        scenes: number of scenes for each figure.
        seed: of the first scene.

    Returns:
        `qa_unusual` and `qa_usual` with the accuracy over all and by kind, and `writing` on unusual scenes: truth
        rate, verdicts, and `invented`: the share of the wrong answers that the prior gives.
    """
    unusual = [sample_scene(seed + i, 0.0) for i in range(scenes)]
    usual = [sample_scene(seed + i, 1.0) for i in range(scenes)]
    return {
        "scenes": scenes,
        "qa_unusual": answer_accuracy(lvlm, unusual),
        "qa_usual": answer_accuracy(lvlm, usual),
        "writing": writing_figures(lvlm, unusual),
    }


def answer_accuracy(lvlm: TextGenerator, scenes: Sequence[Scene]) -> dict[str, float]:
    """Share of right greedy answers, over all and by kind; one question of each kind for each scene."""
    random = stream(0)
    asked = [(scene, random.choice(queries(scene, kind))) for scene in scenes for kind in KINDS]
    right = Counter[str]()
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        questions = [ask(query, random) for _, query in batch]
        requests = [GenerationRequest(q, draw(scene)) for q, (scene, _) in zip(questions, batch, strict=True)]
        texts = lvlm.generate(requests, Sampling(1, 8, 0.0))
        for (scene, query), text in zip(batch, texts, strict=True):
            right[query.kind] += normalise(text[0]) == true_answer(scene, query)
    return {"all": right.total() / len(asked), **{kind: right[kind] / len(scenes) for kind in KINDS}}


def writing_figures(lvlm: TextGenerator, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Verdicts on pairs generated at temperature 0.7, two for each scene and kind."""
    by_key = {str(number): scene for number, scene in enumerate(scenes)}
    writing = GenerationConfig("scenes", sampling=Sampling(2, 32, 0.7), batch_size=_BATCH)
    images = ImageChunk(list(by_key), lambda key: draw(by_key[key]))
    written = generate_candidates(lvlm, images, writing, seed=0)
    verdicts, wrong, invented = Counter[str](), 0, 0
    for one in written:
        verdict = "unparsable" if one.rejected else truth(by_key[one.image], one.question, one.answer)
        verdicts[verdict] += 1
        if verdict in ("wrong", "unanswerable"):
            query = understand(one.question)
            wrong += 1
            invented += query is not None and normalise(one.answer) == usual_answer(query)
    return {
        "pairs": len(written),
        "truth_rate": verdicts["right"] / len(written),
        "verdicts": dict(verdicts),
        "invented": invented / wrong if wrong else 0.0,
    }
