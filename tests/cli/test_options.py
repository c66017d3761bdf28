"""Options of the verbs that are no Trainer methods."""

from dataclasses import KW_ONLY, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal

import pytest
import yaml

from lightning_c3l.cli.main import VERBS
from lightning_c3l.cli.main import main as run_verb
from lightning_c3l.cli.options import one_of, parse_options


@dataclass(frozen=True)
class Size:
    """How much of it.

    Attributes:
        top_k: the best K.
        least: of the score.
    """

    top_k: int | None = None
    least: float = 0.5


@dataclass(frozen=True)
class Options:
    """Make one of another.

    Example:
        c3l make in out --model m

    Attributes:
        source: what is read.
        out: what is written.
        model: which one.
        batch_size: at once.
        lossy: nearly.
        kind: one of two.
        steps: any of two.
        files: some.
        size: a group.
    """

    source: str
    out: Path
    _: KW_ONLY
    model: str
    batch_size: int = 4
    lossy: bool = False
    kind: str | None = one_of(("a", "b"), None)
    steps: list[Literal["one", "two"]] = field(default_factory=lambda: ["one", "two"])
    files: list[Path] = field(default_factory=list)
    size: Size = field(default_factory=Size)


def test_words_become_the_dataclass() -> None:
    assert parse_options("make", Options, ["in", "out", "--model", "1e3"]) == Options("in", Path("out"), model="1e3")
    words = ["--model=m", "--batch_size", "2", "--lossy", "--kind=b", "--steps", "one", "--top-k", "3", "--least=-1.5"]
    found = parse_options("make", Options, [*words, "in", "out", "--files", "a b", "c", "--files=d"])
    files = [Path("a b"), Path("c"), Path("d")]
    given = {"batch_size": 2, "lossy": True, "kind": "b", "steps": ["one"], "files": files, "size": Size(3, -1.5)}
    assert found == Options("in", Path("out"), model="m", **given)  # type: ignore[arg-type]


def test_a_file_gives_options_and_the_words_win(tmp_path: Path) -> None:
    given = {"source": "in", "out": "o", "model": "m", "batch_size": 2, "lossy": True, "files": ["a"], "top_k": 5}
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(given))
    found = parse_options("make", Options, ["--config", str(tmp_path / "options.yaml"), "--batch-size", "3"])
    more = {"batch_size": 3, "lossy": True, "files": [Path("a")], "size": Size(top_k=5)}
    assert found == Options("in", Path("o"), model="m", **more)  # type: ignore[arg-type]


def test_one_value_in_a_file_needs_no_brackets(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("source: in\nout: o\nmodel: m\nfiles: a b\nsteps: one\n")
    found = parse_options("make", Options, ["--config", str(file)])
    assert (found.files, found.steps) == ([Path("a b")], ["one"])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("losy", True, "--losy: no such option; did you mean --lossy?"),
        ("lossy", "a bit", "--lossy: must be true or false, not 'a bit'"),
        ("batch_size", "few", "{file}: --batch-size: must be int, not few"),
        ("kind", "c", "{file}: --kind: must be one of 'a', 'b' or null, not c"),
    ],
)
def test_a_wrong_line_of_a_file_is_named(
    name: str, value: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(yaml.safe_dump({"source": "in", "out": "o", "model": "m", name: value}))
    with pytest.raises(SystemExit) as left:
        parse_options("make", Options, ["--config", str(file)])
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {said.format(file=file)} (python -m lightning_c3l make --help")


def test_help_shows_types_and_defaults(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as left:
        parse_options("make", Options, ["--help"])
    assert left.value.code == 0
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert printed[:5] == [
        "example: python -m lightning_c3l make in out --model m",
        "usage: python -m lightning_c3l make IN OUT --model TEXT [options]",
        "",
        "Make one of another.",
        "",
    ]
    for said in (
        "How much of it:",
        "IN what is read (TEXT)",
        "OUT what is written (PATH)",
        "--batch-size INT at once (default: 4)",
        "--model TEXT which one (required)",
        "--least FLOAT of the score (default: 0.5)",
        "--files PATH [PATH ...] some (default: none)",
    ):
        assert said in printed


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_says_what_is_wrong_in_one_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        import_module(f"lightning_c3l.cli.{VERBS[verb][0]}").main(["--no-such-thing=3"])
    assert left.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        f"error: --no-such-thing: no such option (python -m lightning_c3l {verb} --help lists the options)\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", "--modle", "x", "a", "b"], "--modle: no such option; did you mean --model?"),
        (["score", "--model=x", "--batchsize=3", "a", "b"], "--batchsize: no such option; did you mean --batch-size?"),
        # no abbreviations
        (["convert", "a", "b", "--loss"], "--loss: no such option; did you mean --lossy?"),
        (["merge", "a"], "ADAPTER, OUT: missing"),
        (["score", "a", "b"], "--model: missing"),
        (["score", "a", "b", "--model", "m", "--batch-size", "few"], "--batch-size: must be int, not few"),
        (["bench", "--precision", "float32", "half"], "--precision: must be one of 'float32', 'bfloat16', not half"),
        (["select", "a", "b", "c"], "'c' belongs to no option; a value with blanks needs quotes"),
    ],
)
def test_a_wrong_option_is_named(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        import_module(f"lightning_c3l.cli.{VERBS[words[0]][0]}").main(words[1:])
    line, *more = capsys.readouterr().err.splitlines()
    assert not more
    assert line.startswith(f"error: {said}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["select", "a", "b", "--by", "gpa"],
            "--by must be one of answer, positions, vocabulary, gap, mean_logp, or module.function of your own "
            "reading, not 'gpa'",
        ),
        (
            ["evaluate", "poep"],
            "benchmark must be one of pope, seed, mmbench, llava_w, or module.attribute of your own benchmark, "
            "not 'poep'",
        ),
    ],
)
def test_a_wrong_name_of_what_may_be_the_users_own(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(words) == 2
    assert capsys.readouterr().err == f"error: {said}\n"
