"""The examples in the docstrings of the notebook's functions run as they stand, on the LVLM that is shipped."""

import doctest
from importlib import import_module

import pytest
from matplotlib import pyplot


@pytest.mark.parametrize(
    ("module", "examples"),
    [
        ("lightning_c3l", 1),
        ("lightning_c3l.api.loading", 1),
        ("lightning_c3l.api.generating", 1),
        ("lightning_c3l.api.scoring", 2),
        ("lightning_c3l.api.data_sets", 2),
    ],
)
def test_examples_in_docstrings(module: str, examples: int) -> None:
    pyplot.switch_backend("agg")
    found = [test for test in doctest.DocTestFinder().find(import_module(module)) if test.examples]
    assert len(found) == examples
    assert doctest.testmod(import_module(module)).failed == 0
    pyplot.close("all")
