"""The prompts that engines are compared on."""

from dataclasses import replace

from experiments.speed.models import Workload
from experiments.speed.shapes import Shape
from lightning_c3l.lvlm.base import GenerationRequest


def draw_requests(shape: Shape, count: int, pass_number: int) -> list[GenerationRequest]:
    """Prompts about one random image each; those of another pass share nothing with them, so that no cache helps.

    Args:
        shape: sizes of the images and of the questions.
        count: number of prompts.
        pass_number: which pass over an engine they are for.
    """
    load = Workload.random(replace(shape, groups=count, candidates=1), pass_number)
    questions = [pairs[0][0] for pairs in load.pairs]
    return [
        GenerationRequest(question, image, seed)
        for seed, (question, image) in enumerate(zip(questions, load.images, strict=True))
    ]
