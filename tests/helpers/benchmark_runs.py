"""Runs of `test` on a small benchmark, in process or by an experiment file."""

import json
from pathlib import Path
from typing import Any

import yaml
from lightning import Trainer

from callbacks.question_progress import QuestionProgress
from data_modules.benchmark import BenchmarkDataModule
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.modules.benchmark import EvaluationModule


def benchmark_config(folder: Path, checkpoint: Path, name: str, files: tuple[str, str], **data: Any) -> Path:
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


def run_benchmark(
    folder: Path,
    lvlm: HuggingFaceLVLM,
    files: tuple[str, str],
    name: str,
    data: dict[str, Any] | None = None,
    checkpoint: Path | None = None,
    trainer: dict[str, Any] | None = None,
    **module: Any,
) -> dict[str, float]:
    """Answer a benchmark in a run folder; returns what was logged."""
    options: dict[str, Any] = {"num_workers": 1, **(data or {})}
    engine = Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        callbacks=[QuestionProgress()],
        **(trainer or {}),
    )
    module_ = EvaluationModule(lvlm, **{"batch_size": 3, "max_new_tokens": 6, **module})
    (logged,) = engine.test(
        module_, datamodule=BenchmarkDataModule(name, *files, **options), ckpt_path=checkpoint, verbose=False
    )
    return dict(logged)


def answer_rows(folder: Path, name: str = "answers.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def headline(folder: Path, protocol: str) -> Any:
    return json.loads((folder / "evaluation.json").read_text())["protocols"][protocol]["headline"]
