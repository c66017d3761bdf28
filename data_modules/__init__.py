"""Catalogue of where images, instruction-tuning records and questions come from; experiment files use these names."""

from importlib import import_module
from typing import Any

CLASSES = {
    # datamodules
    "RoundDataModule": "data_modules.rounds",  # images for rounds of C3L, and the pseudo-labels of a round in batches
    "InstructionDataModule": "data_modules.instruction_tuning",  # records to tune on, in batches
    "BenchmarkDataModule": "data_modules.benchmark",  # the questions of a benchmark and their images
    "ScoringDataModule": "data_modules.dataset_scoring",  # the records of a set to score
    # records to tune on
    "FileRecords": "data_modules.tuning_sets",  # a file, with a weight for each of its records
    "MixedRecords": "data_modules.tuning_sets",  # several files, mixed by shares
    "SceneRecords": "data_modules.scenes",  # exchanges about the embedded world of corners
    "ParkRecords": "data_modules.scenes",  # and about the park
    # worlds with known truth
    "SceneTruth": "data_modules.scenes",  # of the embedded world
}


def __getattr__(name: str) -> Any:
    """Import a class of the catalogue on its first use: the light verbs must not wait for torch."""
    if name in CLASSES:
        return getattr(import_module(CLASSES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
