"""Comparing the tokens that a server reads with those of this process."""

from collections.abc import Collection, Sequence

_IMAGES = (
    "another image processor (`--mm-processor-kwargs`, or a preprocessor_config.json that differs), or images that it "
    "scales down (`--limit-mm-per-prompt`)"
)
_TEXTS = (
    "another chat template (`--chat-template`, or `--chat-template-content-format openai` where it puts the image "
    "elsewhere), or another tokenizer: serve the same checkpoint"
)


def row_problem(theirs: Sequence[int], ours: Sequence[int], image_ids: Collection[int]) -> str:
    """Where two token rows differ, and the likely cause; empty if they are equal.

    Args:
        theirs: row of the server.
        ours: row of this process.
        image_ids: tokens that stand for a part of an image.
    """
    if tuple(theirs) == tuple(ours):
        return ""
    first = first_difference(theirs, ours)
    there, here = (str(row[first]) if first < len(row) else "none" for row in (theirs, ours))
    counts = [sum(token in image_ids for token in row) for row in (theirs, ours)]
    where = f"position {first} holds token {there} there and {here} here ({len(theirs)} and {len(ours)} tokens"
    if counts[0] != counts[1]:
        return f"{where}, {counts[0]} and {counts[1]} of them an image's). Likely cause: the server has {_IMAGES}"
    return f"{where}). Likely cause: the server has {_TEXTS}"


def first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    """Index of the first token that differs; the length of the shorter row if the other one goes on."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))
