"""docs/quickstart.ipynb runs from top to bottom in a fresh kernel, and shows what it says."""

import re
import resource
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "quickstart.ipynb"
# of one core
SECONDS = 60.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The code cells, run as a reader would run them."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    folder = str(tmp_path_factory.mktemp("notebook"))
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": folder}}).execute()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS
    assert list(Path(folder).iterdir()) == []
    return [one for one in notebook.cells if one.cell_type == "code"]


def results(cells: list[Any], start: str, kind: str = "text/plain") -> list[str]:
    """What the cells that begin so have as their value."""
    own = [one for cell in cells if cell.source.startswith(start) for one in cell.outputs]
    return [one.data[kind] for one in own if "data" in one and kind in one.data]


def shares(cells: list[Any], start: str) -> tuple[float, float]:
    (text,) = results(cells, start)
    first, second = map(float, re.findall(r"[\d.]+", text))
    return first, second


def test_it_is_stored_without_outputs_and_is_valid() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_answers_are_shown_as_heat_maps(cells: list[Any]) -> None:
    (best,), (worst,) = results(cells, "question =", "text/html"), results(cells, "worst", "text/html")
    assert best != worst
    assert all('title="log p with image' in one for one in (best, worst))
    assert len(results(cells, "best.plot", "image/png")) == 1


def test_selection_and_rounds_make_pairs_truer(cells: list[Any]) -> None:
    written, selected = shares(cells, "truth =")
    assert selected > 0.9 > written
    before, after = shares(cells, "after =")
    assert before == written
    assert after > written + 0.1
