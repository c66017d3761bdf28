"""Messages in one line."""

import errno
import os

import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_c3l.cli import errors
from lightning_c3l.cli.errors import innermost, os_reason, plain_reason
from tests.helpers.commandline import run_here

UNION = (
    "Does not validate against any of the Union subtypes\nSubtypes: [{}, <class 'NoneType'>]\n"
    "Errors:\n  - {}\n  - Expected a <class 'NoneType'>\nGiven value type: <class 'str'>\nGiven value: {}"
)


def chain(*messages: str) -> Exception:
    """Exceptions as jsonargparse raises them, the innermost one last."""
    error: Exception | None = None
    for message in reversed(messages):
        outer = ValueError(message)
        outer.__cause__ = error
        error = outer
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        ("nothing to say", "nothing to say"),
        ("two\nlines  here", "two lines here"),
        ("\x1b[31mred", "[U+001B][31mred"),
    ],
)
def test_a_message_in_one_line(message: str, plain: str) -> None:
    assert plain_reason(message) == plain
    assert innermost(ValueError(message)) == ("", plain)


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        # a class that cannot be built
        ([UNION.format("x.Data", "[Errno 2] No 'x'", "Namespace()"), "[Errno 2] No 'x'"], ("", "[Errno 2] No 'x'")),
        (
            [
                'Parser key "model":\n  a',
                UNION.format("x.Model", "a", "b"),
                "Problem with given class_path 'x':\n a",
                "a",
            ],
            ("model", "a"),
        ),
        # an exception of ours that was raised from another one
        (["x.json: no record to train on", "[Errno 2] No 'x'"], ("", "x.json: no record to train on")),
        # a parser repeats what its action said
        (['Parser key "a.b":\n  no', 'Parser key "a.b":\n  no', "no"], ("a.b", "no")),
        (
            [
                'Parser key "a":\n  no',
                UNION.format("<class 'int'>", "Expected a <class 'int'>", "x"),
                "Expected a <class 'int'>",
            ],
            ("a", "must be int or null, not x"),
        ),
        (
            ["Parser key \"a\":\n  Expected a typing.Literal['b', 'c']. Got value: d"],
            ("a", "must be one of 'b', 'c', not d"),
        ),
        # options of an LVLM without its class
        (
            ['Parser key "lvlm":\n  Expected an instantiatable class, but some.RoundLVLM is a protocol'],
            ("lvlm", "class_path is missing; add class_path: HuggingFaceLVLM, with its options below init_args"),
        ),
    ],
)
def test_the_reason_is_the_innermost_one(messages: list[str], found: tuple[str, str]) -> None:
    assert innermost(chain(*messages)) == found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a set.json"),
            "a set.json: no such file or directory",
        ),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        # a reason of ours begins with a name
        (PermissionError(errno.EACCES, "Out.json cannot be written", "/proc"), "Out.json cannot be written: '/proc'"),
        (FileNotFoundError("--config x.yaml: no such file"), "--config x.yaml: no such file"),
    ],
)
def test_an_error_of_the_system_goes_without_its_number(error, said):
    assert os_reason(error) == said


def test_a_set_that_is_not_there(tmp_path, capsys):
    lost = tmp_path / "lost.json"
    status, printed = run_here(capsys, "convert", str(lost), str(tmp_path / "out.json"))
    assert (status, printed) == (2, f"error: {lost}: no such file or directory\n")


def interrupted_in_lightning() -> SystemExit:
    """As Lightning's Trainer ends where Ctrl-C was pressed."""
    end = SystemExit(1)
    end.__context__ = KeyboardInterrupt()
    return end


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("wrong"), 2),
        (FileNotFoundError("gone"), 2),
        (RuntimeError("operator torchvision::nms does not exist"), 2),
        (RuntimeError("a defect"), 1),
        (KeyboardInterrupt(), 130),
        (interrupted_in_lightning(), 130),
        (SIGTERMException(143), 143),
        (SystemExit(), 0),
        (SystemExit("a text"), 1),
    ],
)
def test_the_status_that_an_error_ends_with(error, status, monkeypatch):
    monkeypatch.delenv("C3L_DEBUG", raising=False)
    assert errors.exit_status(error) == status


def test_a_traceback_that_was_asked_for_has_the_status_of_one(monkeypatch):
    monkeypatch.setenv("C3L_DEBUG", "1")
    assert errors.exit_status(ValueError("wrong")) == 1
    assert errors.has_own_message(ValueError("wrong"))
