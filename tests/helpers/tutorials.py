"""The one file of each tutorial in docs/extending, as a user writes it."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "extending"
_FILE = re.compile(r'^```python title="(?P<name>\w+\.py)"\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)


def write_file(tutorial: str, folder: Path) -> str:
    """Write the file of a tutorial into a folder, and return the name of its module."""
    text = (FOLDER / f"{tutorial}.md").read_text(encoding="utf-8")
    (found,) = _FILE.finditer(text)
    assert text.count("```python") == 1
    (folder / found["name"]).write_text(found["code"], encoding="utf-8")
    return found["name"].removesuffix(".py")
