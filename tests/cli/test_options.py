"""Wrong options of the verbs that are no Trainer methods."""

from importlib import import_module

import pytest

from lightning_c3l.cli.main import VERBS


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_says_what_is_wrong_in_one_line(verb, capsys):
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
        (
            ["select", "a", "b", "--by", "gpa"],
            "argument --by: invalid choice: 'gpa' (choose from 'answer', 'positions',",
        ),
        (["evaluate", "poep"], "argument benchmark: invalid choice: 'poep' (choose from 'pope', 'seed',"),
        (["merge", "a"], "the following arguments are required: adapter, out"),
    ],
)
def test_a_wrong_option_is_named(words, said, capsys):
    with pytest.raises(SystemExit):
        import_module(f"lightning_c3l.cli.{VERBS[words[0]][0]}").main(words[1:])
    line, *more = capsys.readouterr().err.splitlines()
    assert not more
    assert line.startswith(f"error: {said}")
