"""`scenes-base`: train the small base LVLM of an embedded world from scratch, measure it, and write its manifest."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.options import parse_options
from lightning_c3l.runs.atomic import atomic_folder, require_writable, write_json_atomic
from lightning_c3l.scenes.recipe import BASES
from lightning_c3l.scenes.worlds import WORLDS


@dataclass(frozen=True)
class ScenesBaseOptions:
    """Train the base LVLM of an embedded world with experiments/scenes_base.yaml or experiments/park_base.yaml.

    Example:
        c3l scenes-base --world corners --records 2000 --out runs/my-base

    Attributes:
        world: embedded world: `corners` or `park`.
        out: folder for the checkpoint and its manifest; without it, the shipped one is replaced.
        work: folder for the training run.
        records: number of training records; that of the experiment unless given.
    """

    world: Literal["corners", "park"] = "corners"
    out: Path | None = None
    work: Path = Path("runs")
    records: int | None = None


def main(arguments: list[str]) -> int:
    """Run the verb `scenes-base`; returns its exit status."""
    options = parse_options("scenes-base", ScenesBaseOptions, arguments)
    recipe = BASES[options.world]
    out = options.out or recipe.folder
    require_writable(out)
    # late: these imports take seconds, which a wrong option need not wait for
    import torch

    from lightning_c3l.cli.trainer import run_trainer
    from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
    from lightning_c3l.scenes.checkpoint import Sizes, build_checkpoint
    from lightning_c3l.scenes.measure import measure_base

    quieten()
    begin = time.perf_counter()
    name = recipe.experiment.stem.replace("_", "-")
    start = options.work / name / "start"
    sizes = Sizes(image=recipe.image, vocabulary=recipe.vocabulary)
    build_checkpoint(start, sorted(recipe.corpus()), sizes, seed=0)
    words = ["fit", "--config", str(recipe.experiment), "--run.root", str(options.work)]
    words += ["--model.init_args.lvlm.init_args.path", str(start)]
    if options.records is not None:
        words += ["--data.init_args.records.init_args.count", str(options.records)]
    lvlm: HuggingFaceLVLM = run_trainer(words).model.lvlm
    seconds = time.perf_counter() - begin
    with atomic_folder(out) as folder:
        # half precision: the small weights lose nothing that the figures would show
        network: Any = lvlm.network
        network.to(torch.float16)
        lvlm.save(folder)
        manifest = {
            "recipe": recipe.hash(),
            "command": f"make {name}" if options.records is None else f"scenes-base --records {options.records}",
            "torch": torch.__version__.split("+")[0],
            "training_seconds": round(seconds),
            "parameters": sum(p.numel() for p in network.parameters()),
            # measured on the files as they are shipped
            "measured": measure_base(
                HuggingFaceLVLM(str(folder), lora=None, keep_reference=False), WORLDS[options.world]
            ),
        }
        write_json_atomic(folder / "manifest.json", manifest)
    print(json.dumps(manifest["measured"], indent=2))
    return 0
