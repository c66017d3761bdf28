"""`score`: all readings of S(I2C) for every answer of an existing instruction-tuning set."""

import argparse
import re
from pathlib import Path

from data_modules.formats import image_root, layout
from data_modules.formats.readers import files_of
from data_modules.formats.writers import check_target
from lightning_c3l.cli.options import VerbParser
from lightning_c3l.cli.scored_output import images_folder
from lightning_c3l.runs.atomic import require_writable


def main(arguments: list[str]) -> int:
    """Score every answer of a set: with its image, without, and with another one."""
    options = _parser().parse_args(arguments)
    _check(options)
    options.images = image_root(options.source, options.images)
    # late: it takes seconds to import, which a wrong option need not wait for
    from lightning_c3l.cli.score_run import run

    return run(options)


def _parser() -> argparse.ArgumentParser:
    parser = VerbParser("score", main.__doc__)
    parser.add_argument("source", metavar="IN", help="LLaVA JSON, JSONL, ShareGPT, messages, Parquet, or .tar shards")
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="the same records with their scores: .jsonl, .parquet ..."
    )
    parser.add_argument("--model", required=True, help="checkpoint folder, Hub name, or shipped:scenes")
    parser.add_argument("--images", type=Path, help="folder that image paths are relative to; that of IN unless given")
    parser.add_argument("--batch-size", type=int, default=4, help="pictures at once; halved where memory runs out")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="of the weights; bfloat16 on a GPU unless given"
    )
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
    require_writable(options.out)
    folder = images_folder(options.out, layout(options.source))
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; images that {options.source} carries go to a folder of this name")
