"""What is wrong with a run is said before data is read and a model is loaded."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import Namespace

from lightning_c3l.cli.main import main
from lightning_c3l.cli.preflight import shorten
from lightning_c3l.lvlm.huggingface import model as huggingface
from tests.helpers.benchmark_files import write_benchmark
from tests.helpers.commandline import tiny_config, write_images


class ModelLoaded(Exception):
    """No model should be."""


@pytest.fixture
def work(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment with four images, in the working folder."""
    write_images(tmp_path / "images", 4)
    tiny_config(tmp_path, tiny_checkpoint)
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "empty").mkdir()

    def load(*_: object) -> None:
        raise ModelLoaded("a model is loaded")

    monkeypatch.setattr(huggingface, "load_checkpoint", load)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("data.images=nowhere", "nowhere: no such folder"),
        ("data.images=empty", "empty: no image"),
        ("data.images=images/*.gif", "images: nothing matches *.gif"),
        ("data.images=file", "file: is a single file"),
        ("data.images=shard-{0..1}.tar", "shard-0.tar: no such file"),
        ("data.images=some.parquet::image", "some.parquet: no such file"),
        ("data.images=list.txt", "list.txt: no such file"),
        ("data.images=instances.json::images", "instances.json: no such file"),
        ("data.images=scenes:count=0", "scenes:count=0: "),
        ("data.fresh=nowhere", "nowhere: no such folder"),
        ("data.held_out=nowhere", "nowhere: no such folder"),
        ("data.batch_size=0", "batch_size must be at least 1, not 0"),
        ("model.writing.templates=lost.yaml", "lost.yaml: no such template file"),
        ("model.writing.templates=file", "file: a template file is a list of entries with kind and text"),
        ("model.writing.per_image=5", "per_image must lie between 1 and 4, the number of kinds, not 5"),
        ("model.writing.sampling.samples=0", "sampling.samples must be at least 1, not 0"),
        ("model.loss.contrastive_weight=-1", "loss.contrastive_weight must be at least 0, not -1.0"),
        ("model.optimization.learning_rate=0", "optimization.learning_rate must be above 0, not 0.0"),
        (
            "i2c.reading=gpa",
            "i2c.reading must be one of answer, positions, vocabulary, gap, or module.attribute of your own",
        ),
        ("i2c.cap=0.5", "i2c.cap must be at least 1, not 0.5"),
        (
            "export.reading=gpa",
            "export.reading must be one of answer, positions, vocabulary, gap, or module.attribute of your own",
        ),
        ("export.near_duplicate=2", "export.near_duplicate must be above 0 and at most 1, not 2.0"),
        ("guard.images=1", "guard.images must be at least 2, so that each has another one, not 1"),
        ("run.checkpoint_every=0", "run.checkpoint_every must be at least 1, not 0"),
        ("run.wandb=a/b/c", "run.wandb must be a project, entity/project or null, not 'a/b/c'"),
        ("model.lvlm.path=a/folder/that/is/not/there", "a/folder/that/is/not/there: no such folder"),
        ("model.lvlm.path=empty", "empty: no config.json in this folder"),
        ("trainer.accelerator=cuda", "trainer.accelerator: cuda, but no GPU can be used here"),
    ],
)
def test_of_a_mistake_no_run_folder_is_left_and_no_model_is_loaded(work, option, said, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert refused(capsys, "fit", "--config", "tiny.yaml", f"--{option}").startswith(said)
    assert not (work / "runs").exists()


SERVED = [
    "--model.generator=ServedGenerator",
    "--model.generator.url=http://127.0.0.1:9",
    "--model.generator.model=base",
]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        # nothing listens at the port of the discard protocol
        ([], "http://127.0.0.1:9/version: cannot be reached"),
        (["--model.generator.url=127.0.0.1"], "generator.url: 127.0.0.1 must begin with http"),
        (["--model.generator.concurrency=0"], "generator.concurrency must be at least 1, not 0"),
        (
            ["--model.generator.api=openai"],
            "model.generator.api: openai generates with the weights",
        ),
        (["--model.lvlm.lora={rank: 2, vision: true}"], "model.lvlm.lora.vision: servers ignore"),
    ],
)
def test_servers_are_asked_before_a_model_is_loaded(work, options, said, capsys):
    assert refused(capsys, "fit", "--config", "tiny.yaml", *SERVED, *options).startswith(said)


def test_a_run_folder_that_cannot_be_made(work, capsys):
    assert "file/runs" in refused(capsys, "fit", "--config", "tiny.yaml", "--run.root=file/runs")


def test_predict_needs_its_own_images_alone(work, capsys):
    words = ["predict", "--config", "tiny.yaml", "--data.held_out=nowhere", "--data.fresh=nowhere"]
    assert refused(capsys, *words, "--data.images=lost").startswith("lost: no such folder")
    assert refused(capsys, *words) == "a model is loaded"


def test_records_are_read_before_a_model_is_loaded(work, capsys):
    config = yaml.safe_load((work / "tiny.yaml").read_text())
    config["model"] = {
        "class_path": "lightning_c3l.modules.instruction_tuning.InstructionTuningModule",
        "init_args": {"lvlm": config["model"]["init_args"]["lvlm"]},
    }
    config["data"] = {
        "class_path": "data_modules.instruction_tuning.InstructionDataModule",
        "init_args": {"path": "set.json"},
    }
    (work / "tune.yaml").write_text(yaml.safe_dump(config))
    assert "set.json" in refused(capsys, "fit", "--config", "tune.yaml")
    (work / "set.json").write_text(json.dumps([{"image": "lost.png"}]))
    assert refused(capsys, "fit", "--config", "tune.yaml").startswith("set.json: no record to train on")


def test_the_batch_size_of_a_benchmark_is_checked_before_a_model_is_loaded(work, capsys):
    config = yaml.safe_load((work / "tiny.yaml").read_text())
    lvlm = config["model"]["init_args"]["lvlm"]
    config["model"] = {"class_path": "EvaluationModule", "init_args": {"lvlm": lvlm, "batch_size": 0}}
    questions, images = write_benchmark(work / "set", "pope")
    data = {"benchmark": "pope", "questions": questions, "images": images}
    config["data"] = {"class_path": "BenchmarkDataModule", "init_args": data}
    (work / "pope.yaml").write_text(yaml.safe_dump(config))
    assert refused(capsys, "test", "--config", "pope.yaml") == "model.batch_size must be at least 1, not 0"


def configured(kind: str, limit: int | None, dev_run: Any) -> Namespace:
    data = Namespace(class_path=kind, init_args=Namespace(limit=limit))
    return Namespace(data=data, trainer=Namespace(fast_dev_run=dev_run))


@pytest.mark.parametrize("kind", ["data_modules.rounds.RoundDataModule", "data_modules.benchmark.BenchmarkDataModule"])
@pytest.mark.parametrize(
    ("limit", "dev_run", "left"), [(None, True, 4), (2, True, 2), (100, 3, 4), (None, False, None), (9, 0, 9)]
)
def test_a_dev_run_takes_a_few_images(kind, limit, dev_run, left):
    config = configured(kind, limit, dev_run)
    shorten(config)
    assert config.data.init_args.limit == left


def test_a_dev_run_of_tuning_is_left_to_lightning():
    config = Namespace(
        data=Namespace(
            class_path="data_modules.instruction_tuning.InstructionDataModule", init_args=Namespace(path="x.json")
        ),
        trainer=Namespace(fast_dev_run=True),
    )
    shorten(config)
    assert config.data.init_args == Namespace(path="x.json")
    shorten(Namespace(data=None, trainer=Namespace(fast_dev_run=True)))


def test_a_dev_run_goes_through_all_stages(tmp_path, tiny_checkpoint, capsys):
    write_images(tmp_path / "images", 12)
    write_images(tmp_path / "other", 12)
    config = yaml.safe_load(tiny_config(tmp_path, tiny_checkpoint).read_text())
    config["data"]["init_args"]["held_out"] = str(tmp_path / "other")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    words = ["fit", "--config", str(tmp_path / "tiny.yaml"), "--trainer.fast_dev_run", "true"]
    assert main(words) == 0, capsys.readouterr().err
    folder = tmp_path / "runs" / "tiny" / "version_0"
    summary = json.loads((folder / "summary.json").read_text())
    # 4 images, 4 kinds, 3 samples, in the round, in the comparison and in the data set
    assert [one["candidates"] for one in summary["rounds"]] == [48]
    assert [summary["writers"][name]["candidates"] for name in ("base", "tuned")] == [48, 48]
    assert summary["dataset"]["candidates"] == 48
    assert [state["figures"]["images"] for state in summary["guard"]["states"]] == [4, 4]
    assert json.loads((folder / "vlit.json").read_text())
    assert (folder / "report.html").is_file()
