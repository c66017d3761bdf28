"""Generation: completions that share one prompt against `generate(num_return_sequences=N)`."""

from functools import partial
from typing import Any

import torch

from experiments.speed.models import PlainLVLM, Workload
from experiments.speed.shapes import Shape
from experiments.speed.timing import ratio, side_by_side, spread
from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.forward import Decoder
from lightning_c3l.lvlm.huggingface.generation import Generator
from lightning_c3l.lvlm.huggingface.loading import Precision
from lightning_c3l.scenes.curriculum import INSTRUCTIONS
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.world import sample_scene

_TOKENS = 60
# images of the corners, each with every kind of instruction, for the agreement of texts
_IMAGES = 50


def bench_generation(lvlm: HuggingFaceLVLM, shape: Shape, repeats: int) -> dict[str, Any]:
    """Ratio of seconds for texts of the same forced length, and tokens per second."""
    load, plain = Workload.random(shape), PlainLVLM(lvlm)
    questions = [pairs[0][0] for pairs in load.pairs]
    requests = [GenerationRequest(*each) for each in zip(questions, load.images, strict=True)]
    sampling = Sampling(samples=shape.candidates, max_new_tokens=_TOKENS, temperature=1.0)

    def shared() -> object:
        # without end tokens, every text runs to its full length
        decoder = Decoder(lvlm.model, lvlm.images)
        return Generator(decoder, lvlm.encoder, sampling, ends=()).generate(requests, len(requests))

    prompts = [plain.render(question) for question in questions]
    returned = partial(plain.generate, load.images, prompts, _TOKENS, num_return_sequences=shape.candidates)
    seconds = side_by_side({"shared": shared, "returned": returned}, repeats)
    tokens = shape.groups * shape.candidates * _TOKENS
    return {
        "vs_num_return_sequences": ratio(seconds["returned"], seconds["shared"]),
        "tokens_per_second": spread([tokens / s for s in seconds["shared"]]),
    }


def texts_differing(precision: Precision, device: torch.device) -> float:
    """Share of texts of the corners' base that another batch size changes; 0 in float32 on CPU."""
    lvlm = HuggingFaceLVLM("shipped:scenes", lora=None, dtype=precision, keep_reference=False)
    lvlm.network.to(device)
    images = [draw(sample_scene(seed, 0.2)) for seed in range(_IMAGES)]
    prompts = [(text, image) for image in images for text in INSTRUCTIONS.values()]
    requests = [GenerationRequest(*prompt, seed=index) for index, prompt in enumerate(prompts)]
    sampling = Sampling(samples=4, max_new_tokens=32, temperature=1.0)
    one, other = ([text for texts in lvlm.generate(requests, sampling, size) for text in texts] for size in (64, 7))
    return sum(a != b for a, b in zip(one, other, strict=True)) / len(one)
