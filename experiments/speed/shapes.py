"""Sizes of LLaVAs, and of the texts they are given."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Shape:
    """Sizes of a LLaVA and of the texts it is given.

    Attributes:
        width: hidden size of the decoder.
        layers: its layers.
        heads: its attention heads.
        feed_forward: its feed-forward width.
        vision_width: hidden size of the CLIP tower.
        vision_layers: its layers.
        vision_heads: its attention heads.
        vocabulary: rows of the embedding and of the head.
        side: pixels of the square image.
        patch: pixels of a patch.
        groups: images in a batch.
        candidates: texts for each (N).
        question: tokens of a question.
        answer: tokens of an answer.
    """

    width: int = 512
    layers: int = 8
    heads: int = 8
    feed_forward: int = 1376
    vision_width: int = 256
    vision_layers: int = 4
    vision_heads: int = 4
    vocabulary: int = 32_000
    side: int = 336
    patch: int = 14
    groups: int = 2
    candidates: int = 5
    question: int = 20
    answer: int = 40


SHAPES = {
    # about 64 million parameters
    "small": Shape(),
    # the sizes of llava-hf/llava-1.5-7b-hf: 576 image tokens, 7 billion parameters
    "llava-7b": Shape(4096, 32, 32, 11008, 1024, 24, 16, 32_064, groups=8),
    # small, with the vocabularies of LLaMA and Qwen2
    "small-32000": Shape(vocabulary=32_000),
    "small-152000": Shape(vocabulary=152_000),
    # for tests of the bench itself
    "tiny": Shape(64, 2, 2, 128, 32, 1, 2, 400, 28, 14, 2, 3, 4, 6),
}


def variants(shape: Shape) -> dict[str, dict[str, Shape]]:
    """The shape with one size changed, by that size and its value: how scoring grows with it."""
    return {
        "candidates": {str(n): replace(shape, candidates=n, groups=1) for n in (1, 2, 5, 8, 16)},
        "answer tokens": {str(n): replace(shape, answer=n, groups=1) for n in (10, 40, 160)},
        "image tokens": {str(n * n): replace(shape, side=n * shape.patch, groups=1) for n in (12, 24, 36)},
    }
