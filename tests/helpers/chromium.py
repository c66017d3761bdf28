"""Headless Chromium: what a page is after its script has run, how it looks, and what the browser says of it."""

import shutil
import subprocess
from pathlib import Path

import pytest

_PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(_PROGRAM is None, reason="needs Chromium: apt-get install chromium")


def dump_dom(page: Path, fragment: str = "", width: int = 800) -> tuple[str, list[str]]:
    """The page as HTML after its script has run, and what it wrote to the console, errors of the page included.

    Args:
        page: the file.
        fragment: what follows `#` in the address.
        width: of the window, in pixels.
    """
    address = page.resolve().as_uri() + (f"#{fragment}" if fragment else "")
    done = _run(page, "--enable-logging=stderr", f"--window-size={width},600", "--dump-dom", address)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def screenshot(page: Path, to: Path, width: int, height: int, dark: bool = False) -> None:
    """A picture of the upper part of a page, as PNG.

    Args:
        page: the file.
        to: where the picture is written.
        width: of the window, in pixels.
        height: of the window, in pixels.
        dark: whether the browser prefers dark pages.
    """
    theme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    _run(
        page,
        "--hide-scrollbars",
        theme,
        f"--window-size={width},{height}",
        f"--screenshot={to}",
        page.resolve().as_uri(),
    )


def _run(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    profile = f"--user-data-dir={page.parent / 'chromium'}"
    # shared memory is small in containers
    always = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", profile]
    return subprocess.run([str(_PROGRAM), *always, *options], capture_output=True, text=True, timeout=120, check=True)
