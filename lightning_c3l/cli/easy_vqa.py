"""`easy-vqa`: the easy-VQA images as a plain folder, instruction-tuning records, and a fresh small LVLM for them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.loading.decoding import decode_rgb
from experiments.easy_vqa.preparing import prepare, write_answers, write_exchanged
from experiments.easy_vqa.truth import EasyVQATruth
from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.options import parse_options
from lightning_c3l.rounds.templates import load_templates
from lightning_c3l.runs.atomic import write_json_atomic

# written last: the folder is whole where it says what it was made with
MARKER = "prepared.json"
ANSWERS_MARKER = "prepared_answers.json"
TOWER_STEPS = 750
ANSWER_PASSES = 3
IN_SHARED_DATA = Path("easy-vqa", "easy-vqa.tar")
TOKENIZER_RECORDS = 4000


@dataclass(frozen=True)
class EasyVQAOptions:
    """Prepare the easy-VQA images and a LLaVA with fresh weights, for the experiments on them.

    Example:
        c3l easy-vqa runs/easy-vqa

    Attributes:
        out: folder to write; what is prepared already is left alone.
        archive: the set as a tar file; unless given, `$C3L_SHARED_DATA/easy-vqa/easy-vqa.tar` or the package easy-vqa.
        seed: seed of the records and of the fresh weights.
        answers: also prepare what experiments/easy_vqa_answers.yaml needs, and pairs to score.
    """

    out: Path
    archive: Path | None = None
    seed: int = 0
    answers: bool = False


def main(arguments: list[str]) -> int:
    """Run the verb `easy-vqa`; returns its exit status."""
    options = parse_options("easy-vqa", EasyVQAOptions, arguments)
    instructions = {template.kind: template.text for template in load_templates("easy_vqa")}
    with _once(options.out / MARKER, {"seed": options.seed, "instructions": instructions, "questions": True}) as wanted:
        if wanted:
            archive = options.archive
            if archive is None and (shared := os.environ.get("C3L_SHARED_DATA")):
                in_shared = Path(shared) / IN_SHARED_DATA
                archive = in_shared if in_shared.is_file() else None
            prepare(options.out, archive, instructions, seed=options.seed)
            build_start(options.out, options.seed)
            print(f"prepared: {options.out} (images, questions, train.json, and fresh weights in start/)")
    if options.answers:
        with _once(
            options.out / ANSWERS_MARKER, {"seed": options.seed, "steps": TOWER_STEPS, "passes": ANSWER_PASSES}
        ) as wanted:
            if wanted:
                prepare_answers(options.out, options.seed, TOWER_STEPS, ANSWER_PASSES)
                print(f"prepared: {options.out} (answers.jsonl, exchanged.jsonl, and a tower that sees in seeing/)")
    return 0


@contextmanager
def _once(marker: Path, made_with: dict[str, Any]) -> Iterator[bool]:
    """Whether something is still to be made; the marker is written once the block has ended well."""
    found: Any = None
    with suppress(FileNotFoundError, ValueError):
        found = json.loads(marker.read_text(encoding="utf-8"))
    if found == made_with:
        print(f"already prepared: {marker.parent} ({marker.stem})")
        yield False
        return
    marker.unlink(missing_ok=True)
    yield True
    write_json_atomic(marker, made_with)


def prepare_answers(out: Path, seed: int, steps: int, passes: int) -> None:
    """Single pairs to train on, test pairs with half of their images exchanged, and a LLaVA with a taught tower."""
    # late: transformers takes seconds to import
    from lightning_c3l.lvlm.huggingface.vision_tower import train_vision_tower

    quieten()

    write_answers(out / "train_questions.json", out / "answers.jsonl", passes, seed=seed)
    write_exchanged(out / "test_questions.json", out / "exchanged.jsonl", seed)
    truth = EasyVQATruth(str(out / "train_questions.json"), str(out / "train" / "images"))
    figures = {file: truth.figure(file.name) for file in sorted((out / "train" / "images").glob("*.png"))}
    classes = {figure: number for number, figure in enumerate(sorted({f for f in figures.values() if f}, key=str))}
    labelled = [(decode_rgb(file), classes[figure]) for file, figure in figures.items() if figure]
    right = train_vision_tower(out / "start", labelled, out / "seeing", steps, seed)
    print(f"the vision tower tells {right:.3f} of its last training images right")


def build_start(out: Path, seed: int) -> None:
    """Write `out/start`, a small LLaVA with random weights and a tokenizer made from the records of `out`."""
    from lightning_c3l.scenes.checkpoint import Sizes, build_checkpoint  # late: transformers takes seconds to import

    # patches small beside the shapes: with 16 pixels of 64 the network hardly tells a circle from a triangle
    build_checkpoint(out / "start", _corpus(out / "train.json"), Sizes(image=48, patch=8), seed)


def _corpus(records: Path) -> Iterator[str]:
    for record in json.loads(records.read_text(encoding="utf-8"))[-TOKENIZER_RECORDS:]:
        texts = [turn["value"].removeprefix("<image>\n") for turn in record["conversations"]]
        for user, assistant in zip(texts[::2], texts[1::2], strict=True):
            yield f"USER: {user} ASSISTANT: {assistant}"
