"""What is made while the site is built: formulas, pages of the repository's files, pages of the parsers."""

import json
import posixpath
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightning_c3l.cli import main as command_line
from tests.helpers.commandline import ROOT, run_here

sys.path.insert(0, str(ROOT / "docs" / "hooks"))
html, notebooks, repository, verbs = map(
    import_module, ("page_html", "notebook_pages", "repository_pages", "verb_pages")
)


def page(source: str) -> Any:
    return SimpleNamespace(file=SimpleNamespace(src_uri=source))


def test_a_formula_becomes_mathml() -> None:
    content = html.on_page_content('<p><span class="arithmatex">\\(p &lt; q\\)</span></p>')
    assert re.search(
        r'<span class="formula"><math[^>]*display="inline".*<mi>p</mi><mo>&#x0003C;</mo><mi>q</mi>', content
    )
    assert "arithmatex" not in content


def test_what_is_no_formula_stays() -> None:
    assert html.on_page_content("<p>$5 and \\(x\\)</p>") == "<p>$5 and \\(x\\)</p>"


def test_a_name_in_code_is_kept_in_one_piece() -> None:
    content = html.on_page_content("<td><code>--i2c.margin</code> and <code>make demo</code></td>")
    assert content == '<td><code class="name">--i2c.<wbr>margin</code> and <code>make demo</code></td>'
    content = html.on_page_content("<code>--ckpt_path last</code> <code>[B, T]</code>")
    assert content == '<code class="name">--ckpt_<wbr>path last</code> <code class="name">[B, T]</code>'
    content = html.on_page_content("<code>instances.json::folder-of-images</code>")
    assert content == '<code class="name long">instances.<wbr>json::folder-of-images</code>'
    content = html.on_page_content("<code>convert a --lossy</code><pre><code>convert a --lossy</code></pre>")
    assert content == (
        '<code>convert a <span class="name">--lossy</span></code><pre><code>convert a --lossy</code></pre>'
    )


def test_pages_that_are_one_table_or_files_are_there_and_have_the_room() -> None:
    own = {file.name for file in (ROOT / "docs").glob("*.md")}
    sources = {*repository.MARKDOWN.values(), *repository._folders().values(), *own}
    wide = {"families.md", "repository/choices-search.md", "repository/experiments.md", "repository/experiments-c3l.md"}
    assert wide <= sources
    for source in sources:
        one = SimpleNamespace(file=SimpleNamespace(src_uri=source), meta={})
        assert html.on_page_markdown("text", one) == "text"
        if source in wide or source in ("rounds.md", "repository/notebook.md"):
            assert one.meta == ({"hide": ["toc"]} if source in wide else {})


def test_a_notebook_becomes_a_page_of_its_cells() -> None:
    file = ROOT / "docs" / "quickstart.ipynb"
    text = notebooks.markdown(file)
    for cell in json.loads(file.read_text())["cells"]:
        source = "".join(cell["source"])
        assert (f"```python\n{source}\n```" if cell["cell_type"] == "code" else source) in text


@pytest.mark.parametrize(
    ("source", "link", "expected"),
    [
        ("method.md", "../experiments/README.md", "repository/notebook.md"),
        ("method.md", "../experiments/README.md#findings", "repository/notebook.md#findings"),
        ("method.md", "../experiments/ablations/collapse.yaml", "repository/experiments-ablations.md#collapse-yaml"),
        ("many-gpus.md", "../experiments/hardware/", "repository/experiments-hardware.md"),
        ("many-gpus.md", "../experiments/demo.yaml", "repository/experiments.md#demo-yaml"),
        ("extending/reading.md", "../../CONTRIBUTING.md", "../repository/contributing.md"),
        ("repository/notebook.md", "../docs/families.md", "../families.md"),
        ("repository/contributing.md", "docs/glossary.md", "../glossary.md"),
        ("method.md", "sweeps.md#wb", "sweeps.md#wb"),
        ("api/notebooks.md", "../quickstart.ipynb", "../quickstart.md"),
        ("quickstart.md", "quickstart.ipynb", "quickstart.ipynb"),
        ("method.md", "https://arxiv.org/abs/2405.12752", "https://arxiv.org/abs/2405.12752"),
    ],
)
def test_a_link_to_a_file_leads_to_its_page(source: str, link: str, expected: str) -> None:
    found = repository.on_page_markdown(f"[words]({link})", page(source))
    assert found == f"[words]({expected})"


def test_a_page_of_experiment_files_holds_all_of_its_folder() -> None:
    folders = repository._folders()
    assert posixpath.basename(folders["c3l"]) == "experiments-c3l.md"
    text = repository._experiments("c3l")
    for file in sorted((ROOT / "experiments" / "c3l").glob("*.yaml")):
        assert f"## {file.name} " in text
        assert file.read_text().strip() in text
    assert "| [llava15_7b.yaml](#llava15-7b-yaml) | C3L rounds with LLaVA-1.5 7B on one GPU of 40 GB. |\n" in text
    # a first comment of two lines
    assert "trained from scratch by ordinary instruction tuning. |\n" in repository._experiments("")


@pytest.mark.parametrize("verb", ["select", "convert", "serve-vllm", "check-scores"])
def test_a_page_of_a_verb_has_every_option_of_its_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = verbs._verb_page(verb)
    _, said = run_here(capsys, verb, "--help")
    options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", said, re.MULTILINE)) - {"--help", "--config", "--print_config"}
    assert len(options) > 1
    assert [option for option in options if f"`{option}" not in text and f", {option}`" not in text] == []


@pytest.mark.parametrize("verb", ["fit", "judge", "select", "evaluate"])
def test_an_example_fits_and_can_be_typed(verb: str) -> None:
    shown = verbs._verb_page(verb).partition("```sh\n")[2].partition("```")[0]
    assert max(map(len, shown.splitlines())) <= 95
    typed = shlex.split(shown.replace("\\\n", " "))
    assert typed == [word for one in verbs.parser_of(verb).examples for word in shlex.split(one.replace("\\\n", " "))]


def test_every_verb_has_a_page() -> None:
    config = SimpleNamespace(nav=[{"Reference": [{"Verbs": "index.md"}, {"Other": "other.md"}]}])
    verbs.on_config(config)
    listed = [name for entry in config.nav[0]["Reference"][0]["Verbs"] for name in entry]
    assert set(listed) == {"fit", "predict", "test", *command_line.VERBS}


def test_a_class_has_its_options_as_they_are_typed() -> None:
    text = verbs._classes_page()
    for option in ("--model.loss.temperature", "--model.lvlm.lora.rank", "--data.images", "--model.writing.templates"):
        assert f"| `{option}`" in text
    assert "| `--model.loss.temperature`<br>float | `0.2` |" in text


@pytest.mark.slow
def test_the_site_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is built with what is on this machine, and no page loads anything from another one."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    monkeypatch.chdir(ROOT)
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"), strict=True))
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 40
    for file in pages:
        text = file.read_text()
        assert not re.search(r'<(?:script|img|iframe)[^>]* src="?(?:https?:)?//|<link[^>]* href="?(?:https?:)?//', text)
    assert "<math" in (tmp_path / "site" / "method.html").read_text()
    assert (tmp_path / "site" / "search" / "search_index.js").read_text().startswith("var __index = ")
