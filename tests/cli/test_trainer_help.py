"""The help of Trainer methods: the project's own options, in their own words, and Lightning's apart."""

import re
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from callbacks import OPTION_GROUPS
from lightning_c3l.cli import kept_help
from lightning_c3l.cli.parser import Parser
from lightning_c3l.cli.trainer import run_trainer
from lightning_c3l.cli.trainer_help import options_parser, trainer_help
from lightning_c3l.modules.loss_config import LossConfig
from tests.helpers.commandline import ROOT, run_here

OPTION = re.compile(r"^  (?:-c FILE, )?--([\w.]+)", re.MULTILINE)


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches" / "lightning_c3l"


class Found(BaseException):
    """The parser of the LightningCLI, as it would parse."""


def real_options(verb: str) -> set[str]:
    def stop(parser: Any, *_: Any, **__: Any) -> None:
        raise Found(parser._subcommands_action.choices[verb])

    with patch.object(Parser, "parse_args", stop), pytest.raises(Found) as found:
        run_trainer([verb])
    parser = found.value.args[0]
    return {one.dest for one in parser._actions} - set(parser.groups) - {"help", "print_config"}


def test_all_options_of_fit_are_in_one_of_its_helps(capsys: pytest.CaptureFixture[str]) -> None:
    own, lightning = (set(OPTION.findall(run_here(capsys, "fit", word)[1])) for word in ("--help", "--help-trainer"))
    ours = ("run", *OPTION_GROUPS)
    real = {one for one in real_options("fit") if not one.endswith(".help")} | {"optimizer", "lr_scheduler"}
    shown = {one for one in own if one.partition(".")[0] in ours}
    assert shown == {one for one in real if one.partition(".")[0] in ours}
    assert real - {"data", "model"} <= own | lightning
    assert not [one for one in own if one.startswith("trainer") or one in ("ckpt_path", "seed_everything")]
    assert not [one for one in lightning if one.partition(".")[0] in (*ours, "data", "model")]


def test_the_usual_classes_are_shown_with_types_defaults_and_texts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")  # of the terminal, which lines fill up to 100 columns
    _, said = run_here(capsys, "fit", "--help")
    lines = said.splitlines()
    assert lines[0] == "example: python -m lightning_c3l fit"
    assert max(len(line) for line in lines if not line.startswith(" " * 9 + "python")) <= 100
    assert {"data.images", "model.lvlm.path", "model.lvlm.lora.rank", "model.writing.sampling.samples"} <= set(
        OPTION.findall(said)
    )
    at = lines.index("  --model.loss.temperature FLOAT")
    assert lines[at + 1].strip() == (
        f"tau of the contrastive term, except of the form `dpo` (default: {LossConfig().temperature})"
    )
    order = [lines.index(f"--{one}") for one in ("run.*:", "data.* (RoundDataModule):", "model.* (C3LModule):")]
    order += [lines.index(f"--{one}") for one in ("model.lvlm.* (HuggingFaceLVLM):", "model.loss.*:")]
    assert order == sorted(order)


def test_what_a_verb_does_not_use_is_not_shown() -> None:
    assert "--exposure.measure" not in options_parser("predict").format_help()
    questions = options_parser("test").format_help()
    assert "--data.benchmark TEXT" in questions
    assert "--i2c." not in questions


def test_chosen_classes_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--model.frozen" in trainer_help(["fit", "--model", "InstructionTuningModule", "--help"])
    mixed = trainer_help(["fit", "--config", str(ROOT / "experiments/finetune/llava15_7b_mixed.yaml"), "--help"])
    assert "--data.* (InstructionDataModule):" in mixed
    assert "--data.records.* (MixedRecords):" in mixed
    given = "{class_path: InstructionTuningModule, init_args: {frozen: [head]}}"
    assert "--model.frozen" in trainer_help(["fit", "--model", given, "--help"])
    assert "--model.generator.concurrency" in trainer_help(["fit", "--model.generator=ServedGenerator", "-h"])
    # a class without options stays the value of its option, and null is no class
    assert "--data.truth CLASS|null" in trainer_help(["fit", "--data.init_args.truth", "SceneTruth", "-h"])
    assert "--model.lvlm.lora TEXT|null" not in trainer_help(["fit", "--model.lvlm.lora", "null", "-h"])
    (tmp_path / "own_images.py").write_text(
        'class Images:\n    """Mine.\n\n    Args:\n        shelf: where.\n    """\n\n'
        "    def __init__(self, shelf: int = 7) -> None: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "--data.shelf INT" in trainer_help(["fit", "--data.class_path", "own_images.Images", "-h"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.Images", "error: there is no class nowhere.Images (No module named 'nowhere'); check the name"),
        ("lightning_c3l.records.Nothing", "error: there is no class lightning_c3l.records.Nothing (module"),
        ("lightning_c3l.records.exchange", "error: lightning_c3l.records.exchange is no class"),
        ("Nothing", "error: there is no class Nothing; check"),
    ],
)
def test_a_class_that_is_not_there_is_one_line(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = run_here(capsys, "fit", "--model", name, "--help")
    assert (status, printed.count("\n")) == (2, 1)
    assert printed.startswith(said)


def test_a_file_that_is_no_yaml_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.yaml").write_text("a: [1,\nb: {")
    status, printed = run_here(capsys, "fit", "--config", str(tmp_path / "x.yaml"), "--help")
    assert (status, printed.count("\n")) == (2, 1)
    assert printed.startswith(f"error: {tmp_path}/x.yaml: no YAML: ")


def test_help_of_a_class_needs_no_experiment_file(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = run_here(capsys, "fit", "--model.help", "InstructionTuningModule")
    assert status == 0
    assert "--model.frozen" in said


def test_the_usual_help_is_kept_until_a_source_changes(
    caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source := tmp_path / "project" / "callbacks" / "one.py").parent.mkdir(parents=True)
    source.write_text("1")
    monkeypatch.setattr(kept_help, "_ROOT", tmp_path / "project")
    texts, lightnings = iter("abcdef"), count()
    monkeypatch.setattr("lightning_c3l.cli.trainer_help.trainer_help", lambda words: next(texts))
    assert [kept_help.help_text(["fit", "--help"]) for _ in range(2)] == ["a", "a"]
    assert kept_help.help_text(["test", "--help"]) == "b"
    # Lightning's options are the same whatever else the words say
    monkeypatch.setattr("lightning_c3l.cli.trainer_help.lightning_help", lambda verb: f"{verb} {next(lightnings)}")
    words = [["fit", "--help-trainer"], ["fit", "--config", "x", "--help-trainer"], ["test", "--help-trainer"]]
    assert [kept_help.help_text(own) for own in words] == ["fit 0", "fit 0", "test 1"]
    # other classes may be chosen
    assert kept_help.help_text(["fit", "--model", "C3LModule", "--help"]) == "c"
    source.write_text("22")
    assert [kept_help.help_text(["fit", "--help"]) for _ in range(2)] == ["d", "d"]
    monkeypatch.setenv("COLUMNS", "60")
    assert kept_help.help_text(["fit", "--help"]) == "e"
    assert sorted(file.name for file in caches.iterdir()) == [
        f"{name}-help.txt" for name in ("fit", "fit-lightning", "test", "test-lightning")
    ]
    # it is made each time where it cannot be kept
    monkeypatch.setenv("XDG_CACHE_HOME", str(source))
    assert kept_help.help_text(["fit", "--help"]) == "f"
