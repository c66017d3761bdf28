"""`score`: all readings of S(I2C) for every answer of an existing instruction-tuning set."""

import math
import re
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Literal

from data_modules.formats import image_root, read_layout
from data_modules.formats.readers import open_reader
from data_modules.formats.writers import check_target
from lightning_c3l.cli.options import parse_options
from lightning_c3l.cli.scored_output import images_folder
from lightning_c3l.lvlm.hub import require_reachable
from lightning_c3l.runs.atomic import require_writable
from lightning_c3l.runs.project_names import require_project


@dataclass(frozen=True)
class WandbOptions:
    """W&B.

    Attributes:
        wandb: W&B project to log to, or `ENTITY/PROJECT`; without it nothing is logged there.
        wandb_mode: `online`, `offline` or `disabled`; unless given, `WANDB_MODE` or `wandb offline` decides, and
            otherwise it is online if you are logged in.
        wandb_artifacts: upload the scored set too, with its page and the files beside it.
    """

    wandb: str | None = None
    wandb_mode: Literal["online", "offline", "disabled"] | None = None
    wandb_artifacts: bool = False

    def __post_init__(self) -> None:
        """Check the name of the project."""
        require_project("--wandb", self.wandb)


@dataclass(frozen=True)
class ValueOptions:
    """Values of answers.

    Attributes:
        pooling: how the values of tokens become those of an answer in the columns answer, vocabulary, gap and shuffled:
            their mean, the lowest mean of a sentence, or the mean of the lowest quarter; the other columns stay as they
            are.
        unit: `sentence` also scores each answer without the sentences that the image does not support, for `select`.
        sentences_by: reading that judges a sentence.
        sentence_min: smallest value of a supported sentence; at 0 the image makes it no less likely.
        readings: readings of your own, `module.function`, that are computed beside the four
            (docs/extending/reading.md).
    """

    pooling: Literal["mean", "min_sentence", "lowest_quarter"] = "mean"
    unit: Literal["answer", "sentence"] = "answer"
    sentences_by: Literal["answer", "gap"] = "answer"
    sentence_min: float = 0.0
    readings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check the threshold, and that nothing is said of sentences where none are scored."""
        if not math.isfinite(self.sentence_min):
            raise ValueError(f"--sentence-min must be a finite number, not {self.sentence_min}")
        if self.unit != "sentence" and (self.sentences_by, self.sentence_min) != ("answer", 0.0):
            raise ValueError("--sentences-by and --sentence-min need --unit sentence")


@dataclass(frozen=True)
class ScoreOptions:
    """Score every answer of a set: with its image, without, and with another one.

    Example:
        c3l score runs/demo/version_0/vlit.json scored.jsonl --model shipped:park
        c3l score set.json scored.jsonl --model llava-hf/llava-1.5-7b-hf --images path/to/images

    Attributes:
        source: set to score: JSON or JSONL of any dialect, Parquet, or .tar shards.
        out: file to write, the same records with their scores: .json, .jsonl, .parquet or .tar.
        model: LVLM that scores: a checkpoint folder, a Hub name, `shipped:scenes` or `shipped:park`.
        images: folder that image paths are relative to; that of IN unless given.
        read_as: dialect of your own that IN is in, `module.Class` (docs/extending/dialect.md).
        batch_size: images per batch; halved where memory runs out.
        dtype: precision of the weights; bfloat16 on a GPU and float32 elsewhere unless given.
        workers: processes that decode images.
        longest_side: longest side of an image, in pixels; larger images are shrunk when they are read.
        seed: seed of the choice of the other image for the control.
        no_shuffle: leave out the control with another image.
        restart: forget what an interrupted run has scored.
        lossy: write what OUT's format cannot hold as near as possible, instead of rejecting the record.
        no_page: leave out the page about the scored set, and the token values that it shows.
        trust_remote_code: run Python code that comes with the checkpoint; only for sources that you trust.
        accelerator: accelerator of Lightning's Trainer: `auto`, `cpu`, `gpu` and others.
        devices: number of processes, one for each device, or a list of devices such as `0,3`.
        num_nodes: number of machines.
        strategy: strategy of Lightning's Trainer.
        values: values of answers.
        log: W&B.
    """

    source: str
    out: Path
    _: KW_ONLY
    model: str
    images: Path | None = None
    read_as: str | None = None
    batch_size: int = 4
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    workers: int = 2
    longest_side: int | None = None
    seed: int = 0
    no_shuffle: bool = False
    restart: bool = False
    lossy: bool = False
    no_page: bool = False
    trust_remote_code: bool = False
    accelerator: str = "auto"
    devices: str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    values: ValueOptions = field(default_factory=ValueOptions)
    log: WandbOptions = WandbOptions()


def main(arguments: list[str]) -> int:
    """Run the verb `score`; returns its exit status."""
    options = parse_options("score", ScoreOptions, arguments)
    _check(options)
    options = replace(options, images=image_root(options.source, options.images))
    # late: it takes seconds to import, which a wrong option need not wait for
    from lightning_c3l.cli.score_run import run

    return run(options)


def _check(options: ScoreOptions) -> None:
    """Refuse before anything is loaded what could not be written in the end."""
    for name in ("batch_size", "workers", "longest_side"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, not {value}")
    if options.images is not None and not options.images.is_dir():
        raise ValueError(f"--images {options.images}: no such folder")
    if options.out.resolve() in [file.resolve() for file in open_reader(options.source).files]:
        raise ValueError(f"{options.out}: would replace the set that is scored; give another name")
    if not re.fullmatch(r"auto|-?\d+(,\d+)*,?", options.devices):
        raise ValueError(f"--devices {options.devices}: must be a number of processes, a list such as 0,3, or auto")
    if options.values.readings:
        # late: it takes a second to import torch
        from lightning_c3l.selection.scoring_config import ScoringConfig

        try:
            ScoringConfig(readings=tuple(options.values.readings))
        except ValueError as error:
            raise ValueError(f"--{error}") from error
    check_target(options.out, options.lossy)
    require_writable(options.out)
    folder = images_folder(options.out, read_layout(options.source, options.read_as))
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; images that {options.source} carries go to a folder of this name")
    require_reachable(options.model)
