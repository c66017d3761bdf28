"""`easy-vqa`: the easy-VQA pictures as a plain folder, instruction-tuning records, and a fresh small LVLM for them."""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_modules.easy_vqa import prepare
from lightning_c3l.atomic import write_json_atomic
from lightning_c3l.prompts import load_templates

# written last: the folder is whole where it says what it was made with
MARKER = "prepared.json"
IN_SHARED_DATA = Path("easy-vqa", "easy-vqa.tar")
TOKENIZER_RECORDS = 4000


def main(arguments: list[str]) -> int:
    """Prepare the easy-VQA pictures and a LLaVA with fresh weights, for experiments/easy_vqa_base.yaml."""
    parser = argparse.ArgumentParser(prog="python -m lightning_c3l easy-vqa", description=main.__doc__)
    parser.add_argument("out", type=Path, help="folder to write; left alone where it is prepared already")
    parser.add_argument(
        "--archive",
        type=Path,
        help=f"the set as a tar file; else $C3L_SHARED_DATA/{IN_SHARED_DATA.as_posix()}, else the package easy-vqa",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the records and of the fresh weights")
    options = parser.parse_args(arguments)
    instructions = {template.kind: template.text for template in load_templates("easy_vqa")}
    made_with = {"seed": options.seed, "instructions": instructions}
    if _marker(options.out) == made_with:
        print(f"already prepared: {options.out}")
        return 0
    (options.out / MARKER).unlink(missing_ok=True)
    prepare(options.out, options.archive or _shared_archive(), instructions, seed=options.seed)
    build_start(options.out, options.seed)
    write_json_atomic(options.out / MARKER, made_with)
    print(f"prepared: {options.out} (pictures, train.json, test_questions.json, and fresh weights in start/)")
    return 0


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


def _marker(out: Path) -> Any:
    try:
        return json.loads((out / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _shared_archive() -> Path | None:
    """The tar file among shared data, where there is one."""
    shared = os.environ.get("C3L_SHARED_DATA")
    archive = Path(shared) / IN_SHARED_DATA if shared else None
    return archive if archive is not None and archive.is_file() else None
