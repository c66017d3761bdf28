"""Images and instructions -> candidates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from PIL.Image import Image
from tqdm import tqdm

from lightning_c3l.lvlm.base import LVLM, Sampling
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
        batch_size: (image, instruction) prompts at once.
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


def write_candidates(
    lvlm: LVLM, keys: Sequence[str], read: Read, writing: Writing, seed: int, progress: str = "write"
) -> list[Candidate]:
    """`samples` candidates for each (image, instruction), in that order.

    Args:
        lvlm: who writes.
        keys: images, all of them readable.
        read: gives the picture of a key.
        writing: options.
        seed: seed of the draws; each batch has its own.
        progress: word for the progress bar.
    """
    assigned = assign(load_templates(writing.templates), len(keys), writing.per_image)
    prompts = [(key, instruction) for key, own in zip(keys, assigned, strict=True) for instruction in own]
    out = list[Candidate]()
    with tqdm(total=len(prompts) * writing.sampling.samples, desc=progress, unit="text", leave=False) as bar:
        for start in range(0, len(prompts), writing.batch_size):
            batch = prompts[start : start + writing.batch_size]
            texts = lvlm.generate(
                [read(key) for key, _ in batch],
                [instruction.text for _, instruction in batch],
                writing.sampling,
                seed * 1_000_003 + start,
                [writing.begin] * len(batch) if writing.begin else None,
            )
            for (key, instruction), written in zip(batch, texts, strict=True):
                whole = (f"{writing.begin} {text}".strip() for text in written)
                out.extend(candidate(key, instruction, k, text) for k, text in enumerate(whole))
            bar.update(len(batch) * writing.sampling.samples)
    return out


def candidate(key: str, instruction: Instruction, sample: int, text: str) -> Candidate:
    """A written text as a record, parsed."""
    parsed = parse(text)
    return Candidate(key, instruction, sample, text, parsed.question, parsed.answer, parsed.rejected)
