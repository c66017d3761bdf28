"""What the Markdown files say that can be checked: links lead somewhere, commands and experiment files are some."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_c3l.cli import main as command_line
from lightning_c3l.cli.class_names import SHORT_NAMES
from lightning_c3l.cli.parser import Parser
from lightning_c3l.rounds.templates import load_templates
from lightning_c3l.runs.config_file import with_class_paths
from tests.helpers import markdown
from tests.helpers.commandline import ROOT, parsed_config

COMMANDS = markdown.commands()
YAML = [block for block in markdown.blocks() if block.language == "yaml"]
# the module of the first experiment file of a command
MODULES = {
    "finetune": "lightning_c3l.modules.instruction_tuning.InstructionTuningModule",
    "eval": "lightning_c3l.modules.benchmark.EvaluationModule",
    "c3l": "lightning_c3l.modules.c3l.C3LModule",
}


class Parsed(BaseException):
    """A command line that its parser has taken."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the experiment files, and with those that the pages tell to write: blocks that begin `# NAME`."""
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    for block in YAML:
        if named := re.match(r"# (\S+\.yaml)\n", block.text):
            (tmp_path / named[1]).write_text(block.text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# pages that exist while the site is built
GENERATED = {ROOT / "docs" / "reference" / "classes.md"} | {
    ROOT / "docs" / "reference" / "verbs" / f"{verb}.md" for verb in ("fit", "predict", "test", *command_line.VERBS)
}


@pytest.mark.parametrize(("path", "target"), markdown.links())
def test_a_link_leads_to_a_file(path: Path, target: str) -> None:
    linked = (path.parent / target).resolve()
    assert linked.exists() or linked in GENERATED


def test_the_files_are_read() -> None:
    assert len(COMMANDS) > 20
    assert len(markdown.links()) > 50
    assert {words[0] for _, words in COMMANDS} >= {"fit", "test", "predict", "score", "select", "evaluate", "judge"}


@pytest.mark.parametrize(("file", "words"), [one for one in COMMANDS if one[1][0] in command_line.VERBS])
def test_a_command_of_a_verb_is_one(
    file: str, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = Parser.parse_args

    def stop(self: Parser, args: Any = None, *rest: Any, **kwargs: Any) -> Any:
        parse(self, args, *rest, **kwargs)
        raise Parsed

    monkeypatch.setattr(Parser, "parse_args", stop)
    with pytest.raises((SystemExit, Parsed)) as ended:
        import_module(f"lightning_c3l.cli.{command_line.VERBS[words[0]][0]}").main(words[1:])
    assert ended.type is Parsed, f"{file}: {capsys.readouterr().err}"


@pytest.mark.parametrize(("file", "words"), [one for one in COMMANDS if one[1][0] not in command_line.VERBS])
def test_a_command_of_a_trainer_method_is_one(
    file: str, words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if words == ["fit"]:
        return
    parsed = parsed_config(capsys, *(word for word in words if word != "--print_config"))
    first = Path(words[words.index("--config") + 1]).parent.name
    assert parsed["model"]["class_path"] == MODULES.get(first, MODULES["c3l"])


@pytest.mark.parametrize(("file", "target"), markdown.targets())
def test_a_target_is_one_of_the_makefile(file: str, target: str) -> None:
    known = re.findall(r"^([\w.%/-]+)(?: [\w-]+)*:(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert any(re.fullmatch(name.replace("%", r"[\w-]+"), target) for name in known)


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.file)
def test_a_yaml_block_is_what_it_shows(
    block: markdown.Block, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Experiment files of the project's classes are parsed, templates are loaded, anything else is YAML."""
    content, file = yaml.safe_load(block.text), tmp_path / "shown.yaml"
    file.write_text(block.text)
    if isinstance(content, list) and content and "kind" in content[0]:
        assert len(load_templates(str(file))) == len(content)
    elif isinstance(content, dict) and {"model", "data"} <= content.keys() and "class_path: my_" not in block.text:
        parsed = parsed_config(capsys, "fit", "--config", str(file))
        expected = with_class_paths(content, SHORT_NAMES)
        assert parsed["model"]["class_path"] == expected["model"]["class_path"]
        assert parsed["run"]["name"] == content["run"]["name"]
    else:
        assert content


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = (one.text for one in markdown.blocks() if (one.file, one.language) == ("README.md", "python"))
    exec(code.replace("count=20", "count=1").replace(", 40)", ", 4)"), {})
    assert len(yaml.safe_load((tmp_path / "vlit.json").read_text())) == 4


@pytest.mark.parametrize(
    "block", [block for block in markdown.blocks() if block.file.startswith("docs/")], ids=lambda block: block.file
)
def test_code_fits_beside_the_lists_of_contents(block: markdown.Block) -> None:
    """At 1300 pixels; what a program prints is wrapped."""
    assert block.language == "text" or max(map(len, block.text.splitlines()), default=0) <= 95
