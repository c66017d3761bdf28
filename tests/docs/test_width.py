"""Wide tables of the site, as a browser lays them out."""

import re
import shutil
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.helpers.chromium import dump_dom, needs_chromium
from tests.helpers.commandline import ROOT

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.xdist_group("browser")]
# pixels of a table that are out of sight
SCRIPT = """<script>document.body.dataset.hidden = Math.max(...[...document.querySelectorAll("table")].map(
table => table.scrollWidth - table.clientWidth))</script></body>"""


def test_the_table_of_families_needs_no_scroll_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "hooks"))
    shutil.copytree(ROOT / "docs" / "assets", tmp_path / "docs" / "assets")
    shutil.copy(ROOT / "docs" / "families.md", tmp_path / "docs")
    folders = {"docs_dir": str(tmp_path / "docs"), "site_dir": str(tmp_path / "site")}
    hooks = [str(ROOT / "docs" / "hooks" / "page_html.py")]
    build(load_config(str(ROOT / "mkdocs.yml"), plugins=[], hooks=hooks, use_directory_urls=False, **folders))
    page = tmp_path / "site" / "families.html"
    page.write_text(page.read_text().replace("</body>", SCRIPT))
    html, _ = dump_dom(page, width=1300)
    assert re.findall(r'data-hidden="(-?\d+)"', html) == ["0"]
