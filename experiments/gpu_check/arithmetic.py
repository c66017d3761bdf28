"""How many operations a model's matrices take, and which share of a device's peak that is."""

from dataclasses import dataclass

# dense bfloat16 products of the makers' data sheets, in TFLOP/s, by a part of the device's name
PEAKS = {"H200": 989.4, "H100": 989.4, "A100": 312.0, "B200": 2250.0}
# a training step behind frozen weights: forward, and backward to the activations; a third pass would be the gradients
# of the weights, which adapters of low rank do not need
FORWARD, FROZEN_STEP = 1, 2


@dataclass(frozen=True)
class Passes:
    """Tokens that run through a model once.

    Attributes:
        layers: tokens that run through the decoder's layers.
        head: tokens whose logits are computed.
    """

    layers: int
    head: int


@dataclass(frozen=True)
class Parameters:
    """Parameters whose products are counted; embeddings and the vision tower are left out."""

    layers: int
    head: int


def generation_passes(images: int, image_tokens: int, prompt: int, samples: int, new_tokens: int) -> Passes:
    """Every image and prompt once, and every token that is written but the last of a text, which is not read again."""
    written = images * samples * new_tokens
    return Passes(images * (image_tokens + prompt) + written - images * samples, written)


def scoring_passes(images: int, image_tokens: int, text: int, answers: int) -> Passes:
    """Every image once, and all texts twice, with and without it.

    Args:
        images: number of images.
        image_tokens: tokens of each.
        text: tokens of all questions and answers.
        answers: tokens of all answers, whose logits are computed.
    """
    return Passes(images * image_tokens + 2 * text, 2 * answers)


def training_passes(images: int, image_tokens: int, candidates: int, positives: int, answers: int) -> Passes:
    """Every image once, all candidates, and of each group the positive's question and answer a second time.

    Args:
        images: number of groups.
        image_tokens: tokens of each image.
        candidates: tokens of all candidates, the positives among them.
        positives: tokens of the positives alone, whose logits are computed.
        answers: tokens of the positives' answers, whose logits are computed once more.
    """
    return Passes(images * image_tokens + candidates + positives, positives + answers)


def operations(parameters: Parameters, passes: Passes, times: int = FORWARD) -> int:
    """Floating-point operations: two for each parameter and token (multiply and add), `times` over."""
    return 2 * times * (parameters.layers * passes.layers + parameters.head * passes.head)


def share(operations: float, seconds: float, peak: float) -> float:
    """Share of a peak of `peak` operations per second."""
    return operations / seconds / peak


def nominal_peak(device: str) -> float | None:
    """Operations per second of a device of that name in dense bfloat16 products; None if it is not known."""
    return next((1e12 * value for name, value in PEAKS.items() if name in device), None)
