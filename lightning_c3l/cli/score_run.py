"""The run of `score`: what is imported here takes seconds, so the verb imports it once its options are right."""

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from rich.console import Console

from callbacks.wandb_run import WandbRunLogger, finish_runs
from data_modules.dataset_scoring import CHUNK, ScoringDataModule
from data_modules.formats import count_records, read_layout
from data_modules.formats.fields import left_out_line
from lightning_c3l.cli import score_wandb
from lightning_c3l.cli.errors import exit_status
from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.score import ScoreOptions
from lightning_c3l.cli.score_page import write_page
from lightning_c3l.cli.scored_output import Scored, figures_table, write_scored
from lightning_c3l.lvlm.base import AnswerScorer
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, require_checkpoint
from lightning_c3l.modules.dataset_scoring import ScoringModule
from lightning_c3l.runs.digests import sha256_digest
from lightning_c3l.runs.row_jobs import RowJob
from lightning_c3l.selection.scoring_config import ScoringConfig

# of the Trainer, by --dtype
PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def run(options: ScoreOptions) -> int:
    """Score a set with options that `score` has checked; returns the exit status, which W&B is told too."""
    try:
        status = _run(options)
    except BaseException as error:
        finish_runs(exit_status(error))
        raise
    finish_runs(status)
    return status


def _run(options: ScoreOptions) -> int:
    count = count_records(options.source)
    require_checkpoint(options.model, options.trust_remote_code)
    quieten()
    on_gpu = options.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    dtype = options.dtype or ("bfloat16" if on_gpu else "float32")
    options = replace(options, dtype=dtype)
    trainer = _trainer(options)
    log = score_wandb.begin(options)
    lvlm = HuggingFaceLVLM(
        options.model,
        lora=None,
        dtype=dtype,
        keep_reference=False,
        trust_remote_code=options.trust_remote_code,
    )
    given = options.values
    seed = None if options.no_shuffle else options.seed
    scoring = ScoringConfig(
        seed, given.pooling, given.unit, given.sentences_by, given.sentence_min, tuple(given.readings)
    )
    made_with = {**_made_with(options, lvlm, count), **scoring.made_with()}
    job = RowJob(options.out.with_name(options.out.name + ".parts"), made_with, restart="--restart")
    if trainer.is_global_zero and options.restart:
        job.files.remove()  # no other rank reads before all ranks begin the job
    sizes = options.workers, options.longest_side
    data = ScoringDataModule(options.source, options.images, job, count, *sizes, options.read_as)
    module = ScoringModule(lvlm, job, options.batch_size, scoring)
    trainer.predict(module, datamodule=data, return_predictions=False)
    if not trainer.is_global_zero:
        return 0
    job.wait_until(lambda: len(job.files.done(count)) == count)
    scored = Scored(options.source, options.out, options.images, job.files, made_with, options.lossy, options.read_as)
    figures = write_scored(scored)
    if not options.no_page:
        # Lightning has moved the module to the CPU
        module.to(trainer.strategy.root_device)
        with trainer.precision_plugin.forward_context():
            figures["page"] = write_page(scored, figures, lvlm, options.batch_size)
    return _finish(scored, figures, log)


def _finish(scored: Scored, figures: dict[str, Any], log: WandbRunLogger | None) -> int:
    """Say what came of the scored set, on W&B too."""
    scored.parts.remove()
    if log is not None:
        score_wandb.log_scored(log, scored.out, figures)
    Console().print(figures_table(figures))
    listed = (
        f", {figures['listed']} rejected in {scored.out.with_suffix('.rejected.jsonl')}" if figures["listed"] else ""
    )
    where = f", its images in {figures['folder']}" if figures["folder"] else ""
    print(f"scored set in {scored.out}{where}{listed}")
    if "page" in figures:
        print(f"about it: {figures['page']}")
    if figures["left_out"]:
        print(f"members left out, binary or large: {left_out_line(figures['left_out'])}")
    if not figures["scored"]:
        reason = f"; the first reason: {figures['first']}" if figures["first"] else ": no record has an image"
        print(f"no answer was scored{reason}", file=sys.stderr)
        return 1
    return 0


class _Interruption(Callback):
    """Prints how to resume, and lets SIGTERM end the process: Lightning's own handler waits for a training step.

    Every row is on the disk as soon as it is made.
    """

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero:
            print("interrupted; the same command goes on where it was", file=sys.stderr, flush=True)


def _made_with(options: ScoreOptions, lvlm: AnswerScorer, count: int) -> dict[str, Any]:
    """What the rows depend on; a run resumes only if all of it is the same."""
    file = Path(options.source)
    return {
        "set": options.source,
        "bytes": file.stat().st_size if file.is_file() else None,
        "records": count,
        "format": read_layout(options.source, options.read_as).dialect,
        **({} if options.read_as is None else {"read_as": options.read_as}),
        "images": str(options.images),
        "model": options.model,
        "fingerprint": lvlm.fingerprint,
        "prompt": sha256_digest(lvlm.chat_template, digits=16),
        "dtype": options.dtype,
        "longest_side": options.longest_side,
        "seed": options.seed,
        "shuffle": not options.no_shuffle,
        "chunk": CHUNK,
    }


def _trainer(options: ScoreOptions) -> Trainer:
    """A Trainer on the devices that were asked for."""
    devices = options.devices
    return Trainer(
        accelerator=options.accelerator,
        devices=int(devices) if devices.lstrip("-").isdecimal() else devices,
        num_nodes=options.num_nodes,
        strategy=options.strategy,
        precision=PRECISION[options.dtype or "float32"],
        # chunks are shared out by the datamodule
        use_distributed_sampler=False,
        callbacks=[_Interruption()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
