"""Images and instructions -> candidates."""

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from PIL.Image import Image
from tqdm import tqdm

from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.base import LVLM, GenerationRequest, Sampling, TextGenerator
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.prefetch import prefetched
from lightning_c3l.records import Candidate, Instruction
from lightning_c3l.rounds.templates import assign, load_templates, parse

Read = Callable[[str], Image]


@dataclass(frozen=True)
class GenerationConfig:
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
        """Refuse sizes that no batch can have, and templates that no image can be given."""
        for name, size in (("batch_size", self.batch_size), ("score_batch_size", self.score_batch_size)):
            if size < 1:
                raise ValueError(f"writing.{name} must be at least 1, not {size}")
        assign(load_templates(self.templates), 0, self.per_image)


@dataclass(frozen=True)
class Written:
    """What has been written, and where what is written goes.

    Attributes:
        texts: the texts of each (image, number of its instruction), as the LVLM gave them.
        refused: images that the LVLM cannot look at, with the reason.
    """

    texts: MutableMapping[tuple[str, int], list[str]] = field(default_factory=dict)
    refused: MutableMapping[str, str] = field(default_factory=dict)

    def lacks(self, key: str, instructions: int) -> bool:
        """Whether something is to be written about an image that is given so many instructions."""
        return key not in self.refused and any((key, n) not in self.texts for n in range(instructions))


def parts(
    lvlm: LVLM, keys: Sequence[str], read: Read, writing: GenerationConfig
) -> Iterator[tuple[int, list[str], Read]]:
    """The images in parts of a few batches, so that rows can be refilled and memory stays bounded; see `opened`."""
    size = 2 * max(writing.batch_size, writing.score_batch_size)
    return opened(lvlm, keys, spans(len(keys), math.ceil(len(keys) / size)), read)


def spans(count: int, parts: int) -> list[range]:
    """0 .. count - 1 in so many parts of nearly equal size, or fewer: none is of one image alone.

    It would have no other for the control.
    """
    parts = min(parts, max(1, count // 2))
    bounds = [round(number * count / parts) for number in range(parts + 1)] if parts else []
    return [range(start, stop) for start, stop in pairwise(bounds)]


def opened(
    lvlm: LVLM, keys: Sequence[str], spans: Sequence[range], read: Read
) -> Iterator[tuple[int, list[str], Read]]:
    """Parts of the images, each of which is opened once and runs through the vision tower once while it is worked on.

    The next part is opened in a thread meanwhile, so that the LVLM need not wait for pictures.

    Args:
        lvlm: who looks at them.
        keys: images.
        spans: the parts of them.
        read: gives the picture of a key.

    Yields:
        Number of the part's first image, the part, and a `read` for it.
    """
    ready_made = (
        (span.start, {key: read(key) for key in dict.fromkeys(part)}, part)
        for span in spans
        for part in [list(keys[span.start : span.stop])]
    )
    with closing(prefetched(ready_made)) as ready:
        for start, pictures, part in ready:
            with lvlm.cache_image_features():
                yield start, part, pictures.__getitem__


def write_candidates(
    lvlm: TextGenerator,
    keys: Sequence[str],
    read: Read,
    writing: GenerationConfig,
    seed: int,
    progress: str = "write",
    first: int = 0,
    size: BatchSize | None = None,
    written: Written | None = None,
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
        written: what is there already, and is not written again; what is new goes into it as it is finished.
    """
    instructions = assign(load_templates(writing.templates), len(keys), writing.per_image, first)
    assigned = dict(zip(keys, instructions, strict=True))
    size = size or BatchSize(writing.batch_size, "writing.batch_size")
    written = Written() if written is None else written
    missing = [key for key in keys if written.lacks(key, len(assigned[key]))]
    total = sum(len(assigned[key]) for key in missing) * writing.sampling.samples
    with tqdm(total=total, desc=progress, unit="text", leave=False, disable=not collectives.is_first()) as bar:
        for _, part, look in parts(lvlm, missing, read, writing):
            _find_refused(lvlm, part, look, written, size)
            prompts = [
                (key, n, one) for key in part if key not in written.refused for n, one in enumerate(assigned[key])
            ]
            size.run(partial(_write, lvlm, prompts, look, writing, seed, bar, written))
    return candidates_of(assigned, writing, written)


def candidates_of(
    assigned: Mapping[str, Sequence[Instruction]], writing: GenerationConfig, written: Written
) -> list[Candidate]:
    """What was written about images, each with its instructions, as records."""
    return [
        candidate(key, instruction, sample, f"{writing.begin} {text}".strip())
        for key, instructions in assigned.items()
        if key not in written.refused
        for n, instruction in enumerate(instructions)
        for sample, text in enumerate(written.texts[key, n])
    ]


def _find_refused(lvlm: LVLM, part: Sequence[str], read: Read, written: Written, size: BatchSize) -> None:
    """Note the images of a part that the LVLM cannot look at."""

    def ask(batch_size: int) -> list[str]:
        batches = (part[start : start + batch_size] for start in range(0, len(part), batch_size))
        return [reason for batch in batches for reason in lvlm.unsupported_images([read(key) for key in batch])]

    for key, reason in zip(part, size.run(ask), strict=True):
        if reason:
            warnings.warn(f"image {key} is left out: {reason}", stacklevel=2)
            written.refused[key] = reason


def _write(
    lvlm: TextGenerator,
    prompts: Sequence[tuple[str, int, Instruction]],
    read: Read,
    writing: GenerationConfig,
    seed: int,
    bar: "tqdm[Any]",
    written: Written,
    batch_size: int,
) -> None:
    """Write for those of the prompts that have no texts."""
    todo = [(key, number, one) for key, number, one in prompts if (key, number) not in written.texts]
    done = bar.n

    def keep(place: int, texts: list[str]) -> None:
        key, number, _ = todo[place]
        written.texts[key, number] = texts

    try:
        requests = [
            GenerationRequest(one.text, read(key), text_seed(seed, key, one), writing.begin) for key, _, one in todo
        ]
        found = lvlm.generate(requests, writing.sampling, batch_size, bar.update, keep)
    except torch.OutOfMemoryError:
        kept = sum((key, number) in written.texts for key, number, _ in todo)
        bar.n = done + kept * writing.sampling.samples
        raise
    for place, texts in enumerate(found):
        keep(place, texts)


def text_seed(seed: int, key: str, instruction: Instruction) -> int:
    """Seed of the texts of one (image, instruction): the same wherever and beside whatever they are written."""
    name = json.dumps([seed, key, instruction.kind, instruction.text])
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest())


def candidate(key: str, instruction: Instruction, sample: int, text: str) -> Candidate:
    """A written text as a record, parsed."""
    parsed = parse(text)
    return Candidate(key, instruction, sample, text, parsed.question, parsed.answer, parsed.rejected)
