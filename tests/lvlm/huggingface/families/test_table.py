"""The generated table of families."""

from pathlib import Path

from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from tests.helpers.families import TABLE
from tests.helpers.families.measured import Measured
from tests.helpers.families.table import main

GENERATED = Path(__file__).parents[4] / "docs" / "families.md"
HEADINGS = "type family path texts with image without two images training gradients remarks"


def rows(file: Path) -> list[list[str]]:
    """Cells of the table's rows."""
    lines = [line for line in file.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert " ".join(cells[0]) == HEADINGS
    return cells[2:]


def test_every_type_and_every_family_is_in_it() -> None:
    """If not: `make families-table`."""
    found = rows(GENERATED)
    assert {row[0].strip("`") for row in found} >= set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
    assert {row[1] for row in found if row[1]} == set(TABLE)
    # what runs has a path and figures, what does not a reason
    assert all(all(row[index] for index in (2, 4, 5, 8)) or row[-1] for row in found)


def test_rows_say_what_was_measured(tmp_path: Path) -> None:
    one = Measured("llava-1.5", "llava", path="fast", training_path="plain")
    one.differences |= {"score, image": 2e-6, "score, KL": 4e-5, "score, blind": 1e-7, "group, gradients": 3e-6}
    one.failed["test_two_images"] = "AssertionError"
    refused = Measured("blip-2", "blip-2", path_reason="it wants an image")
    for measured in (one, refused):
        measured.write(tmp_path / "report")
    main(tmp_path / "report", tmp_path / "docs" / "families.md")
    found = {row[0].strip("`"): row[1:] for row in rows(tmp_path / "docs" / "families.md")}
    assert found["llava"] == [
        *("llava-1.5", "fast", "same", "4e-05", "1e-07", "", "", "3e-06"),
        "trains on the plain path; fails: two images",
    ]
    assert found["blip-2"] == ["blip-2", *[""] * 7, "refused: it wants an image"]
    assert found["pi0"][-1].startswith("steers robots")
    assert found["gemma3"] == [*[""] * 8, "not built yet"]
