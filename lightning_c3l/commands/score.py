"""`score`: all readings of S(I2C) for every answer of an existing instruction-tuning set."""

import argparse
import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from rich.console import Console

from data_modules.formats import count_records, image_root, layout
from data_modules.formats.fields import members_line
from data_modules.formats.readers import files_of
from data_modules.formats.writers import check_target
from data_modules.scoring import CHUNK, ScoringDataModule
from lightning_c3l.commands.scored_output import Scored, figures_table, images_folder, write_scored
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.parts import PartFiles
from lightning_c3l.quiet import quieten
from lightning_c3l.set_scoring import ScoringModule

_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def main(arguments: list[str]) -> int:
    """Score every answer of a set: with its image, without, and with another one."""
    options = _parser().parse_args(arguments)
    _check(options)
    options.images = image_root(options.source, options.images)
    quieten()
    trainer = _trainer(options)
    lvlm = HuggingFaceLVLM(
        options.model,
        lora=None,
        dtype=options.dtype,
        keep_reference=False,
        trust_remote_code=options.trust_remote_code,
    )
    parts = PartFiles(options.out.with_name(options.out.name + ".parts"))
    count = count_records(options.source)
    made_with = _made_with(options, lvlm, count)
    if trainer.is_global_zero:  # the others wait for it before they look
        if options.restart:
            parts.remove()
        parts.begin(made_with)
        if done := len(parts.done(count)):
            print(f"going on: {done} of {count} records are scored already", flush=True)
    data = ScoringDataModule(options.source, options.images, parts, count, options.workers, options.longest_side)
    module = ScoringModule(lvlm, parts, options.batch_size, options.seed, not options.no_shuffle)
    trainer.predict(module, datamodule=data, return_predictions=False)
    if trainer.is_global_zero:
        scored = Scored(options.source, options.out, options.images, parts, made_with, options.lossy)
        return _finish(scored)
    return 0


def _finish(scored: Scored) -> int:
    """Write the scored set, and say what came of it."""
    figures = write_scored(scored)
    scored.parts.remove()
    Console().print(figures_table(figures))
    listed = (
        f", {figures['listed']} rejected in {scored.out.with_suffix('.rejected.jsonl')}" if figures["listed"] else ""
    )
    where = f", its images in {figures['folder']}" if figures["folder"] else ""
    print(f"scored set in {scored.out}{where}{listed}")
    if figures["left_out"]:
        print(f"members left out, binary or large: {members_line(figures['left_out'])}")
    if not figures["scored"]:
        reason = f"; the first reason: {figures['first']}" if figures["first"] else ": no record has an image"
        print(f"no answer was scored{reason}", file=sys.stderr)
        return 1
    return 0


class _Interruption(Callback):
    """Says how to go on."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero:
            print("interrupted; the same command goes on where it was", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lightning_c3l score", description=main.__doc__)
    parser.add_argument("source", metavar="IN", help="LLaVA JSON, JSONL, ShareGPT, messages, Parquet, or .tar shards")
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="the same records with their scores: .jsonl, .parquet ..."
    )
    parser.add_argument("--model", required=True, help="checkpoint folder, Hub name, or shipped:scenes")
    parser.add_argument("--images", type=Path, help="folder that image paths are relative to; that of IN unless given")
    parser.add_argument("--batch-size", type=int, default=4, help="pictures at once; halved where memory runs out")
    parser.add_argument("--dtype", choices=[*_PRECISION], help="of the weights; bfloat16 on a GPU unless given")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode pictures")
    parser.add_argument("--longest-side", type=int, help="shrink larger pictures to so many pixels first")
    parser.add_argument("--seed", type=int, default=0, help="which other image the control takes")
    parser.add_argument("--no-shuffle", action="store_true", help="leave out the control with another image")
    parser.add_argument("--restart", action="store_true", help="forget what an interrupted run has scored")
    parser.add_argument("--lossy", action="store_true", help="write what OUT's format cannot hold as near as possible")
    parser.add_argument("--trust-remote-code", action="store_true", help="run code that comes with the checkpoint")
    parser.add_argument("--accelerator", default="auto", help="as Lightning's Trainer takes it, like the next three")
    parser.add_argument("--devices", default="auto", help="number of processes, or a list of devices")
    parser.add_argument("--num-nodes", type=int, default=1)
    parser.add_argument("--strategy", default="auto")
    return parser


def _check(options: argparse.Namespace) -> None:
    """Refuse before anything is loaded what could not be written in the end."""
    for name in ("batch_size", "workers", "longest_side"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, not {value}")
    if options.images is not None and not options.images.is_dir():
        raise ValueError(f"--images {options.images}: no such folder")
    if options.out.resolve() in [file.resolve() for file in files_of(options.source)]:
        raise ValueError(f"{options.out}: would replace the set that is scored; give another name")
    if not re.fullmatch(r"auto|-?\d+(,\d+)*,?", options.devices):
        raise ValueError(f"--devices {options.devices}: must be a number of processes, a list such as 0,3, or auto")
    check_target(options.out, options.lossy)
    folder = images_folder(options.out, layout(options.source))
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; images that {options.source} carries go to a folder of this name")


def _made_with(options: argparse.Namespace, lvlm: HuggingFaceLVLM, count: int) -> dict[str, Any]:
    """What the rows depend on; a run goes on only where all of it is the same."""
    file = Path(options.source)
    return {
        "set": options.source,
        "bytes": file.stat().st_size if file.is_file() else None,
        "records": count,
        "format": layout(options.source).dialect,
        "images": str(options.images),
        "model": options.model,
        "fingerprint": lvlm.fingerprint,
        "prompt": hashlib.sha256(lvlm.template.encode()).hexdigest()[:16],
        "dtype": options.dtype,
        "longest_side": options.longest_side,
        "seed": options.seed,
        "shuffle": not options.no_shuffle,
        "chunk": CHUNK,
    }


def _trainer(options: argparse.Namespace) -> Trainer:
    """A Trainer, and the precision that suits its device where none was given."""
    devices = options.devices
    if options.dtype is None:
        on_gpu = options.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        options.dtype = "bfloat16" if on_gpu else "float32"
    return Trainer(
        accelerator=options.accelerator,
        devices=int(devices) if devices.lstrip("-").isdecimal() else devices,
        num_nodes=options.num_nodes,
        strategy=options.strategy,
        precision=_PRECISION[options.dtype],
        # chunks are shared out by the datamodule
        use_distributed_sampler=False,
        callbacks=[_Interruption()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
