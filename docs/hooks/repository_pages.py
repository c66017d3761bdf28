"""Files beside docs/ that pages link to, as pages of the site: the notebook, how to contribute, the experiment files.

On a code host `[demo](../experiments/demo.yaml)` is a link to the file. In the site the notebook and its like are
pages, and all experiment files of a folder are one page with an anchor each; links to files become links to these.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "repository"
# tables of all trials, which the notebook links to
_TABLES, _STAGES = ("contrastive", "choices", "rounds"), ("search", "confirm")
MEASURED = tuple(f"{table}-{stage}" for table in _TABLES for stage in _STAGES)
MARKDOWN = {
    "experiments/README.md": f"{FOLDER}/notebook.md",
    "CONTRIBUTING.md": f"{FOLDER}/contributing.md",
    "CHANGELOG.md": f"{FOLDER}/changelog.md",
    **{f"experiments/recipe/measured/{name}.md": f"{FOLDER}/{name}.md" for name in MEASURED},
}
# the search lists the pages of the documentation itself before these
_LAST = "---\nsearch: {boost: 0.2}\n---\n"
# of a page of experiment files
_HEAD = """\
The comments at the beginning of a file are its lab note: what it claims, its command, and what was measured.
[Rounds and their options](../rounds.md) explains the options, and
[Classes of experiment files](../reference/classes.md) lists them.

| file | what it is |
| --- | --- |"""
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def on_config(config: MkDocsConfig) -> None:
    """List the pages of experiment files where the navigation asks for them."""
    pages = [{f"experiments/{name}".rstrip("/"): page} for name, page in _folders().items()]
    for section in config.nav or []:
        for entry in next(iter(section.values())):
            if isinstance(entry, dict) and "Experiment files" in entry:
                entry["Experiment files"] = pages


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages."""
    contents = {page: (ROOT / source).read_text(encoding="utf-8") for source, page in MARKDOWN.items()}
    contents |= {page: _experiments(name) for name, page in _folders().items()}
    for page, content in contents.items():
        files.append(File.generated(config, page, content=_LAST + content))


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links to files of the repository into links to their pages."""
    sources = {target: source for source, target in MARKDOWN.items()}
    folder = posixpath.dirname(sources.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def replaced(found: re.Match[str]) -> str:
        before, path, anchor, after = found.groups()
        if "://" in path or path.startswith("mailto:"):
            return found[0]
        target = posixpath.normpath(posixpath.join(folder, path))
        # the page of a notebook links to the notebook itself
        if (own := _page_of(target)) is None or own == page.file.src_uri:
            return found[0]
        link, _, own_anchor = own.partition("#")
        relative = posixpath.relpath(link, posixpath.dirname(page.file.src_uri) or ".")
        return f"{before}{relative}{anchor or (own_anchor and '#' + own_anchor)}{after}"

    return _LINK.sub(replaced, markdown)


def _page_of(path: str) -> str | None:
    """The page, with its anchor, that shows a file or a folder of the repository; None where none does."""
    if path in MARKDOWN:
        return MARKDOWN[path]
    if path.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    folder, name = posixpath.split(path) if path.endswith(".yaml") else (path, "")
    page = _folders().get(folder.removeprefix("experiments").lstrip("/")) if folder.startswith("experiments") else None
    return f"{page}#{_anchor(name)}" if page and name else page


def _folders() -> dict[str, str]:
    """Folder of experiment files below experiments/ -> the page that shows them."""
    folders = sorted({path.parent.relative_to(ROOT / "experiments") for path in _files()})
    names = ["" if str(folder) == "." else folder.as_posix() for folder in folders]
    return {name: f"{FOLDER}/experiments{'-' if name else ''}{name.replace('/', '-')}.md" for name in names}


def _files() -> list[Path]:
    return sorted((ROOT / "experiments").rglob("*.yaml"))


def _anchor(name: str) -> str:
    return name.replace(".", "-").replace("_", "-")


def _experiments(folder: str) -> str:
    """A table of what each file is, by its first comment, then all of them."""
    where = ROOT / "experiments" / folder
    texts = {path: path.read_text(encoding="utf-8").rstrip() for path in _files() if path.parent == where}
    parts = [f"# Experiment files: {where.relative_to(ROOT).as_posix()}/\n", _HEAD]
    for path, text in texts.items():
        about = text.partition("\n#\n")[0].replace("\n#", "").removeprefix("# ")
        parts.append(f"| [{path.name}](#{_anchor(path.name)}) | {about} |")
    parts.append("")
    for path, text in texts.items():
        parts.append(f"## {path.name} {{ #{_anchor(path.name)} }}\n\n```yaml\n{text}\n```\n")
    return "\n".join(parts)
