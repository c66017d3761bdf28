"""Hours and cost of making and scoring large data sets: tables from figures an item.

`python -m experiments.engines.cost` prints the tables of docs/engine-speed.md; `--help` lists what can be put in.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, log10

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

    def __post_init__(self) -> None:
        """Refuse a plan without texts."""
        if min(vars(self).values()) < 1:
            raise ValueError(f"all numbers of a plan must be at least 1: {self}")


@dataclass(frozen=True)
class Seconds:
    """What an item takes on one device.

    Attributes:
        generate: seconds a text.
        score: seconds a pair of question and answer.
        train: seconds a group, that is, an image with one instruction and its candidates.
    """

    generate: float = 0.0
    score: float = 0.0
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

    def __post_init__(self) -> None:
        """Validate the ranges."""
        if self.gpu not in PEAKS:
            raise ValueError(f"no peak is known of {self.gpu}, only of {', '.join(PEAKS)}")
        if not all(0 < share <= 1 for share in (self.generate, self.score, self.train)):
            raise ValueError("generate, score and train are shares of the peak, above 0 and at most 1")
        if min(self.layers, self.price) <= 0 or self.head < 0:
            raise ValueError("layers and price must be above 0, and head must not be negative")

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


# measured on a CPU of two cores in bfloat16 with a LLaVA of 62 M parameters and 576 image tokens
# (experiments/README.md, `make bench`): 286 tokens of texts of 60, 11.8 pairs and 0.71 groups a second
_OURS = 60 / 286
# texts a second of vLLM for each of ours, one computing thread each, measured in bfloat16 with that model
# (`make bench-engines`)
_RATIO = 1.27
MEASURED = {
    "generate, our engine": Seconds(generate=_OURS),
    "generate, vLLM": Seconds(generate=_OURS / _RATIO),
    "score": Seconds(score=1 / 11.8),
    "train, one epoch": Seconds(train=1 / 0.71),
}


def table(rows: Mapping[str, Seconds], plan: Plan, device: str, price: float | None = None) -> list[str]:
    """Lines of a Markdown table of hours, and of cost where there is a price.

    Args:
        rows: seconds an item by what the row is called.
        plan: what is made.
        device: what hours are counted on.
        price: of one device for an hour; the number of devices does not change the cost.
    """
    names = ["", "images", "texts", *(f"{count} {device}{'s' if count > 1 else ''}" for count in DEVICES)]
    lines = [names if price is None else [*names, "cost"]]
    lines.append(["---", *(["---:"] * (len(lines[0]) - 1))])
    for images in IMAGES:
        for name, seconds in rows.items():
            hours = seconds.hours(images, plan)
            cells = [name, f"{images:,}", f"{images * plan.kinds * plan.candidates:,}"]
            cells += [_number(hours / count) for count in DEVICES]
            lines.append(cells if price is None else [*cells, _number(price * hours)])
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _number(value: float) -> str:
    """Two digits that count."""
    digits = max(0, 1 - floor(log10(value)))
    return f"{round(value, 1 - floor(log10(value))):,.{digits}f}"


def tables(inputs: GpuInputs, plan: Plan) -> str:
    """Both tables: what was measured on a CPU, and what is assumed of GPUs."""
    seconds = inputs.seconds(plan)
    gpu = {"generate": Seconds(seconds.generate), "score": Seconds(score=seconds.score)}
    gpu |= {"train, one epoch": Seconds(train=seconds.train), "all": seconds}
    return "\n".join([*table(MEASURED, plan, "CPU"), "", *table(gpu, plan, "GPU", inputs.price)])


def main(gpu: GpuInputs = GpuInputs(), plan: Plan = Plan()) -> None:  # frozen
    """Print the tables of hours and cost.

    Args:
        gpu: assumptions about GPUs.
        plan: a round about each image.
    """
    print(tables(gpu, plan))


if __name__ == "__main__":
    try:
        auto_cli(main)
    except ValueError as error:
        sys.exit(f"error: {error}")
