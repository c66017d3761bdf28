"""A page as a flat list of elements, read with the standard library's parser."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})


@dataclass
class Node:
    """One element: its attributes, the text inside it and the elements inside it."""

    tag: str
    attributes: dict[str, str]
    children: list["Node"] = field(default_factory=list)
    text: str = ""

    def walk(self) -> Iterator["Node"]:
        """The element itself and everything inside it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, tag: str, class_: str | None = None) -> list["Node"]:
        """All elements of a name, with a class where one is asked for."""
        return [
            one
            for one in self.walk()
            if one.tag == tag and (class_ is None or class_ in one.attributes.get("class", "").split())
        ]

    def all_text(self) -> str:
        """Every text inside, in no particular order of nesting."""
        return self.text + "".join(child.all_text() for child in self.children)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Node("document", {})]
        self.unbalanced: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if self.open[-1].tag == tag:
            self.open.pop()
        else:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.open[-1].text += data


def parse(page: str) -> Node:
    """The root of a page; fails where a closing tag does not match its opening tag."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert not reader.unbalanced
    assert len(reader.open) == 1
    return reader.open[0]
