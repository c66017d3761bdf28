"""Which options may differ from those a run was created with when it resumes from a checkpoint."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.utilities import rank_zero_info

from lightning_c3l.runs.config_file import differences, read_config
from lightning_c3l.runs.folder import run_folder_of

# free: changes nothing that has been made, or nothing but the hardware and the bookkeeping
# notice: applied from here on, and printed
# content: names something whose content is checked when it is read, so that it may have been moved; printed
# round: refused, unless i2c.restart_round makes the round again that the run was making
# refused: what has been trained so far was trained with another value
Rule = Literal["free", "notice", "content", "round", "refused"]

# The first pattern that fits an option decides. Names are those of the command line, without `init_args`.
RULES: tuple[tuple[str, Rule], ...] = (
    # where, on what, how long and how visibly it runs
    ("run.*", "free"),
    ("ckpt_path", "free"),
    ("weights_only", "free"),
    ("trainer.precision", "notice"),
    ("trainer.gradient_clip_*", "notice"),
    ("trainer.accumulate_grad_batches", "notice"),
    ("trainer.limit_train_batches", "notice"),
    ("trainer.overfit_batches", "notice"),
    ("trainer.callbacks*", "notice"),
    # would put a few images in the place of what the run has made
    ("trainer.fast_dev_run", "refused"),
    ("trainer.*", "free"),
    ("*.num_workers", "free"),
    ("model.writing.*batch_size", "free"),
    ("model.lvlm.gradient_checkpointing", "free"),
    ("model.lvlm.trust_remote_code", "free"),
    # done once, after training
    ("data.fresh", "free"),
    ("exposure.*", "free"),
    ("export.*", "free"),
    ("report.*", "free"),
    ("i2c.restart_round", "free"),
    # a run that has a checkpoint has a first round of its own
    ("i2c.reuse", "free"),
    # of the export alone
    ("i2c.unit", "free"),
    ("i2c.sentence_min", "free"),
    # the optimizer's settings, put into the restored optimizer by `optimization.reconfigure`
    ("model.optimization.*", "notice"),
    ("data.batch_size", "notice"),
    ("guard.limits.*", "notice"),
    # the guard and the comparison can be left out, but not begun later: they refuse that themselves
    ("guard.action", "notice"),
    ("data.held_out", "content"),
    # the next round takes what is there now; the one that is trained on keeps its own images
    ("data.images", "content"),
    ("data.limit", "notice"),
    ("data.path", "content"),
    ("data.records.path", "content"),
    ("data.records.images", "content"),
    ("data.records.parts.*.path", "content"),
    ("data.records.parts.*.images", "content"),
    ("model.lvlm.path", "content"),
    # how a round is made
    ("i2c.images_per_round", "notice"),
    ("i2c.epochs_per_round", "refused"),
    # how a round is trained on
    ("i2c.accumulate", "refused"),
    ("i2c.restart_adapter", "refused"),
    ("i2c.*", "round"),
    ("model.writing.*", "round"),
    ("data.longest_side", "round"),
    # which servers generate, and how they are asked; manifests hold engine, version and precision
    ("model.generator", "round"),
    ("model.generator.class_path", "round"),
    ("model.generator.model", "round"),
    ("model.generator.api", "round"),
    ("model.generator.*", "free"),
    # all else: LoRA, loss, seed, frozen weights, passes, guard.images, options that nobody thought of
    ("*", "refused"),
)


def rule(option: str) -> Rule:
    """What happens to an option that differs."""
    return next(found for pattern, found in RULES if fnmatchcase(option, pattern))


def require_same_run(before: dict[str, Any], now: dict[str, Any], where: str) -> None:
    """Refuse options that a run cannot change, and print which others have changed.

    Options that only one of the two configurations has came or went with a version of this project; they are not
    compared.

    Args:
        before: configuration that the run was created with, as in its config.yaml.
        now: configuration of this start.
        where: name of the former, for messages.

    Raises:
        ValueError: an option differs that must not; names it with both values.
    """
    restarts = bool((now.get("i2c") or {}).get("restart_round"))
    notices = list[str]()
    for option, old, new in differences(before, now):
        found = "refused" if option == "data.limit" and _leaves_out(new, old) else rule(option)
        if found == "refused" or (found == "round" and not restarts):
            again = ", or --i2c.restart_round true to make the round again" if found == "round" else ""
            raise ValueError(
                f"{option} is {_shown(new)}, but this run was created with {_shown(old)} ({where}): use the same to "
                f"resume{again}, or start a new run without --ckpt_path"
            )
        if found != "free":
            what = "must hold the same" if found == "content" else "applied from here on"
            notices.append(f"{option} was {old!r}, now it is {new!r}: {what}")
    for notice in notices:
        rank_zero_info(notice)


def _shown(value: Any) -> str:
    """A value as an error shows it: an object by the name of its class."""
    return value["class_path"].rpartition(".")[2] if isinstance(value, dict) and "class_path" in value else repr(value)


def _leaves_out(limit: int | None, before: int | None) -> bool:
    """Whether a limit leaves images out that rounds or measurements of the run may be made with."""
    return limit is not None and (before is None or limit < before)


def configuration_of(checkpoint: str | Path) -> dict[str, Any] | None:
    """The config.yaml of the run folder that a checkpoint lies in; None where it lies in none.

    Raises:
        ValueError: the file is damaged; names it.
    """
    folder = run_folder_of(checkpoint)
    if folder is None:
        return None
    path = folder / "config.yaml"
    try:
        return read_config(path)
    except ValueError as error:
        raise ValueError(f"{error}; put it back, or remove it to resume unchecked") from error
