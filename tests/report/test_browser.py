"""The page in a browser: nothing goes wrong, nothing is wider than the screen, and both themes are drawn."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lightning_c3l.report.extras import RunExtras
from lightning_c3l.report.page import render_report
from tests.helpers.chromium import dump_dom, needs_chromium, screenshot
from tests.report.samples import grey, states, summary, summary_without_truth, two_rounds

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.xdist_group("browser")]

# what sticks out of the window, but for what lies in a box that scrolls
_MEASURE = """<!DOCTYPE html><body><iframe srcdoc="{page}" style="width: {width}px; height: 900px; border: 0"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {{
  const page = frame.contentDocument, width = frame.contentWindow.innerWidth;
  const wide = [...page.body.querySelectorAll("*")].filter(
    (one) => !one.closest(".scroll, .heat, svg") && one.getBoundingClientRect().right > width + 1);
  document.body.dataset.measured = JSON.stringify({{
    window: width, page: page.documentElement.scrollWidth, wide: wide.map((one) => one.outerHTML.slice(0, 200))}});
}});
</script>"""


def overflow(page: Path, width: int) -> dict[str, Any]:
    """Widths of the window and of the page in pixels, and the elements that are wider.

    A window of the browser has at least 500 pixels, so the page lies in a frame.
    """
    outer = page.with_name(f"measured-{width}.html")
    outer.write_text(_MEASURE.format(page=html.escape(page.read_text(encoding="utf-8")), width=width), encoding="utf-8")
    measured = re.search('data-measured="([^"]*)"', dump_dom(outer)[0])
    assert measured
    found: dict[str, Any] = json.loads(html.unescape(measured[1]))
    return found


@pytest.fixture(scope="module", params=["with truth", "without truth"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    long = {"i2c.reading": "gap", "data.images": "/" + "long-name-without-a-space" * 8}
    if request.param == "with truth":
        figures = {**summary(), "guard": states("parsed rate went from 0.9 to 0.2, below 0.9 of it")}
    else:
        figures = summary_without_truth()
    figures["run"] = {**figures["run"], "command": "fit " + "--data.images=a/very/long/path " * 12, "changed": long}
    extras = RunExtras(
        "guard:\n  limits:\n    held_out: 0.8\n" + "x" * 400, digests={"vlit.json": "0123456789abcdef" * 4}
    )
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render_report(figures, two_rounds(), grey, extras), encoding="utf-8")
    return file


def test_the_browser_has_nothing_to_say(page: Path) -> None:
    shown, said = dump_dom(page)
    assert not said
    # its script has run: it counts the pairs
    assert re.search(r"<output>\d+ of \d+ pairs</output>", shown)


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_window(page: Path, width: int) -> None:
    found = overflow(page, width)
    assert found["window"] == width
    assert not found["wide"]
    assert found["page"] <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_both_themes_are_drawn(page: Path, width: int, tmp_path: Path) -> None:
    corners = {}
    for dark in (False, True):
        screenshot(page, tmp_path / "shot.png", width, 900, dark)
        with Image.open(tmp_path / "shot.png") as image:
            assert image.size == (width, 900)
            corners[dark] = image.convert("RGB").getpixel((2, 2))
            # text, surfaces and lines in several colours, not a blank page
            assert len(image.convert("RGB").getcolors(1 << 24) or []) > 50
    # `--page` of report.css
    assert corners == {False: (0xFF, 0xFF, 0xFF), True: (0x14, 0x17, 0x1B)}
