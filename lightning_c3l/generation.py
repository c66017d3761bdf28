"""Images and instructions -> candidates."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from PIL.Image import Image
from tqdm import tqdm

from lightning_c3l.lvlm.base import LVLM, Sampling
from lightning_c3l.memory import BatchSize
from lightning_c3l.prefetch import prefetched
from lightning_c3l.prompts import assign, load_templates, parse
from lightning_c3l.records import Candidate, Instruction

Read = Callable[[str], Image]


@dataclass(frozen=True)
class Writing:
    """How an LVLM is asked to write pairs.

    Attributes:
        templates: name of a shipped set (general, scenes, easy_vqa) or path of a YAML file with kind and text.
        per_image: instruction kinds for each image; null gives each image all of them.
        sampling: how texts are drawn; `samples` is the number of candidates of a group.
        begin: words that every text begins with, put into the model's mouth; "Question:" helps weak writers to
            keep the form.
        batch_size: (image, instruction) prompts at once, each with all of its texts.
        score_batch_size: images at once while scoring, with all of their candidates.
    """

    templates: str = "general"
    per_image: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    begin: str = ""
    batch_size: int = 8
    score_batch_size: int = 4

    def __post_init__(self) -> None:
        """Refuse sizes that no batch can have."""
        if self.batch_size < 1 or self.score_batch_size < 1:
            raise ValueError("writing: batch sizes must be at least 1")


def parts(lvlm: LVLM, keys: Sequence[str], read: Read, writing: Writing) -> Iterator[tuple[int, list[str], Read]]:
    """The images in parts, each of which is opened once and runs through the vision tower once while it is worked on.

    The next part is opened in a thread meanwhile, so that the LVLM need not wait for pictures.

    Args:
        lvlm: who looks at them.
        keys: images.
        read: gives the picture of a key.
        writing: its batch sizes; a part is a few batches, so that rows can be refilled and memory stays bounded.

    Yields:
        Number of the part's first image, the part, and a `read` for it.
    """
    size = 2 * max(writing.batch_size, writing.score_batch_size)
    # of nearly equal size, and of two at least: a part of one image would have no other for the control
    count = min(math.ceil(len(keys) / size), max(1, len(keys) // 2))
    bounds = [round(number * len(keys) / count) for number in range(count + 1)] if count else []
    opened = (
        (start, {key: read(key) for key in dict.fromkeys(keys[start:stop])}, list(keys[start:stop]))
        for start, stop in pairwise(bounds)
    )
    with closing(prefetched(opened)) as ready:
        for start, pictures, part in ready:
            with lvlm.remembering():
                yield start, part, pictures.__getitem__


def write_candidates(
    lvlm: LVLM,
    keys: Sequence[str],
    read: Read,
    writing: Writing,
    seed: int,
    progress: str = "write",
    first: int = 0,
    size: BatchSize | None = None,
) -> list[Candidate]:
    """`samples` candidates for each (image, instruction), in that order.

    Args:
        lvlm: who writes.
        keys: images, all of them readable.
        read: gives the picture of a key.
        writing: options.
        seed: seed of the draws; each (image, instruction, sample) has its own, whatever is written beside it.
        progress: word for the progress bar.
        first: number of the first image where these are part of a larger set.
        size: what has been found to fit; begins with `writing.batch_size` unless given.
    """
    assigned = assign(load_templates(writing.templates), len(keys), writing.per_image, first)
    size = size or BatchSize(writing.batch_size, "writing.batch_size")
    out = list[Candidate]()
    with tqdm(total=sum(map(len, assigned)) * writing.sampling.samples, desc=progress, unit="text", leave=False) as bar:
        for start, part, opened in parts(lvlm, keys, read, writing):
            own = dict(zip(part, assigned[start : start + len(part)], strict=True))
            usable = size.run(partial(_usable, lvlm, part, opened))
            prompts = [(key, instruction) for key in usable for instruction in own[key]]
            texts = size.run(partial(_write, lvlm, prompts, opened, writing, seed, bar))
            for (key, instruction), written in zip(prompts, texts, strict=True):
                whole = (f"{writing.begin} {text}".strip() for text in written)
                out.extend(candidate(key, instruction, k, text) for k, text in enumerate(whole))
    return out


def _usable(lvlm: LVLM, keys: Sequence[str], read: Read, batch_size: int) -> list[str]:
    """The images that the LVLM can look at; the others are left out with a warning that names them."""
    out = list[str]()
    for start in range(0, len(keys), batch_size):
        batch = keys[start : start + batch_size]
        for key, refusal in zip(batch, lvlm.refusals([read(key) for key in batch]), strict=True):
            if refusal:
                rank_zero_warn(f"image {key} is left out: {refusal}")
            else:
                out.append(key)
    return out


def _write(
    lvlm: LVLM,
    prompts: Sequence[tuple[str, Instruction]],
    read: Read,
    writing: Writing,
    seed: int,
    bar: "tqdm[Any]",
    batch_size: int,
) -> list[list[str]]:
    done = bar.n
    try:
        return lvlm.generate(
            [read(key) for key, _ in prompts],
            [instruction.text for _, instruction in prompts],
            writing.sampling,
            [text_seed(seed, key, instruction) for key, instruction in prompts],
            [writing.begin] * len(prompts) if writing.begin else None,
            batch_size,
            bar.update,
        )
    except torch.OutOfMemoryError:
        bar.n = done
        raise


def text_seed(seed: int, key: str, instruction: Instruction) -> int:
    """Seed of the texts of one (image, instruction): the same wherever and beside whatever they are written."""
    name = json.dumps([seed, key, instruction.kind, instruction.text])
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest())


def candidate(key: str, instruction: Instruction, sample: int, text: str) -> Candidate:
    """A written text as a record, parsed."""
    parsed = parse(text)
    return Candidate(key, instruction, sample, text, parsed.question, parsed.answer, parsed.rejected)
