"""Dotted paths of the user's own: what they find, and what is said of those that find nothing."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_modules.formats.own_dialect import own_dialect
from data_modules.images.sources import open_images
from data_modules.scenes import parse_scenes
from lightning_c3l import extensions
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.evaluation.judging.choose import JudgeChoice, make_judge
from lightning_c3l.functional.i2c import reading_function
from lightning_c3l.modules.contrast import form_of
from tests.helpers.commandline import ROOT

OURS = {"one": 1, "two": 2}
THEIRS = """
class Base: pass
class Derived(Base): pass
def add(a, b, *, c=0): return a
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, which no entry of `sys.path` names yet."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "theirs.py").write_text(THEIRS)
    (tmp_path / "broken.py").write_text("import not_installed_here\n")
    (tmp_path / "wrong.py").write_text("raise RuntimeError('first line\\nsecond line')\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('a file of the current folder hides no library')\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def choose(name: str) -> object:
    return extensions.choose("--number", name, OURS, "number", extensions.takes(("a", "b")))


def test_ours_come_first_and_nothing_is_imported_for_them() -> None:
    assert choose("two") == 2
    assert "theirs" not in sys.modules


def test_a_path_is_found_in_the_current_folder() -> None:
    assert choose("theirs.add") is sys.modules["theirs"].add


def test_a_path_is_found_in_the_environment_before_the_current_folder() -> None:
    assert extensions.load("--x", "json.dumps", "x", extensions.takes(("value",))) is json.dumps


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("three", "--number must be one of one, two, or module.attribute of your own number, not 'three'"),
        ("../theirs", "--number must be one of one, two, or module.attribute of your own number, not '../theirs'"),
        ("nothing.add", "--number nothing.add: no module nothing in the current folder or the environment"),
        ("theirs.sub.add", "--number theirs.sub.add: no module theirs.sub in the current folder or the environment"),
        ("theirs.ad", "--number theirs.ad: module theirs has no attribute ad; did you mean add?"),
        ("broken.add", "--number broken.add: broken needs the module not_installed_here, which is missing"),
        ("wrong.add", "--number wrong.add: importing wrong failed: RuntimeError: first line second line"),
        (
            "theirs.__name__",
            "--number theirs.__name__: cannot be used as a number: it is a str; write a function or class that can be "
            "called with (a, b) (see docs/extending/number.md)",
        ),
        (
            "theirs.Base",
            "--number theirs.Base: cannot be used as a number: it must be possible to call it with (a, b), but: too "
            "many positional arguments (see docs/extending/number.md)",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(name: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        choose(name)
    assert str(caught.value) == said


def test_a_class_must_derive() -> None:
    base = extensions.load("--x", "theirs.Base", "x", lambda found: "")
    assert extensions.load("--x", "theirs.Derived", "x", extensions.derives_from(base)).__name__ == "Derived"
    for name in ("Base", "add"):
        said = rf"--x theirs.{name}: cannot be used as a x: write a class that derives from Base of theirs \(see"
        with pytest.raises(ValueError, match=said):
            extensions.load("--x", f"theirs.{name}", "x", extensions.derives_from(base))


@pytest.mark.parametrize(
    ("page", "load"),
    [
        ("reading", lambda: reading_function("i2c.reading", "builtins.len")),
        ("loss", lambda: form_of("model.loss.form", "builtins.len")),
        ("benchmark", lambda: benchmarks.choose("data.benchmark", "builtins.list")),
        ("dialect", lambda: own_dialect("--dialect", "builtins.len")),
        ("dialect", lambda: own_dialect("--dialect", "builtins.list")),
        ("judge", lambda: make_judge(JudgeChoice(judge_class="builtins.len"), None)),
        ("judge", lambda: make_judge(JudgeChoice(judge_class="builtins.list"), None)),
        ("source", lambda: open_images("builtins.__name__:x", Path())),
        ("source", lambda: open_images("builtins.str:x", Path())),
        ("world", lambda: parse_scenes("scenes:count=2,world=builtins.len")),
        ("world", lambda: parse_scenes("scenes:count=2,world=builtins.list")),
    ],
)
def test_whoever_gives_something_else_is_sent_to_a_page_that_exists(page: str, load: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=rf" builtins\.\w+: cannot be used as an? .*see docs/extending/{page}\.md\)$"):
        load()
    assert (ROOT / f"docs/extending/{page}.md").is_file()


def test_names_of_data_are_told_from_paths_by_their_form_alone() -> None:
    assert [extensions.is_path(name) for name in ("a.b", "a.b.c", "a", "a.", ".a", "1.5", "a b.c", "")] == [
        *(True, True),
        *(False,) * 6,
    ]
