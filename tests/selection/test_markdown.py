"""Markdown, read by a renderer that is not ours."""

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lightning_c3l.selection.markdown import escape, fenced, markdown_table

# every rule the renderer has, raw HTML among them, as loose as a site could be
RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
NASTY = [
    "<script>alert(1)</script>",
    "a | b\nc",
    "`code` ``",
    "**bold** _em_ ~~gone~~",
    "[click](javascript:alert(1))",
    "![x](http://example.org/x.png)",
    "http://example.org www.example.org a@example.org",
    "# head",
    "- item",
    "1. item",
    "1) item",
    ": item",
    "--",
    "&lt;b&gt; &#60;",
    "\\| \\<",
    "$x$ {{ x }} {% x %}",
    "---",
    "\u202egnp.exe",
    "<!-- hidden",
    "",
]


def rendered(markdown: str) -> str:
    return str(RENDERER.render(markdown))


def tags(markdown: str) -> list[str]:
    return re.findall(r"<(/?\w+)", rendered(markdown))


@pytest.mark.parametrize("text", NASTY)
def test_a_cell_is_text_and_nothing_else(text: str) -> None:
    harmless = markdown_table(["what", "value"], [["name", "x"], ["next", "1"]], "lr")
    hostile = markdown_table(["what", "value"], [["name", escape(text)], ["next", "1"]], "lr")
    assert tags(hostile) == tags(harmless)


@settings(deadline=None)
@given(st.text(alphabet="ab <>&|`*_~[]()!#\\\n\t-+.:/@$\"'1", max_size=30))
def test_any_text_reads_as_it_was(text: str) -> None:
    page = html.unescape(rendered(f"about {escape(text)} end"))
    # plain text reads on one line, with single spaces
    assert page.split() == f"<p>about {text} end</p>".split()


def test_characters_that_reorder_a_line_are_spelled_out() -> None:
    assert html.unescape(escape("a\u202eb")) == "a[U+202E]b"


def test_long_texts_are_cut() -> None:
    assert escape("x" * 1000, 10) == "x" * 10 + "&#8230;"


@pytest.mark.parametrize("text", NASTY)
def test_an_item_of_a_list_is_text_and_nothing_else(text: str) -> None:
    assert tags(f"- x{escape(text)}\n- {escape(text)}") == ["ul", "li", "/li", "li", "/li", "/ul"]


def test_prose_stays_readable_in_an_editor() -> None:
    for text in ("S(I\u00b2C) ranks yes and no apart: 56 yes; 52 no", "--top-k 10, not 9", "path/to/images"):
        assert escape(text) == text


def test_no_link_of_its_own() -> None:
    found = escape("see www.example.org, https://example.org, a@example.org")
    assert "www." not in found
    assert "://" not in found
    assert "@" not in found


@pytest.mark.parametrize("text", ["plain", "```\n# head\n```", "a ```` b", "<script>", "&amp;"])
def test_a_block_of_code_ends_where_it_should(text: str) -> None:
    assert rendered(fenced(text)) == f'<pre><code class="language-text">{html.escape(text)}\n</code></pre>\n'
