"""The table of verbs: Trainer methods go to the LightningCLI, each other verb to its own module."""

import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path

from lightning_c3l.cli.first_look import look
from lightning_c3l.cli.output import readable_output
from lightning_c3l.cli.trainer_verbs import TRAINER_VERBS
from lightning_c3l.cli.words import HELP, TRAINER_HELP
from lightning_c3l.distributed.program import command_line
from lightning_c3l.extensions import find_in_current_folder

QUIET = "--quiet"
DEMO = Path(__file__).resolve().parents[2] / "experiments" / "demo.yaml"
# verb -> module in `lightning_c3l.cli` with a function `main(arguments) -> exit status`, and what it does
VERBS = {
    "doctor": ("doctor", "what this installation and machine are, what is wrong with them, and what to do"),
    "report": ("report", "the page of a run made again, or several runs compared"),
    "runs": ("runs", "the runs of a folder, how they ended, and their headline figures"),
    "score": ("score", "S(I2C) for every answer of an existing instruction-tuning set"),
    "select": ("select", "a chosen part of a scored set, with a data card"),
    "check-scores": ("check_scores", "how well the scores of a labelled set tell right from wrong"),
    "convert": ("convert", "an instruction-tuning set in another format"),
    "validate-data": ("validate_data", "every problem of an instruction-tuning set"),
    "merge": ("merge", "a checkpoint with a trained adapter folded in"),
    "easy-vqa": ("easy_vqa", "prepare the easy-VQA images for the experiments on them"),
    "evaluate": ("evaluate", "the score of anybody's answers to a benchmark"),
    "judge": ("judge", "a judge's reviews of answers to LLaVA-Bench's questions"),
    "scenes-base": ("scenes_base", "train the base LVLM of an embedded world"),
    "scenes-benchmarks": ("scenes_benchmarks", "the embedded world's own benchmarks, as files"),
    "two-by-two": ("two_by_two", "what written data is worth, by writer and by selection"),
    "detector": ("detector", "how well S(I2C) and its rivals tell right from wrong, in answers, sentences and tokens"),
    "sweep-local": ("sweep_local", "the trials of a W&B sweep file without W&B, with a table and a page of all"),
    "recipe": ("recipe", "recipes of training compared with paired intervals, by a protocol fixed before"),
    "bench": ("bench", "speed and memory of scoring, writing and training"),
    "bench-data": ("bench_data", "speed and memory of data in and out"),
    "bench-scale": ("bench_scale", "rounds and data sets of millions of candidates, without a model"),
    "serve-vllm": ("serve_vllm", "the command of a vLLM server that generates for rounds"),
    "bench-engines": ("bench_engines", "speed of generation here and on a vLLM server"),
    "gpu-check": ("gpu_check", "what only a GPU can show, within nine minutes"),
}


def _overview(unknown: str = "") -> int:
    """Print all verbs; to stderr where one was asked for that is none of them."""
    verbs = {name: verb.about for name, verb in TRAINER_VERBS.items()} | {
        name: what for name, (_, what) in VERBS.items()
    }
    to = sys.stderr if unknown else sys.stdout
    if unknown:
        alike = get_close_matches(unknown, verbs, 1)
        print(f"error: {unknown!r} is no verb" + (f"; did you mean {alike[0]}?" if alike else ""), file=to)
    print(f"usage: {command_line('VERB')} ...   (VERB --help for its options)\n", file=to)
    for verb, what in verbs.items():
        print(f"  {verb:<17} {what}", file=to)
    print(f"\nEvery verb takes {QUIET}: warnings, errors and results only.", file=to)
    return 2 if unknown else 0


def _print_anywhere() -> None:
    """Let a terminal or a pipe that cannot show a letter get its escape: a finished run must not fail over it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _guarded(run: Callable[[], int]) -> int:
    """Run, and turn what users can mend into one line, and Ctrl-C into status 130."""
    try:
        return run()
    except BaseException as error:
        from lightning_c3l.cli import errors  # late: it is only needed here

        if errors.has_own_message(error):
            raise
        if errors.is_users_mistake(error):
            print(f"error: {errors.in_one_line(error)}", file=sys.stderr)
        return errors.exit_status(error)


def _run_trainer(words: list[str]) -> int:
    look(words)
    if words[0] in TRAINER_VERBS and not {*HELP, TRAINER_HELP}.isdisjoint(words):
        from lightning_c3l.cli.kept_help import help_text  # late: it imports the parser

        print(help_text(words), end="")
        return 0
    from lightning_c3l.cli.trainer import run_trainer  # late: the other verbs need not wait for its imports

    run_trainer(words)
    return 0


def main(args: list[str] | None = None) -> int:
    """Run one verb in this process.

    Args:
        args: the verb and its options; those of the command line unless given.

    Returns:
        The exit status: 0, 1 for what the verb counts as bad news, 2 for a user's mistake, which is printed in one
        line, 130 after Ctrl-C, 143 after SIGTERM.
    """
    _print_anywhere()
    # classes and functions of the user's own, which options name
    find_in_current_folder()
    given = sys.argv[1:] if args is None else list(args)
    words = [word for word in given if word != QUIET]
    with readable_output(quiet=QUIET in given):
        return _run_verb(words)


def _run_verb(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        return _overview()
    if words[0] in ("-V", "--version", "version"):
        print(f"lightning_c3l {version('lightning_c3l')}")
        return 0
    if words[0] in VERBS:
        module = f"lightning_c3l.cli.{VERBS[words[0]][0]}"
        return _guarded(lambda: int(import_module(module).main(words[1:])))
    if words[0] not in TRAINER_VERBS and not words[0].startswith("-"):
        return _overview(unknown=words[0])
    if words == ["fit"]:
        words += ["--config", str(DEMO)]
    return _guarded(lambda: _run_trainer(words))
