"""The overview of verbs, and what all of them share."""

import io
import subprocess
import sys
from types import ModuleType

import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_c3l.cli import main as entry
from lightning_c3l.cli.main import VERBS


def named(overview: str) -> list[str]:
    return [line.split()[0] for line in overview.splitlines() if line.startswith("  ")]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_every_verb_is_in_the_overview(words, capsys):
    assert entry.main(words) == 0
    assert sorted(named(capsys.readouterr().out)) == sorted(["fit", "predict", "test", *VERBS])


def test_the_module_runs_the_words_of_its_command_line() -> None:
    words = [sys.executable, "-m", "lightning_c3l"]
    bare, unknown = (subprocess.run([*words, *more], capture_output=True, text=True) for more in ([], ["fti"]))
    assert (bare.returncode, unknown.returncode) == (0, 2)
    assert named(bare.stdout) == named(unknown.stderr)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("fti", "error: 'fti' is no verb; did you mean fit?"),
        ("chekc-scores", "error: 'chekc-scores' is no verb; did you mean check-scores?"),
        ("xyz", "error: 'xyz' is no verb"),
    ],
)
def test_an_unknown_verb_lists_all_of_them(word, said, capsys):
    assert entry.main([word, "--config", "x.yaml"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[0] == said
    assert sorted(named(printed.err)) == sorted(["fit", "predict", "test", *VERBS])


def test_the_version_is_that_of_the_package(capsys):
    assert entry.main(["--version"]) == 0
    assert capsys.readouterr().out == "lightning_c3l 0.1.0\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_the_letters_gets_their_escapes(encoding, monkeypatch, tmp_path):
    """A verb that prints all that it can: the table of a benchmark, and an error with a file's name."""
    bytes_of = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, stream in bytes_of.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(stream, encoding=encoding))

    def verb() -> int:
        print("S(I\u00b2C) \u65e5\u672c \U0001f600 \udc80")
        raise ValueError("\u65e5.json: \udc80 no")

    monkeypatch.setitem(sys.modules, "lightning_c3l.cli.made", type(sys)("made"))
    monkeypatch.setattr(sys.modules["lightning_c3l.cli.made"], "main", lambda words: verb(), raising=False)
    monkeypatch.setitem(VERBS, "made", ("made", "printing"))
    assert entry.main(["made"]) == 2
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    square = "\u00b2".encode(encoding, "backslashreplace")
    assert bytes_of["stdout"].getvalue() == b"S(I" + square + b"C) \\u65e5\\u672c \\U0001f600 \\udc80\n"
    assert bytes_of["stderr"].getvalue() == b"error: \\u65e5.json: [U+DC80] no\n"


def test_ctrl_c_is_status_130_and_sigterm_143():
    def pressed() -> int:
        raise KeyboardInterrupt

    def caught_by_lightning() -> int:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    def told_to_stop() -> int:
        raise SIGTERMException(143)

    assert entry._guarded(pressed) == entry._guarded(caught_by_lightning) == 130
    assert entry._guarded(told_to_stop) == 143


def test_a_torchvision_for_another_torch_is_one_line(monkeypatch, capsys):
    """Lightning's import of torchmetrics fails by it."""

    def imported() -> int:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("lightning_c3l.lvlm.installation.version", lambda _: "9.9")
    assert entry._guarded(imported) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: torchvision 9.9 does not fit torch ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", [["score", "--help"], ["fit", "--print_config"]])
def test_ctrl_c_while_a_verb_is_imported_is_status_130(words, monkeypatch):
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "import_module", pressed)
    # a module without the function that is imported from it asks for it here
    module = ModuleType("lightning_c3l.cli.trainer")
    module.__getattr__ = pressed  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "lightning_c3l.cli.trainer", module)
    assert entry.main(words) == 130


@pytest.mark.parametrize(
    ("target", "trained"), [("demo-images", "easy_vqa_base"), ("exp-easy-vqa", "easy_vqa_answers")]
)
def test_an_interrupted_base_goes_on_and_rounds_begin_anew(target, trained):
    """The commands of the target, as make prints them."""
    done = subprocess.run(["make", "-n", target], cwd=entry.DEMO.parents[1], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    (base,) = [line for line in lines if f"experiments/{trained}.yaml" in line]
    assert base.endswith("--ckpt_path last")
    assert not any("--ckpt_path" in line for line in lines if line != base)
