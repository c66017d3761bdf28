"""Catalogue of the callbacks, one job each; experiment files use these names."""

from importlib import import_module
from typing import Any

CLASSES = {
    # part of every run; see OPTION_GROUPS for their options
    "I2CReweighting": "callbacks.i2c_reweighting",  # --i2c: generates, scores and selects before every round
    "GuardRails": "callbacks.guard_rails",  # --guard: stops a run that collapses, or goes back to its best state
    "WriterComparison": "callbacks.writer_comparison",  # --comparison: the tuned LVLM beside its base
    "ExposureBias": "callbacks.exposure_bias",  # --exposure: how answers fare after prefixes of their own
    "DatasetExport": "callbacks.dataset_export",  # --export: writes the instruction-tuning set
    "RunReport": "callbacks.report",  # --report: writes summary.json and report.html
    # part of every run, without options
    "Interruption": "callbacks.interruption",  # leaves a checkpoint on a signal and says how to resume
    "Checkpointing": "callbacks.checkpointing",  # writes checkpoints/last.ckpt
    "AdapterExport": "callbacks.adapter_export",  # writes the adapter as a folder of peft
    "RunFacts": "callbacks.run_facts",  # command, version, date and changed options in summary.json
    "GalleryTokens": "callbacks.token_values",  # writes report/tokens.json, what tokens of shown pairs owe to images
    "RoundLogger": "callbacks.round_logger",  # each round to the loggers
    "WandbFinal": "callbacks.wandb_final",  # figures and files of a run's end to W&B
    "TrainingProgress": "callbacks.training_progress",  # progress of `fit`
    "WandbAnswers": "callbacks.wandb_answers",  # figures of `test` and answers to W&B
    "QuestionProgress": "callbacks.question_progress",  # progress of `test`
    # for `trainer.callbacks`
    "ReplayRounds": "callbacks.replay",  # trains on the rounds of another run instead of making them
}
# groups of the command line's options, and the callback that each of them builds
OPTION_GROUPS = {
    "i2c": "I2CReweighting",
    "guard": "GuardRails",
    "comparison": "WriterComparison",
    "exposure": "ExposureBias",
    "export": "DatasetExport",
    "report": "RunReport",
}


def __getattr__(name: str) -> Any:
    """Import a callback of the catalogue on its first use."""
    if name in CLASSES:
        return getattr(import_module(CLASSES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
