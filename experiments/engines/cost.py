"""Hours and cost of making and scoring large data sets: tables from figures an item.

`python -m experiments.engines.cost` prints the tables of docs/engines.md; `--help` lists what to put in for your own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from jsonargparse import auto_cli

from experiments.gpu_check.arithmetic import (
    FORWARD,
    FROZEN_STEP,
    PEAKS,
    Parameters,
    generation_passes,
    operations,
    scoring_passes,
    training_passes,
)

IMAGES = (10**5, 10**6)
DEVICES = (1, 8, 64)
_HOUR = 3600.0


@dataclass(frozen=True)
class Plan:
    """A round about each image.

    Attributes:
        kinds: instructions for each image.
        candidates: texts for each instruction.
        image_tokens: tokens of an image.
        prompt: tokens of an instruction.
        text: tokens of a text: a question and its answer.
        answer: tokens of the answer alone.
    """

    kinds: int = 5
    candidates: int = 4
    image_tokens: int = 576
    prompt: int = 30
    text: int = 60
    answer: int = 40


@dataclass(frozen=True)
class Seconds:
    """What an item takes on one device.

    Attributes:
        generate: seconds a text.
        score: seconds a pair of question and answer.
        train: seconds a group, that is, an image with one instruction and its candidates.
    """

    generate: float
    score: float
    train: float = 0.0

    def hours(self, images: int, plan: Plan) -> float:
        """Hours of one device."""
        groups = images * plan.kinds
        return groups * (plan.candidates * (self.generate + self.score) + self.train) / _HOUR


@dataclass(frozen=True)
class GpuInputs:
    """What is assumed about GPUs; none of it was measured.

    Attributes:
        gpu: name of the GPU, whose peak in dense bfloat16 products is that of its data sheet.
        layers: parameters of the decoder's layers; by default those of LLaVA-1.5 7B.
        head: parameters of the output head.
        generate: share of the peak that generation reaches; `gpu-check` measures it.
        score: share that scoring reaches.
        train: share that training reaches.
        price: of one GPU for an hour, in any currency.
    """

    gpu: str = "H100"
    layers: int = 6_476_267_520
    head: int = 131_334_144
    generate: float = 0.1
    score: float = 0.3
    train: float = 0.3
    price: float = 2.0

    def seconds(self, plan: Plan) -> Seconds:
        """Seconds an item, from the operations that it takes."""
        peak, sizes = 1e12 * PEAKS[self.gpu], Parameters(self.layers, self.head)
        texts = plan.kinds * plan.candidates
        written = generation_passes(plan.kinds, plan.image_tokens, plan.prompt, plan.candidates, plan.text)
        scored = scoring_passes(1, plan.image_tokens, texts * plan.text, texts * plan.answer)
        trained = training_passes(1, plan.image_tokens, plan.candidates * plan.text, plan.text, plan.answer)
        return Seconds(
            operations(sizes, written, FORWARD) / (self.generate * peak) / texts,
            operations(sizes, scored, FORWARD) / (self.score * peak) / texts,
            operations(sizes, trained, FROZEN_STEP) / (self.train * peak),
        )


def table(seconds: Seconds, plan: Plan, device: str, price: float | None = None) -> Iterator[str]:
    """Lines of a Markdown table of hours, and of cost where there is a price."""
    yield f"| images | texts | {' | '.join(f'hours on {count} {device}{"s" * (count > 1)}' for count in DEVICES)} |" + (
        " cost |" if price is not None else ""
    )
    yield "| ---: " * (2 + len(DEVICES) + (price is not None)) + "|"
    for images in IMAGES:
        one = seconds.hours(images, plan)
        cells = [f"{images:,}", f"{images * plan.kinds * plan.candidates:,}"]
        cells += [f"{one / count:,.3g}" for count in DEVICES]
        cells += [f"{price * one:,.0f}"] if price is not None else []
        yield f"| {' | '.join(cells)} |"
