"""Options as they are typed and as files hold them; nothing is built."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_c3l.cli.trainer import run_trainer
from tests.helpers.commandline import ROOT, parsed_config

DEMO = ("fit", "--config", str(ROOT / "experiments" / "demo.yaml"))
POPE = ("test", "--config", str(ROOT / "experiments" / "eval" / "pope.yaml"))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as left:
        run_trainer([*words])
    assert left.value.code == 2
    line, *more = capsys.readouterr().err.splitlines()
    assert not more
    return line


def changed(folder: Path, name: str, value: Any) -> tuple[str, str, str]:
    """The demonstration with one value changed, as a file of its own."""
    config = inner = yaml.safe_load(Path(DEMO[2]).read_text())
    *groups, last = name.split(".")
    for group in groups:
        inner = inner.setdefault(group, {})
    inner[last] = value
    (folder / "changed.yaml").write_text(yaml.safe_dump(config))
    return ("fit", "--config", str(folder / "changed.yaml"))


# nested in no class, in one and in two
TEXT_OPTIONS = ("run.root", "run.name", "model.writing.begin", "model.writing.templates", "model.lvlm.path")
TEXTS = ("Q: what", "Question: {question}", "{a}", "[x]", "yes", "null", "None", "~", "1e3", "5", "1.0", "'", "--x", "")


@pytest.mark.parametrize("first", range(0, len(TEXTS), len(TEXT_OPTIONS)))
def test_texts_stay_texts_on_the_command_line_and_in_the_file_that_is_written(capsys, tmp_path, first):
    texts = dict(zip(TEXT_OPTIONS, TEXTS[first:], strict=False))
    file = tmp_path / "config.yaml"
    with pytest.raises(SystemExit):
        run_trainer([*DEMO, *(f"--{name}={text}" for name, text in texts.items()), "--print_config"])
    file.write_text(capsys.readouterr().out)
    with pytest.raises(SystemExit):
        run_trainer(["fit", "--config", str(file), "--print_config"])
    again = capsys.readouterr().out
    for config in map(yaml.safe_load, (file.read_text(), again)):
        model = config["model"]["init_args"]
        groups = {"run": config["run"], "model.writing": model["writing"], "model.lvlm": model["lvlm"]["init_args"]}
        assert {name: groups[name.rpartition(".")[0]][name.rpartition(".")[2]] for name in texts} == texts


def test_texts_of_an_option_that_may_be_null_stay_texts(capsys):
    for text in ("Question: {question}", "Answer [yes]: {question}", "1e3 {question}"):
        assert parsed_config(capsys, *POPE, "--data.prompt", text)["data"]["init_args"]["prompt"] == text
    listed = parsed_config(capsys, *POPE, '--data.questions=["a.json", "b: c.json"]')
    assert listed["data"]["init_args"]["questions"] == ["a.json", "b: c.json"]


@pytest.mark.parametrize("null", ["null", "None", "~"])
def test_null_can_be_given_for_what_may_be_null(capsys, null):
    options = ["model.lvlm.lora", "model.writing.per_image", "data.held_out", "data.truth", "data.limit"]
    options += [
        "i2c.images_per_round",
        "run.wandb",
        "run.version",
        "export.reading",
        "trainer.logger",
        "trainer.max_time",
    ]
    words = [word for name in options[::2] for word in (f"--{name}", null)]
    config = parsed_config(capsys, *DEMO, *words, *(f"--{name}={null}" for name in options[1::2]))
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    assert model["lvlm"]["init_args"]["lora"] is None
    assert model["writing"]["per_image"] is None
    assert [data[name] for name in ("held_out", "truth", "limit")] == [None] * 3
    assert config["i2c"]["images_per_round"] is None
    assert (config["run"]["wandb"], config["run"]["version"]) == (None, None)
    assert config["export"]["reading"] is None
    assert (config["trainer"]["logger"], config["trainer"]["max_time"]) == (None, None)


def test_null_reaches_a_class_three_levels_down(capsys):
    words = ("fit", "--config", str(ROOT / "experiments" / "finetune" / "scenes.yaml"))
    words += (
        "--data.path=null",
        "--data.records=data_modules.tuning_sets.FileRecords",
        "--data.records.path=a: b.json",
    )
    for null in ("null", "None"):
        config = parsed_config(capsys, *words, f"--data.records.weights={null}", "--data.records.images", null)
        records = config["data"]["init_args"]["records"]["init_args"]
        assert records == {"path": "a: b.json", "images": None, "weights": None, "read_as": None}


def test_none_in_a_file_is_null_for_what_may_be_null(capsys, tmp_path):
    assert parsed_config(capsys, *changed(tmp_path, "run.wandb", "None"))["run"]["wandb"] is None
    config = parsed_config(capsys, *changed(tmp_path, "model.init_args.writing.per_image", "None"))
    assert config["model"]["init_args"]["writing"]["per_image"] is None


def test_files_interpolate(capsys, tmp_path):
    words = changed(tmp_path, "model.init_args.writing.begin", "${fit.run.name}: ${.templates}")
    config = parsed_config(capsys, *words)
    assert config["model"]["init_args"]["writing"]["begin"] == "demo: park"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trainer.max_epoks=3"], "--trainer.max_epoks: no such option; did you mean --trainer.max_epochs?"),
        (["--max_epochs", "3"], "--max_epochs: no such option; did you mean --trainer.max_epochs?"),
        # an abbreviation is none of them
        (["--i2c.readin=gap"], "--i2c.readin: no such option; did you mean --i2c.reading?"),
        (["--dta.batch_size=3"], "--dta.batch_size: no such option; did you mean --data.batch_size?"),
        (
            ["--model.loss.contrastive_wieght=0.1"],
            "--model.loss.contrastive_wieght: no such option; did you mean --model.loss.contrastive_weight?",
        ),
        (
            ["--model.lvlm.lora.rnak", "3"],
            "--model.lvlm.lora.rnak: no such option; did you mean --model.lvlm.lora.rank?",
        ),
        (["--zzz", "3"], "--zzz: no such option"),
        (["--run.name", "my", "run"], "'run' belongs to no option; a value with blanks needs quotes"),
        (["--i2c.margin=big"], "--i2c.margin: must be float, not big"),
        (["--model.loss.temperature=hot"], "--model.loss.temperature: must be float, not hot"),
        (["--model.lvlm.lora.rank=abc"], "--model.lvlm.lora.rank: must be int, not abc"),
        (["--model.writing.per_image=all"], "--model.writing.per_image: must be int or null, not all"),
        (["--i2c.scorer=refrence"], "--i2c.scorer: must be one of 'reference', 'current', not refrence"),
        (
            ["--model.lvlm=torch.nn.Linear"],
            "--model.lvlm: the class torch.nn.Linear is not a RoundLVLM; use HuggingFaceLVLM, or see "
            "lightning_c3l/lvlm/base.py",
        ),
        (
            ["--model.lvlm=HuggingFaceLVM"],
            "--model.lvlm: there is no class HuggingFaceLVM; check the name, or give its dotted import path",
        ),
        (["--model=torch.nn.Linear"], "--model: the class torch.nn.Linear is not a LightningModule"),
        (["--config=lost.yaml"], f"--config: File does not exist: '{Path.cwd()}/lost.yaml'"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(capsys, words, said):
    assert refused(capsys, *DEMO, *words) == f"error: {said}"


def test_without_an_experiment_file_its_option_is_named(capsys):
    said = "error: --data, --model: missing; give an experiment file with --config"
    assert refused(capsys, "fit", "--trainer.max_epochs", "1") == said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("trainer.max_epoks", 3, "--trainer.max_epoks: no such option; did you mean --trainer.max_epochs?"),
        ("modle", 3, "--modle: no such option; did you mean --model?"),
        (
            "model.init_args.lvlm.init_args.pth",
            "x",
            "{file}: --model.lvlm.pth: no such option; did you mean --model.lvlm.path?",
        ),
        ("model.init_args.loss.temperature", "hot", "{file}: --model.loss.temperature: must be float, not hot"),
        (
            "run.name",
            1000.0,
            "{file}: --run.name: must be str, not 1000.0 (a text that looks like something else needs quotes)",
        ),
        (
            "model.class_path",
            "lightning_c3l.modules.c3l.C3LModul",
            "{file}: --model: module 'lightning_c3l.modules.c3l' has no attribute 'C3LModul'",
        ),
    ],
)
def test_a_wrong_key_of_a_file_is_one_line_that_names_it(capsys, tmp_path, name, value, said):
    words = changed(tmp_path, name, value)
    assert refused(capsys, *words) == f"error: {said.format(file=words[2])}"


def test_a_file_that_is_no_yaml_or_no_text_is_named(capsys, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("a: [1,\nb: {")
    assert refused(capsys, "fit", "--config", str(file)).startswith(f"error: {file}: Problems parsing config")
    file.write_bytes(b"a: \xff")
    assert refused(capsys, "fit", "--config", str(file)) == f"error: {file}: not UTF-8 text"
