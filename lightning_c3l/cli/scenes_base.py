"""`scenes-base`: train the small base LVLM of the embedded world from scratch, measure it, and write its manifest."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_c3l.cli.options import parse_options
from lightning_c3l.runs.atomic import atomic_folder
from lightning_c3l.scenes.curriculum import corpus
from lightning_c3l.scenes.recipe import BASE, EXPERIMENT, recipe_hash

if TYPE_CHECKING:
    from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM


@dataclass(frozen=True)
class ScenesBaseOptions:
    """Train the base LVLM of the embedded world with experiments/scenes_base.yaml.

    Attributes:
        out: folder for the checkpoint and its manifest.
        work: folder for the training run.
        records: train on so many records instead of the experiment's.
    """

    out: Path = BASE
    work: Path = Path("runs")
    records: int | None = None


def main(arguments: list[str]) -> int:
    """Run the verb `scenes-base`; returns its exit status."""
    options = parse_options("scenes-base", ScenesBaseOptions, arguments)
    # late, as in what follows: it takes seconds to import, which a wrong option need not wait for
    import torch

    from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
    from lightning_c3l.scenes.measure import measure_base

    began = time.perf_counter()
    trained = train(options.work, options.records)
    seconds = time.perf_counter() - began
    with atomic_folder(options.out) as folder:
        save_half(trained, folder)
        manifest = {
            "recipe": recipe_hash(),
            "command": "make scenes-base" if options.records is None else f"scenes-base --records {options.records}",
            "torch": torch.__version__.split("+")[0],
            "training_seconds": round(seconds),
            "parameters": sum(p.numel() for p in trained.network.parameters()),
            # measured on the files as they are shipped
            "measured": measure_base(HuggingFaceLVLM(str(folder), lora=None, keep_reference=False)),
        }
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(manifest["measured"], indent=2))
    return 0


def train(work: Path, records: int | None) -> "HuggingFaceLVLM":
    """Fresh checkpoint, ordinary `fit`, trained model."""
    from lightning_c3l.cli.trainer import run_trainer
    from lightning_c3l.scenes.checkpoint import Sizes, build_checkpoint

    start = work / "scenes-base" / "start"
    build_checkpoint(start, sorted(corpus()), Sizes(), seed=0)
    words = ["fit", "--config", str(EXPERIMENT), "--run.root", str(work)]
    words += ["--model.init_args.lvlm.init_args.path", str(start)]
    if records is not None:
        words += ["--data.init_args.records.init_args.count", str(records)]
    lvlm: HuggingFaceLVLM = run_trainer(words).model.lvlm
    return lvlm


def save_half(lvlm: "HuggingFaceLVLM", folder: Path) -> None:
    """Write the checkpoint in half precision; the small weights lose nothing that the figures would show."""
    import torch

    network: Any = lvlm.network
    network.to(torch.float16)
    lvlm.save(folder)
    network.to(torch.float32)
