"""Notebooks of docs/ as pages beside them: their texts, and their code in blocks. They are stored without outputs."""

from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

DOCS = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages."""
    for path in sorted(DOCS.glob("*.ipynb")):
        files.append(File.generated(config, f"{path.stem}.md", content=markdown(path)))


def markdown(path: Path) -> str:
    """A notebook as Markdown, with a link to itself.

    Args:
        path: of the notebook.
    """
    cells = nbformat.read(path, as_version=4).cells
    parts = [f"```python\n{cell.source}\n```" if cell.cell_type == "code" else cell.source for cell in cells]
    parts.insert(
        1, f"This page is the notebook [{path.name}]({path.name}), stored without its outputs: run it to see them."
    )
    return "\n\n".join(parts) + "\n"
