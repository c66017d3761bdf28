"""Headless Chromium: what a page is after its script has run, and what the browser says of it."""

import shutil
import subprocess
from pathlib import Path

import pytest

_PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(_PROGRAM is None, reason="needs Chromium: apt-get install chromium")


def dump_dom(page: Path, fragment: str = "") -> tuple[str, list[str]]:
    """The page as HTML after its script has run, and what it wrote to the console, errors of the page included.

    Args:
        page: the file.
        fragment: what follows `#` in the address.
    """
    address = page.resolve().as_uri() + (f"#{fragment}" if fragment else "")
    profile = f"--user-data-dir={page.parent / 'chromium'}"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", profile, "--dump-dom"]
    done = subprocess.run([str(_PROGRAM), *options, address], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
