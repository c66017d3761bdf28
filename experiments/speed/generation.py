"""Generation: texts branched from one prompt against `generate(num_return_sequences=N)`."""

from typing import Any

import torch

from experiments.speed.models import PlainLVLM, work
from experiments.speed.shapes import Shape
from experiments.speed.timing import Spread, ratio, side_by_side
from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.generation import Generator
from lightning_c3l.lvlm.huggingface.loading import Precision
from lightning_c3l.scenes.curriculum import INSTRUCTIONS
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.world import sample_scene

_TOKENS = 60
# images of the embedded world, each with every kind of instruction, for the agreement of texts
_IMAGES = 50


def bench_generation(lvlm: HuggingFaceLVLM, shape: Shape, repeats: int) -> dict[str, Any]:
    """Ratio of seconds for texts of the same forced length."""
    load, plain = work(shape), PlainLVLM(lvlm)
    prompts = list(plain.prompts(load))
    sampling = Sampling(samples=shape.candidates, max_new_tokens=_TOKENS, temperature=1.0)
    questions = [pairs[0][0] for pairs in load.pairs]

    def branched() -> object:
        # without ends, every text runs to its full length
        generator = Generator(lvlm.decoder, lvlm.encoder, sampling, ends=())
        requests = [GenerationRequest(*each) for each in zip(questions, load.images, strict=False)]
        return generator.generate(requests, len(requests))

    def returned() -> object:
        return plain.generate(load.images, prompts, _TOKENS, num_return_sequences=shape.candidates)

    seconds = side_by_side({"branched": branched, "returned": returned}, repeats)
    tokens = shape.groups * shape.candidates * _TOKENS
    return {
        "vs_num_return_sequences": ratio(seconds["returned"], seconds["branched"]),
        "tokens_per_second": Spread.of([tokens / s for s in seconds["branched"]]),
    }


def texts_differing(precision: Precision, device: torch.device) -> float:
    """Share of texts of the embedded world's base that another batch size changes; 0 in float32 on CPU."""
    lvlm = HuggingFaceLVLM("shipped:scenes", lora=None, dtype=precision, keep_reference=False)
    lvlm.network.to(device)
    images = [draw(sample_scene(seed, 0.2)) for seed in range(_IMAGES)]
    prompts = [(text, image) for image in images for text in INSTRUCTIONS.values()]
    requests = [GenerationRequest(*prompt, seed=index) for index, prompt in enumerate(prompts)]
    sampling = Sampling(samples=4, max_new_tokens=32, temperature=1.0)
    one, other = ([text for texts in lvlm.generate(requests, sampling, size) for text in texts] for size in (64, 7))
    return sum(a != b for a, b in zip(one, other, strict=True)) / len(one)
