"""Figures that docs/method.md repeats are those of the lab notebook: whoever measures again changes both."""

import re

import pytest

from tests.helpers.commandline import ROOT

NOTEBOOK = set(re.findall(r"(?<![\d.])0\.\d+", (ROOT / "experiments" / "README.md").read_text()))
FIGURES = sorted(set(re.findall(r"(?<![\d.])0\.\d\d+", (ROOT / "docs" / "method.md").read_text())))


def test_the_page_has_figures() -> None:
    assert len(FIGURES) > 20


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_stands_in_the_notebook(figure: str) -> None:
    assert figure in NOTEBOOK
