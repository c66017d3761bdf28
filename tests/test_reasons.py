"""Messages in one line."""

import pytest

from lightning_c3l.reasons import plain_reason

WHOLE = (
    "Does not validate against any of the Union subtypes\n"
    "Subtypes: [<class 'lightning.pytorch.core.datamodule.LightningDataModule'>, <class 'NoneType'>]\n"
    "Errors:\n  - {}\n  - Expected a <class 'NoneType'>\nGiven value type: <class 'Namespace'>\n"
    "Given value: Namespace(a=1)"
)


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        ("nothing to say", "nothing to say"),
        ("two\nlines  here", "two lines here"),
        ("\x1b[31mred", "[U+001B][31mred"),
        (WHOLE.format("[Errno 2] No such file: 'x'"), "[Errno 2] No such file: 'x'"),
        (WHOLE.format(WHOLE.format("x.json: no record to train on")), "x.json: no record to train on"),
        # of a wrong type all is told
        (WHOLE.format("Expected a <class 'int'>"), " ".join(WHOLE.format("Expected a <class 'int'>").split())),
    ],
)
def test_a_line_says_what_was_wrong(message: str, plain: str) -> None:
    assert plain_reason(message) == plain
