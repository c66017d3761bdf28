"""Experiment files that ask a benchmark of a small checkpoint, for tests through the command line."""

from pathlib import Path
from typing import Any

import yaml


def asking_config(folder: Path, checkpoint: Path, name: str, files: tuple[str, str], **data: Any) -> Path:
    """A file for `test`, its runs in a folder `runs` beside it."""
    questions, images = files
    config = {
        "run": {"root": str(folder / "runs"), "name": name, "wandb": None},
        "model": {
            "class_path": "lightning_c3l.modules.benchmark.EvaluationModule",
            "init_args": {
                "lvlm": {
                    "class_path": "lightning_c3l.lvlm.huggingface.HuggingFaceLVLM",
                    "init_args": {"path": str(checkpoint), "lora": None, "keep_reference": False},
                },
                "batch_size": 4,
                "max_new_tokens": 6,
            },
        },
        "data": {
            "class_path": "data_modules.benchmark.BenchmarkDataModule",
            "init_args": {"benchmark": name, "questions": questions, "images": images, "num_workers": 1, **data},
        },
        "trainer": {"accelerator": "cpu", "devices": 1, "enable_model_summary": False},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
