"""Images and instructions -> candidates."""

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

import torch
from PIL.Image import Image

from lightning_c3l.lvlm.base import LVLM, GenerationRequest, Sampling, TextGenerator
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.prefetch import prefetched
from lightning_c3l.records import Candidate, Instruction
from lightning_c3l.report.progress import Stage, stage
from lightning_c3l.rounds.templates import assign, load_templates, parse
from lightning_c3l.runs.digests import content_number

Read = Callable[[str], Image]


@dataclass(frozen=True)
class GenerationConfig:
    """How an LVLM generates candidates: question-answer pairs about images.

    Attributes:
        templates: what is asked for: the name of a shipped set (`general`, `scenes`, `park`, `easy_vqa`), or the path
            of a YAML list of `kind` and `text`.
        per_image: number of instruction kinds per image, in turn; null gives each image all of them.
        sampling: how completions are sampled; `samples` is the number of candidates per image and instruction.
        begin: beginning of every candidate, which the LVLM continues; `Question:` helps weak LVLMs to keep the form.
        batch_size: prompts per batch when generating, each with all of its samples; halved if memory runs out.
        score_batch_size: images per batch when scoring, each with all of its candidates; halved if memory runs out.
    """

    templates: str = "general"
    per_image: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    begin: str = ""
    batch_size: int = 8
    score_batch_size: int = 4

    def __post_init__(self) -> None:
        """Validate the sizes and the templates."""
        for name, size in (("batch_size", self.batch_size), ("score_batch_size", self.score_batch_size)):
            if size < 1:
                raise ValueError(f"writing.{name} must be at least 1, not {size}")
        assign(load_templates(self.templates), 0, self.per_image)


@dataclass(frozen=True)
class ImageChunk:
    """Consecutive images of a set.

    Attributes:
        keys: of the images.
        read: returns the image of a key.
        start: index of the first one in the set; decides which instructions each image gets.
        instructions: of each image by its key, for images that are not neighbours in the set.
    """

    keys: Sequence[str]
    read: Read
    start: int = 0
    instructions: Mapping[str, Sequence[Instruction]] | None = None

    def assigned(self, config: GenerationConfig) -> dict[str, Sequence[Instruction]]:
        """The instructions of each image."""
        if self.instructions is not None:
            return {key: self.instructions[key] for key in self.keys}
        own = assign(load_templates(config.templates), len(self.keys), config.per_image, self.start)
        return dict(zip(self.keys, own, strict=True))


@dataclass(frozen=True)
class Completions:
    """Completions that exist already, and where new ones go.

    Attributes:
        texts: completions of each (image key, index of its instruction), as the LVLM gave them.
        refused: error message of each image that the LVLM does not support.
    """

    texts: MutableMapping[tuple[str, int], list[str]] = field(default_factory=dict)
    refused: MutableMapping[str, str] = field(default_factory=dict)

    def lacks(self, key: str, instructions: int) -> bool:
        """Whether completions of an image are missing that has this number of instructions."""
        return key not in self.refused and any((key, n) not in self.texts for n in range(instructions))


def spans(count: int, parts: int) -> list[range]:
    """0 .. count - 1 in consecutive parts of nearly equal size: as many as asked for, or fewer.

    None has one image only, which would leave the shuffled-image control without a partner.
    """
    parts = min(parts, max(1, count // 2))
    bounds = [round(number * count / parts) for number in range(parts + 1)] if parts else []
    return [range(start, stop) for start, stop in pairwise(bounds)]


def iter_image_chunks(lvlm: LVLM, images: ImageChunk, spans: Sequence[range]) -> Iterator[ImageChunk]:
    """Yield chunks of decoded images; within a chunk, the LVLM caches their features.

    The next chunk is decoded in a thread meanwhile, so that the LVLM need not wait.

    Args:
        lvlm: the LVLM whose features are cached.
        images: what is cut into chunks.
        spans: positions of the chunks in it.
    """
    decoded = (
        replace(
            images,
            keys=keys,
            read={key: images.read(key) for key in dict.fromkeys(keys)}.__getitem__,
            start=images.start + span.start,
        )
        for span in spans
        for keys in [images.keys[span.start : span.stop]]
    )
    with closing(prefetched(decoded)) as chunks:
        for chunk in chunks:
            with lvlm.cache_image_features():
                yield chunk


def generate_candidates(
    lvlm: TextGenerator,
    images: ImageChunk,
    config: GenerationConfig,
    seed: int,
    progress: str = "write",
    size: BatchSize | None = None,
    completions: Completions | None = None,
) -> list[Candidate]:
    """Generate the candidates of images, in chunks that bound the memory.

    A candidate depends on (seed, image key, instruction, sample) only, not on what else is generated.

    Args:
        lvlm: generates them.
        images: readable images.
        config: options.
        seed: of the samples.
        progress: name of the stage.
        size: batch size that is known to fit; default `config.batch_size`.
        completions: those that exist and are not generated again; new ones are added as soon as they are finished.

    Returns:
        `sampling.samples` candidates for each (image, instruction), in that order; none for unsupported images.

    Raises:
        ConversationError: if a prompt and `max_new_tokens` exceed the context.
        torch.OutOfMemoryError: if a single prompt does not fit.
    """
    assigned = images.assigned(config)
    size = size or BatchSize(config.batch_size, "writing.batch_size")
    completions = Completions() if completions is None else completions
    missing = [key for key in images.keys if completions.lacks(key, len(assigned[key]))]
    # a few batches each, so that finished rows can be refilled
    parts = math.ceil(len(missing) / (2 * max(config.batch_size, config.score_batch_size, size.size)))
    total = sum(len(assigned[key]) for key in missing) * config.sampling.samples
    with stage(progress, "texts", total) as shown:
        for chunk in iter_image_chunks(lvlm, replace(images, keys=missing), spans(len(missing), parts)):
            _find_unsupported(lvlm, chunk, completions, size)
            prompts = {
                (key, n): GenerationRequest(one.text, chunk.read(key), text_seed(seed, key, one), config.begin)
                for key in chunk.keys
                if key not in completions.refused
                for n, one in enumerate(assigned[key])
            }
            size.run(partial(_generate_missing, lvlm, prompts, config.sampling, completions, shown))
    return candidates_of(assigned, config, completions)


def _find_unsupported(lvlm: LVLM, chunk: ImageChunk, completions: Completions, size: BatchSize) -> None:
    """Note the images of a chunk that the LVLM does not support, and warn of each."""

    def messages(batch_size: int) -> list[str]:
        batches = (chunk.keys[start : start + batch_size] for start in range(0, len(chunk.keys), batch_size))
        return [message for keys in batches for message in lvlm.unsupported_images([chunk.read(key) for key in keys])]

    for key, message in zip(chunk.keys, size.run(messages), strict=True):
        if message:
            warnings.warn(f"image {key} is left out: {message}", stacklevel=2)
            completions.refused[key] = message


def _generate_missing(
    lvlm: TextGenerator,
    prompts: Mapping[tuple[str, int], GenerationRequest],
    sampling: Sampling,
    completions: Completions,
    shown: Stage,
    batch_size: int,
) -> None:
    """Generate for the prompts that have no completions; those of finished prompts survive an out-of-memory error."""
    names = [name for name in prompts if name not in completions.texts]
    done = shown.done

    def keep(index: int, texts: list[str]) -> None:
        completions.texts[names[index]] = texts

    try:
        requests = [prompts[name] for name in names]
        for index, texts in enumerate(lvlm.generate(requests, sampling, batch_size, shown.update, keep)):
            keep(index, texts)
    except torch.OutOfMemoryError:
        shown.done = done + sum(name in completions.texts for name in names) * sampling.samples
        raise


def candidates_of(
    assigned: Mapping[str, Sequence[Instruction]], config: GenerationConfig, completions: Completions
) -> list[Candidate]:
    """Candidates of all completions of images, given the instructions of each image; unsupported ones have none."""
    return [
        candidate(key, instruction, sample, f"{config.begin} {text}".strip())
        for key, instructions in assigned.items()
        if key not in completions.refused
        for n, instruction in enumerate(instructions)
        for sample, text in enumerate(completions.texts[key, n])
    ]


def text_seed(seed: int, key: str, instruction: Instruction, *more: str) -> int:
    """Seed of the completions of one (image, instruction), whichever chunk or process generates them.

    Args:
        seed: of the task.
        key: of the image.
        instruction: that they are generated for.
        more: what else tells them from others.
    """
    return content_number(json.dumps([seed, key, instruction.kind, instruction.text, *more]), size=6)


def candidate(key: str, instruction: Instruction, sample: int, text: str) -> Candidate:
    """A completion as a record, parsed."""
    parsed = parse(text)
    return Candidate(key, instruction, sample, text, parsed.question, parsed.answer, parsed.rejected)
