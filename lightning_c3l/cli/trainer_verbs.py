"""`fit`, `predict` and `test`: what they do, examples of them, and which of the project's options matter to them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainerVerb:
    """A Trainer method of Lightning as a verb.

    Attributes:
        about: what it does.
        examples: commands of `c3l`.
        callbacks: groups of options of callbacks that do something there.
        classes: by option, the classes that are usual there.
    """

    about: str
    examples: tuple[str, ...]
    callbacks: tuple[str, ...]
    classes: Mapping[str, str]


# what Lightning's methods are given as objects, which are no options
OBJECTS = frozenset(("model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders"))
_ROUNDS = {"data": "RoundDataModule", "model": "C3LModule", "model.lvlm": "HuggingFaceLVLM"}
TRAINER_VERBS = {
    "fit": TrainerVerb(
        "rounds of C3L, or instruction tuning, from an experiment file; the demonstration without one",
        (
            "c3l fit",
            "c3l fit --config experiments/demo.yaml --run.name mine --i2c.reading gap",
            "c3l fit --config experiments/c3l/qwen3vl_2b.yaml --data.images path/to/folder",
        ),
        ("i2c", "guard", "comparison", "exposure", "export"),
        _ROUNDS,
    ),
    "predict": TrainerVerb(
        "a data set about other images, with a trained checkpoint",
        (
            "c3l predict --config experiments/demo.yaml --data.images scenes:world=park,count=50,follow=0.2,seed=9 \\\n"
            "--ckpt_path runs/demo/version_0/checkpoints/last.ckpt --export.target_size 100",
        ),
        ("i2c", "export"),
        _ROUNDS,
    ),
    "test": TrainerVerb(
        "answers to a benchmark's questions, and their score",
        (
            "c3l test --config experiments/eval/pope.yaml --config experiments/hardware/cpu.yaml \\\n"
            "--model.lvlm.path shipped:scenes --data.questions runs/scenes-benchmarks/pope \\\n"
            "--data.images runs/scenes-benchmarks/images --data.prompt '{question}'",
        ),
        (),
        {**_ROUNDS, "data": "BenchmarkDataModule", "model": "EvaluationModule"},
    ),
}
