"""`generate`: what an LVLM asks and answers about images."""

import warnings
from collections.abc import Sequence
from typing import Any

from data_modules.images.given import ImagesLike, given_images
from lightning_c3l.lvlm.base import InferenceLVLM, Sampling
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.training_mode import eval_mode
from lightning_c3l.records import Candidate, Instruction
from lightning_c3l.rounds.generation import GenerationConfig, ImageChunk, generate_candidates
from lightning_c3l.rounds.templates import assign, load_templates, nothing_parsed

Templates = str | Sequence[str | Instruction]


def generate(
    lvlm: InferenceLVLM,
    images: ImagesLike,
    templates: Templates = "general",
    *,
    per_image: int | None = None,
    begin: str = "",
    batch_size: int = 8,
    seed: int = 0,
    **sampling: Any,
) -> list[Candidate]:
    """Let an LVLM write questions about images, and their answers.

    A candidate depends on the seed, its image, its instruction and its number only, not on what else is generated.

    Args:
        lvlm: the LVLM.
        images: an image or several: objects of Pillow, numpy arrays [height, width, 3], or paths; or a folder, a glob,
            drawn scenes (`scenes:count=8`) or an image source. Of several files, those that cannot be read are left
            out, with a warning.
        templates: what is asked for: the name of a shipped set (`general`; `scenes` and `park` for the LVLMs that come
            with this package), the path of a YAML list of `kind` and `text`, or a list of prompts, each a text or an
            `Instruction(kind, text)`. A prompt has to ask for the form "Question: ... Answer: ...".
        per_image: kinds of instructions for each image, in turn; None gives each image all of them.
        begin: beginning of every candidate, which the LVLM continues; "Question:" helps weak ones to keep the form.
        batch_size: prompts at once, each with all of its samples; halved where memory runs out.
        seed: of all samples.
        sampling: fields of `Sampling`: `samples` for each image and instruction (4), `temperature` (0.7),
            `max_new_tokens` (64) and `top_p` (1.0).

    Returns:
        The candidates by image, instruction and sample. `image` is the image's name: for a file its path below the
        nearest folder that contains all of them, in memory a digest. Where `question` is empty, `rejected` says why
        the text holds no pair.

    Raises:
        ValueError: there is no image, or none that can be read, there are no such templates, or an option is out of
            range.

    Examples:
        >>> import lightning_c3l
        >>> lvlm = lightning_c3l.load("shipped:scenes", device="cpu")
        >>> scenes = lightning_c3l.SceneImages(2, seed=1)
        >>> candidates = lightning_c3l.generate(lvlm, scenes, "scenes", samples=1, temperature=0.0, max_new_tokens=24)
        >>> len(candidates)
        8
        >>> candidates[0].instruction.kind, candidates[0].question, candidates[0].answer
        ('color', 'What color are the triangles?', 'green')
    """
    given, instructions = given_images(images), _instructions(templates)
    size = BatchSize(batch_size, "batch_size")
    try:
        config = GenerationConfig(sampling=Sampling(**sampling), begin=begin, batch_size=batch_size)
    except ValueError as error:
        # where the fields stand in an experiment file
        raise ValueError(str(error).removeprefix("sampling.")) from error
    keys = given.readable()
    assigned = dict(zip(keys, assign(instructions, len(keys), per_image), strict=True))
    # training may have left the LVLM in train mode
    with eval_mode(lvlm.network):
        chunk = ImageChunk(keys, given.read, instructions=assigned)
        found = generate_candidates(lvlm, chunk, config, seed, "generate", size)
    if all(one.rejected for one in found):
        name = templates if isinstance(templates, str) else "those given"
        warnings.warn(nothing_parsed(name, (one.text for one in found)), stacklevel=2)
    return found


def _instructions(templates: Templates) -> list[Instruction]:
    """The instructions of a set, or those of a list; a text without a kind is a kind of its own."""
    if isinstance(templates, str):
        return load_templates(templates)
    found = [
        one if isinstance(one, Instruction) else Instruction(f"template {number}", one)
        for number, one in enumerate(templates, start=1)
    ]
    if not found:
        raise ValueError("templates: the list is empty; give prompts, or the name of a shipped set such as general")
    if wrong := next((one for one in found if not isinstance(one.text, str) or not one.text.strip()), None):
        raise ValueError(f"templates: {wrong.kind} has no text; give texts, or Instruction(kind, text)")
    return found
