"""The ways in which a model can be run, beside each other: see `path_choice` of `HuggingFaceLVLM`."""

from functools import partial
from typing import Any, get_args

from experiments.speed.models import Workload
from experiments.speed.shapes import Shape
from experiments.speed.timing import ratio, side_by_side, spread
from lightning_c3l.lvlm.base import GenerationRequest, LVLMError, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.model_path import ModelPath, PathName
from lightning_c3l.lvlm.huggingface.path_check import choose_path
from lightning_c3l.lvlm.huggingface.scoring import score_answers
from lightning_c3l.records import Turn

_TOKENS = 60


def bench_paths(lvlm: HuggingFaceLVLM, shape: Shape, repeats: int) -> dict[str, Any]:
    """Compare seconds of scoring and of generation on each path that agrees with plain forwards.

    Args:
        lvlm: any LVLM of transformers.
        shape: sizes of the texts and images; the model's own sizes stay.
        repeats: of each path.

    Returns:
        How many times as fast as the plain path each path is, with pairs and tokens per second, by path; whether a
        path cannot be used, and why.
    """
    load, paths, found = Workload.random(shape), dict[PathName, ModelPath](), dict[str, Any]()
    for name in get_args(PathName):
        try:
            paths[name] = choose_path(lvlm.model, lvlm.encoder, name).build(lvlm.model, lvlm.encoder)
        except LVLMError as error:
            found[name] = {"refused": str(error)}
    chats = [[(Turn("user", q), Turn("assistant", a)) for q, a in own] for own in load.pairs]
    images = [(image,) for image in load.images]
    requests = [GenerationRequest(own[0][0], image) for own, image in zip(load.pairs, load.images, strict=True)]
    sampling = Sampling(samples=shape.candidates, max_new_tokens=_TOKENS, temperature=1.0)
    scoring = side_by_side({name: partial(score_answers, path, images, chats) for name, path in paths.items()}, repeats)
    generation = side_by_side(
        {name: partial(path.generate, requests, sampling, len(requests)) for name, path in paths.items()}, repeats
    )
    tokens = shape.groups * shape.candidates * _TOKENS
    for name in paths:
        found[name] = {
            "scoring_vs_plain": ratio(scoring["plain"], scoring[name]),
            "pairs_per_second": spread([load.count / s for s in scoring[name]]),
            "generation_vs_plain": ratio(generation["plain"], generation[name]),
            "tokens_per_second": spread([tokens / s for s in generation[name]]),
        }
    return found
