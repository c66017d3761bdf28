"""What Markdown files hold: fenced blocks, the commands in them, and links."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from tests.helpers.commandline import ROOT

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)(?: [^\n]*)?\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
# how a command of ours begins, after variables
_PROGRAMS = (["c3l"], ["python", "-m", "lightning_c3l"], [".venv/bin/python", "-m", "lightning_c3l"])


class Block(NamedTuple):
    """A fenced block."""

    file: str
    language: str
    text: str


def files() -> list[Path]:
    """All Markdown files of the project."""
    folders = (ROOT, ROOT / "experiments", ROOT / "docs")
    return sorted({path for folder in folders for path in folder.glob("*.md")} | {*(ROOT / "docs").rglob("*.md")})


def blocks() -> list[Block]:
    """All fenced blocks."""
    return [
        Block(path.relative_to(ROOT).as_posix(), found["language"], found["text"].replace("\n" + found["indent"], "\n"))
        for path in files()
        for found in _FENCE.finditer(path.read_text(encoding="utf-8"))
    ]


def commands() -> list[tuple[str, list[str]]]:
    """The words of each command of ours, from the verb on, with the file that it stands in."""
    return [
        (block.file, words[len(program) :])
        for block, words in _lines()
        for program in _PROGRAMS
        if words[: len(program)] == program
    ]


def targets() -> list[tuple[str, str]]:
    """The target of each `make TARGET`, with the file that it stands in."""
    return [(block.file, words[1]) for block, words in _lines() if words[0] == "make" and len(words) > 1]


def _lines() -> list[tuple[Block, list[str]]]:
    """The words of each line of the blocks of shell commands, without comments and leading variables."""
    found = list[tuple[Block, list[str]]]()
    for block in blocks():
        if block.language != "sh":
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words = words[1:]
            if words:
                found.append((block, words))
    return found


def links() -> list[tuple[Path, str]]:
    """The links of each file to other files, without their anchors."""
    found = [
        (path, target["target"].partition("#")[0])
        for path in files()
        for target in _LINK.finditer(_FENCE.sub("", path.read_text(encoding="utf-8")))
    ]
    return [(path, target) for path, target in found if target and "://" not in target and ":" not in target]
