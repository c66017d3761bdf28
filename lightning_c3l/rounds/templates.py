"""Instruction templates by kind, and the parsing of completions into a question and an answer."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from lightning_c3l.records import Instruction
from lightning_c3l.report.text import printable

SHIPPED = ("general", "scenes", "park", "easy_vqa")
MAX_QUESTION_WORDS = 80
MAX_ANSWER_WORDS = 400
# characters of a text that is shown as an example
_EXAMPLE = 120
_QUESTION = re.compile(r"(?im)^[\s>*_#\-\d.()\[\]]*(?:question|q)\b[\s\d]*[*_]*\s*:\s*[*_]*[ \t]*")
# an answer may begin on the question's line; a lone "A:" counts only at the start of a line
_ANSWER = re.compile(r"(?im)(?:^[\s>*_#\-]*(?:answer|a)|\banswer)\b[\s\d]*[*_]*\s*:\s*[*_]*[ \t]*")
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)


def load_templates(name: str) -> list[Instruction]:
    """Instructions of a shipped set, or of a user's YAML file with a list of `kind` and `text`.

    Args:
        name: one of `SHIPPED`, or the path of a file.

    Raises:
        ValueError: naming the file and the entry that is no template.
    """
    if name in SHIPPED:
        text = files("lightning_c3l.rounds").joinpath("shipped_templates", f"{name}.yaml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        try:
            text = Path(name).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: not UTF-8 text") from error
    else:
        raise ValueError(f"{name}: no such template file, nor one of the shipped sets ({', '.join(SHIPPED)})")
    try:
        entries = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name}: not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{name}: a template file is a list of entries with kind and text")
    instructions = list[Instruction]()
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or set(entry) != {"kind", "text"}:
            raise ValueError(f"{name}: entry {number} must have exactly the keys kind and text")
        kind, text = str(entry["kind"]).strip(), str(entry["text"]).strip()
        if not kind or not text:
            raise ValueError(f"{name}: entry {number} has an empty kind or text")
        instructions.append(Instruction(kind, text))
    return instructions


def assign(
    templates: Sequence[Instruction], images: int, per_image: int | None, first: int = 0
) -> list[list[Instruction]]:
    """Which instructions each image is given: kinds balanced over the images, wordings of a kind taken in turn.

    Args:
        templates: all instructions.
        images: number of images.
        per_image: kinds for each image; None gives each image all of them.
        first: number of the first of these images in the whole set, so that parts of it get what they would together.

    Raises:
        ValueError: if an image should get more kinds than there are.
    """
    by_kind = defaultdict[str, list[Instruction]](list)
    for template in templates:
        by_kind[template.kind].append(template)
    kinds = list(by_kind)
    count = len(kinds) if per_image is None else per_image
    if not 1 <= count <= len(kinds):
        raise ValueError(f"per_image must lie between 1 and {len(kinds)}, the number of kinds, not {per_image}")

    def instruction(slot: int) -> Instruction:
        # each kind has its own turn: the image's number would tie a kind that comes every n-th image to one wording
        turn, kind = divmod(slot, len(kinds))
        wordings = by_kind[kinds[kind]]
        return wordings[turn % len(wordings)]

    # millions of images share a few lists
    known = dict[tuple[Instruction, ...], list[Instruction]]()
    lists = (tuple(instruction(image * count + i) for i in range(count)) for image in range(first, first + images))
    return [known.setdefault(own, list(own)) for own in lists]


@dataclass(frozen=True)
class Parsed:
    """A parsed completion; `rejected` is the reason if it could not be parsed."""

    question: str = ""
    answer: str = ""
    rejected: str = ""


def parse(text: str) -> Parsed:
    """Find the first question with its answer in a completion, labelled or as JSON."""
    if not text.strip():
        return Parsed(rejected="empty text")
    found = _parse_json(text) or _parse_labels(text)
    if isinstance(found, str):
        return Parsed(rejected=found)
    question, answer = (_tidy(part) for part in found)
    for reason, wrong in (
        ("empty question", not question),
        ("empty answer", not answer),
        # the mark of the LLaVA format: a text that holds it would put a second image into the record
        ("holds an image mark", "<image>" in question or "<image>" in answer),
        ("question too long", len(question.split()) > MAX_QUESTION_WORDS),
        ("answer too long", len(answer.split()) > MAX_ANSWER_WORDS),
        ("answer repeats the question", question.casefold() == answer.casefold()),
    ):
        if wrong:
            return Parsed(rejected=reason)
    return Parsed(question, answer)


def labelled(question: str, answer: str) -> str:
    """A pair as a text that `parse` reads."""
    return f"Question: {question}\nAnswer: {answer}"


def nothing_parsed(templates: str, texts: Iterable[str]) -> str:
    """Why there is no pair, and what to change.

    Args:
        templates: name of the shipped set, or path of the file, that asked.
        texts: completions, none of which holds a pair.
    """
    count, example = 0, ""
    for text in texts:
        # one that says something, if there is any
        if count == 0 or (text.strip() and not example.strip()):
            example = text
        count += 1
    if not count:
        return "no text was written, since the LVLM could take none of the images"
    return (
        f"none of {count} texts holds a question and its answer. The templates ({templates}) must ask for the "
        "form 'Question: ... Answer: ...', or for JSON with the keys question and answer; one of the texts is "
        f"{printable(example, _EXAMPLE)!r} ({parse(example).rejected})"
    )


def _parse_json(text: str) -> tuple[str, str] | None:
    fenced = _FENCE.search(text)
    start = (fenced.group(1) if fenced else text).strip()
    if not start.startswith(("{", "[")):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(start)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    lowered = {str(key).casefold(): item for key, item in value.items()}
    question, answer = lowered.get("question"), lowered.get("answer")
    return (question, answer) if isinstance(question, str) and isinstance(answer, str) else None


def _parse_labels(text: str) -> tuple[str, str] | str:
    question = _QUESTION.search(text)
    if question is None:
        return "no question label"
    answer = _ANSWER.search(text, question.end())
    following = _QUESTION.search(text, question.end())
    if answer is None or (following is not None and following.start() < answer.start()):
        return "no answer label"
    end = following.start() if following is not None else len(text)
    return text[question.end() : answer.start()], text[answer.end() : end]


def _tidy(text: str) -> str:
    """The text as one line, without surrounding quotes and Markdown marks."""
    line = " ".join(text.split()).strip("*_` ").strip()
    return line[1:-1].strip() if len(line) > 1 and line[0] == line[-1] and line[0] in "\"'" else line
