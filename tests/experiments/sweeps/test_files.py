"""The sweep files, expanded by the code of W&B's agent: the parser takes what the agent gives it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb import wandb_agent
from wandb.sdk.launch.sweeps.utils import load_sweep_config

from experiments.sweeps.command import trial_command
from experiments.sweeps.distributions import Parameter
from experiments.sweeps.sweep_file import Sweep, read_sweep
from tests.helpers.commandline import ROOT, parsed_config

FILES = sorted((ROOT / "experiments" / "sweeps").glob("*.yaml"))
MACROS = ("args", "args_no_equals", "args_no_hyphens", "args_no_boolean_flags", "args_json")


@pytest.fixture
def agents_words(tmp_path, monkeypatch) -> Callable[..., list[str]]:
    """The command that W&B's agent starts for a trial, without a server and without starting it."""
    started = list[list[str]]()

    class Process:
        def __init__(self, command: list[str], env: dict[str, str], forward_signals: bool) -> None:
            started.append(command)

    monkeypatch.setattr(wandb_agent, "AgentProcess", Process)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        # the agent sets them; as they were afterwards
        monkeypatch.setenv(name, "")

    def expand(command: list[str], program: str, values: dict[str, Any]) -> list[str]:
        agent = wandb_agent.Agent(api=None, queue=None)
        agent._sweep_command = list(command)
        args = {name: {"value": value} for name, value in values.items()}
        agent._command_run({"run_id": "run1", "program": program, "args": args})
        return started.pop()

    return expand


def parsed(capsys: pytest.CaptureFixture[str], words: list[str]) -> Any:
    """What the real parser makes of a trial's command; nothing is built."""
    return parsed_config(capsys, *words[words.index("fit") :])


def leaf(tree: Any, name: str) -> Any:
    for key in name.split("."):
        tree = tree[key]
    return tree


def ends(parameter: Parameter) -> list[Any]:
    """All values of a list, or the bounds of an interval."""
    return list(parameter.settings.get("values") or (parameter.settings["min"], parameter.settings["max"]))


def extremes(sweep: Sweep) -> list[dict[str, Any]]:
    """Trials in which each value of each list and each bound occurs, and one that is drawn."""
    columns = {one.name: ends(one) for one in sweep.parameters}
    longest = max(map(len, columns.values()))
    trials = [{name: values[row % len(values)] for name, values in columns.items()} for row in range(longest)]
    return [*trials, sweep.trials(count=1, seed=3)[0]]


def test_there_are_three_files():
    assert [path.name for path in FILES] == ["readings_grid.yaml", "recipe_bayes.yaml", "writing_random.yaml"]
    assert [read_sweep(path).method for path in FILES] == ["grid", "bayes", "random"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_parser_takes_every_flag_as_the_agent_writes_it(file, agents_words, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    sweep = read_sweep(file)
    for values in extremes(sweep):
        words = agents_words(list(sweep.command), sweep.program, values)
        assert words[:5] == ["/usr/bin/env", "python", "-m", "lightning_c3l", "fit"]
        config = parsed(capsys, words)
        # the names are those of the nested configuration, so that both are one column on W&B
        assert {name: leaf(config, name) for name in values} == values
        assert config["ckpt_path"] == "last"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_what_its_header_and_wandb_need(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = load_sweep_config(str(file))
    assert found["name"] == file.stem
    assert found["metric"] == {"name": "final/held_out_criterion", "goal": "maximize"}
    assert Path(found["program"]).is_file()
    assert Path(found["command"][found["command"].index("--config") + 1]).is_file()


def test_early_termination_looks_at_states_that_a_trial_has():
    """W&B's band b compares value b + 1 of the metric; there is one after each of the four trainings."""
    found = yaml.safe_load((ROOT / "experiments" / "sweeps" / "recipe_bayes.yaml").read_text())
    stops = found["early_terminate"]
    assert stops["type"] == "hyperband"
    rounds = next(int(word.partition("=")[2]) for word in found["command"] if word.startswith("--trainer.max_epochs="))
    bands = [stops["min_iter"] * stops["eta"] ** power for power in range(5)]
    assert [band + 1 for band in bands if band < rounds] == [2, 3]


# what sweeps hold: flags, null, floats in every notation, lists, texts with blanks and signs, and a nested mapping
ANYTHING = {
    "exposure.measure": False,
    "exposure.control": True,
    "i2c.images_per_round": None,
    "i2c.cap": 1e16,
    "model.init_args.optimization.learning_rate": 1e-05,
    "model.init_args.loss.contrastive_weight": 0,
    "model.init_args.writing.begin": "Q: what? A",
    "trainer.devices": [0],
    "data.init_args.images": "scenes:count=4,follow=0.2,seed=1",
}


def test_the_parser_takes_all_kinds_of_values(agents_words, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    command = [
        "${env}",
        "${interpreter}",
        "-m",
        "lightning_c3l",
        "fit",
        "--config",
        "experiments/demo_corners.yaml",
        "${args}",
    ]
    config = parsed(capsys, agents_words(command, "", ANYTHING))
    assert {name: leaf(config, name) for name in ANYTHING} == ANYTHING


def test_the_parser_takes_nested_parameters(agents_words, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    command = ["${interpreter}", "-m", "lightning_c3l", "fit", "--config", "experiments/demo_corners.yaml", "${args}"]
    config = parsed(capsys, agents_words(command, "", {"i2c": {"margin": 0.5, "reading": "gap"}}))
    assert (config["i2c"]["margin"], config["i2c"]["reading"]) == (0.5, "gap")
    # what the nested value does not name stays as the experiment says
    assert config["i2c"]["images_per_round"] == 200


@pytest.mark.parametrize("macro", MACROS)
def test_a_local_trial_gets_the_same_words(macro, agents_words, monkeypatch):
    monkeypatch.setenv("SOME_FOLDER", "a folder")
    command = [
        "${env}",
        "${interpreter}",
        "${program}",
        "--at=${envvar:SOME_FOLDER}",
        "${envvar:UNSET_1}",
        f"${{{macro}}}",
    ]
    expected = agents_words(command, "train.py", ANYTHING)
    found = trial_command(command, "train.py", ANYTHING)
    assert expected[1] == "python"
    assert Path(found[1]).is_absolute()
    assert [found[0], *found[2:]] == [expected[0], *expected[2:]]


def test_a_macro_that_is_not_known():
    with pytest.raises(ValueError, match=r"^command: \$\{args_append_hydra\} is not known here; known are env, "):
        trial_command(["${interpreter}", "${args_append_hydra}"], "", {})


def test_the_commands_of_the_headers_are_targets():
    targets = (ROOT / "Makefile").read_text()
    for file in FILES:
        (line,) = (line for line in file.read_text().splitlines() if line.startswith("# command"))
        found = re.findall(r"make (sweep-local-|sweep-)(\w+)", line)
        assert found
        for rule, name in found:
            assert f"\n{rule}%:" in targets
            assert name == file.stem
