"""Candidates with the log-probabilities of their tokens, generated and scored once and kept by part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_modules.scenes import SceneImages
from experiments.detector.plan import DetectorPlan
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.records import Candidate, exchange
from lightning_c3l.report.progress import stage
from lightning_c3l.rounds.candidate_rows import read_rows, write_rows
from lightning_c3l.rounds.generation import (
    GenerationConfig,
    ImageChunk,
    generate_candidates,
    iter_image_chunks,
    spans,
)
from lightning_c3l.runs import manifest
from lightning_c3l.scenes.worlds import WORLDS

# images that are generated and scored together
_PART = 8
# decimals of stored values
_DIGITS = 5
Row = dict[str, Any]


def make_candidates(out: Path, plan: DetectorPlan) -> None:
    """Generate and score what is missing; finished parts lie in the folder.

    Args:
        out: folder of the experiment.
        plan: what is to be made.

    Raises:
        ValueError: the folder was created with another plan or model.
    """
    world = WORLDS[plan.world]
    source = SceneImages(plan.images, plan.follow, plan.seed, world=plan.world)
    lvlm = HuggingFaceLVLM(plan.model, lora=None, keep_reference=False)
    made_with = {**asdict(plan), "fingerprint": lvlm.fingerprint}
    manifest.begin(out / "manifest.json", made_with, "choose another --out")
    config = GenerationConfig(
        world.templates, sampling=Sampling(plan.samples, world.longest, plan.temperature), batch_size=64
    )
    keys = list(source.keys())
    parts = spans(len(keys), -(-len(keys) // _PART))
    missing = [part for part in parts if not _file(out, part).exists()]
    with stage("detector", "images", sum(map(len, missing))) as progress:
        chunks = iter_image_chunks(lvlm, ImageChunk(keys, source.read), missing)
        for part, chunk in zip(missing, chunks, strict=True):
            candidates = generate_candidates(lvlm, chunk, config, plan.seed)
            write_rows(_file(out, part), _scored(lvlm, chunk, candidates))
            progress.update(len(part))


def read_candidates(out: Path) -> Iterator[Row]:
    """The rows of all parts, in the order of the images.

    A row has image, kind, sample, question, answer, rejected, and for a parsed one `texts`, `logp`, `logq`, `kl` and
    `other` (log-probabilities with another image), one item a token.
    """
    for file in sorted((out / "candidates").glob("*.jsonl")):
        yield from read_rows(file)


def _file(out: Path, part: range) -> Path:
    return out / "candidates" / f"{part.start:06d}.jsonl"


def _scored(lvlm: HuggingFaceLVLM, chunk: ImageChunk, candidates: Sequence[Candidate]) -> Iterator[Row]:
    """The rows of a part; equal pairs about an image are scored once."""
    pairs = {key: dict[tuple[str, str], Row]() for key in chunk.keys}
    for one in candidates:
        if not one.rejected:
            pairs[one.image].setdefault((one.question, one.answer), {})
    asked = [key for key in chunk.keys if pairs[key]]
    if asked:
        _score(lvlm, chunk, {key: pairs[key] for key in asked})
    for one in candidates:
        yield {
            "image": one.image,
            "kind": one.instruction.kind,
            "sample": one.sample,
            "question": one.question,
            "answer": one.answer,
            "rejected": one.rejected,
            **pairs[one.image].get((one.question, one.answer), {}),
        }


def _score(lvlm: HuggingFaceLVLM, chunk: ImageChunk, pairs: Mapping[str, dict[tuple[str, str], Row]]) -> None:
    """Fill in the values of the tokens of each pair about each image."""
    following = dict(zip(chunk.keys, [*chunk.keys[1:], chunk.keys[0]], strict=True))
    chats = [[exchange(*pair) for pair in own] for own in pairs.values()]
    others = [(chunk.read(following[key]),) for key in pairs]
    found = lvlm.score([(chunk.read(key),) for key in pairs], chats, others)
    columns = {"logp": found.logp_image, "logq": found.logp_blind, "kl": found.kl, "other": found.logp_shuffled}
    rows = (row for own in pairs.values() for row in own.values())
    for number, (row, texts) in enumerate(zip(rows, lvlm.answer_texts(chats), strict=True)):
        row["texts"] = list(texts)
        for name, column in columns.items():
            if column is not None:
                values = column[number][found.mask[number]].tolist()
                row[name] = [round(value, _DIGITS) for value in values]
