"""The examples that the help of each verb begins with can be typed: their verb's own parser accepts them."""

import inspect
import shlex
from dataclasses import is_dataclass
from importlib import import_module
from typing import Any

import pytest
from docstring_parser import parse as parse_docstring

from lightning_c3l.cli.main import VERBS, main
from lightning_c3l.cli.options import parse_options
from lightning_c3l.cli.trainer_verbs import TRAINER_VERBS
from tests.helpers.commandline import ROOT, parsed_config


def words_of(example: str, verb: str) -> list[str]:
    """The words after the verb."""
    words = shlex.split(example.replace("\\\n", " "))
    assert words[:2] == ["c3l", verb]
    return words[2:]


class Parsed(BaseException):
    """Where a verb has parsed its options, and would begin."""

    def __init__(self, options: Any) -> None:
        self.options = options


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_examples_of_a_verb(verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = import_module(f"lightning_c3l.cli.{VERBS[verb][0]}")
    with pytest.raises(SystemExit):
        module.main(["--help"])
    first = capsys.readouterr().out.splitlines()[0]

    def parse(*given: Any) -> None:
        raise Parsed(parse_options(*given))

    monkeypatch.setattr(module, "parse_options", parse)
    with pytest.raises(Parsed) as found:
        module.main(shlex.split(first.removeprefix("example: python -m lightning_c3l"))[1:])
    assert is_dataclass(found.value.options)
    about = parse_docstring(inspect.cleandoc(type(found.value.options).__doc__ or ""))
    examples = [line for one in about.examples for line in str(one.description).splitlines()]
    assert first == f"example: python -m lightning_c3l {examples[0].removeprefix('c3l ')}"
    for example in examples:
        with pytest.raises(Parsed):
            module.main(words_of(example.partition(" > ")[0], verb))


@pytest.mark.parametrize("verb", sorted(TRAINER_VERBS))
def test_the_examples_of_a_trainer_method(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    for example in TRAINER_VERBS[verb].examples:
        # `c3l fit` alone is the demonstration
        words = words_of(example, verb) or ["--config", "experiments/demo.yaml"]
        assert parsed_config(capsys, verb, *words)["data"]["class_path"]


def test_files_of_the_examples_are_those_of_the_project() -> None:
    """Experiment files that an example names are there; what a run of an example before it makes need not be."""
    for verb in TRAINER_VERBS.values():
        for example in verb.examples:
            for word in shlex.split(example.replace("\\\n", " ")):
                assert not word.startswith("experiments/") or (ROOT / word).is_file(), word


def test_an_overview_does_not_parse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "doctor" in capsys.readouterr().out
