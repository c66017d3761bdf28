"""The examples in docstrings: closed forms worked out by hand."""

import doctest
from types import ModuleType

import pytest

from lightning_c3l.functional import i2c, losses, pooling, preference, ranking, significance
from lightning_c3l.selection import sentences


@pytest.mark.parametrize(
    ("module", "functions"),
    [(i2c, 6), (losses, 4), (pooling, 2), (preference, 6), (ranking, 1), (significance, 1), (sentences, 2)],
)
def test_examples_in_docstrings(module: ModuleType, functions: int) -> None:
    found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert len(found) >= functions
    assert doctest.testmod(module).failed == 0
