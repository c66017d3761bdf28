"""`validate-data`: every problem of an instruction-tuning set, by record."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from data_modules.formats import Entry, ImageRef, Record, image_file, image_root, read_records, to_conversation
from data_modules.loading.decode_pool import DecodePool, scan_workers
from data_modules.loading.decoding import UnreadableImage
from lightning_c3l.cli.options import parse_options
from lightning_c3l.report.progress import track
from lightning_c3l.runs.digests import content_number


@dataclass
class Summary:
    """Counts over a set; an image that several records name is one image with as many references."""

    records: int = 0
    conversations: int = 0
    images: int = 0
    image_references: int = 0
    turns: int = 0
    text_only: int = 0
    problems: int = 0

    def line(self) -> str:
        """All counts."""
        return (
            f"{self.records} records, {self.conversations} conversations, {self.images} images, "
            f"{self.image_references} references to images, {self.turns} turns, {self.text_only} text-only, "
            f"{self.problems} problems"
        )


@dataclass
class Checks:
    """Finds the problems of a set's records.

    Attributes:
        images: folder that image paths are relative to.
        pool: decodes every image once, in processes of its own; None skips that.
        summary: counts so far.
    """

    images: Path
    pool: DecodePool | None = None
    summary: Summary = field(default_factory=Summary)
    # hashes of 8 bytes, not ids, names or files: a set may have millions
    _ids: set[int] = field(default_factory=set)
    _images: set[int] = field(default_factory=set)
    _damaged: dict[int, str] = field(default_factory=dict)

    def problems(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, list[str]]]:
        """Each record, which is counted, with its problems, in order."""
        steps = self._steps(entries)
        for step, found in steps if self.pool is None else self.pool.map(steps):
            if isinstance(step, Entry):
                problems = [step.reason] if step.record is None else list(self._of_record(step.record, step.number))
                self.summary.records += 1
                self.summary.problems += len(problems)
                yield step, problems
            elif isinstance(found, UnreadableImage):
                self._damaged[step] = found.reason

    def _steps(self, entries: Iterable[Entry]) -> Iterator[tuple[int | Entry, bytes | Path | UnreadableImage]]:
        """Of each record the images that are new, to be decoded, and then itself, which nothing is decoded for."""
        for entry in entries:
            for image in entry.record.images if entry.record is not None else ():
                if (number := _number(image)) not in self._images:
                    self._images.add(number)
                    with suppress(ValueError):  # one that is missing is told of with its record
                        yield number, image_file(image, self.images)
            yield entry, UnreadableImage("")

    def _of_record(self, record: Record, number: int) -> Iterator[str]:
        summary = self.summary
        summary.images = len(self._images)
        summary.image_references += len(record.images)
        summary.turns += len(record.messages)
        summary.text_only += not record.images
        try:
            to_conversation(record, number)
            summary.conversations += 1
        except ValueError as error:
            yield str(error)
        if (name := record.extra.get("id")) is not None:
            hashed = content_number(str(name))
            if hashed in self._ids:
                yield f"id {str(name)[:80]!r} is another record's already"
            self._ids.add(hashed)
        yield from _of_texts(record)
        for image in record.images:
            try:
                image_file(image, self.images)
            except ValueError as error:
                yield str(error)
            if reason := self._damaged.get(_number(image)):
                yield f"image {image.name[:200]!r} cannot be read: {reason}"


@dataclass(frozen=True)
class ValidateOptions:
    """List every problem of an instruction-tuning set, one a line with its record's number; status 1 if any.

    Example:
        c3l validate-data runs/demo/version_0/vlit.json

    Attributes:
        source: set to look at: .json, .jsonl, .parquet, or shards: .tar, .tgz, braces, `pipe:COMMAND`.
        images: folder of the images; unless given, what `<stem>.meta.json` says, or the folder of IN.
        check_images: decode every image, which finds damaged ones; without it they need only exist.
        read_as: dialect of your own that IN is in, `module.Class` (docs/extending/dialect.md).
    """

    source: str
    images: Path | None = None
    check_images: bool = True
    read_as: str | None = None


def main(arguments: list[str]) -> int:
    """Run the verb `validate-data`; returns its exit status."""
    options = parse_options("validate-data", ValidateOptions, arguments)
    with ExitStack() as stack:
        pool = stack.enter_context(DecodePool(scan_workers())) if options.check_images else None
        checks = Checks(image_root(options.source, options.images), pool)
        records = track(read_records(options.source, read_as=options.read_as), "validate", "records")
        for entry, problems in checks.problems(records):
            for problem in problems:
                print(f"record {entry.number}: {_one_line(problem)}")
    print(checks.summary.line())
    return 1 if checks.summary.problems else 0


def _number(image: ImageRef) -> int:
    """Tells images apart: by their files where the set carries them, else by their names."""
    return content_number(image.name if image.data is None else image.data)


def _of_texts(record: Record) -> Iterator[str]:
    seen, repeats = set[tuple[str, str, tuple[int, ...]]](), list[int]()
    for turn, message in enumerate(record.messages, start=1):
        if message.role == "assistant" and not message.text.strip():
            yield f"turn {turn}: the answer is empty"
        said = (message.role, message.text, message.image_positions)
        if message.role == "user" and said in seen:
            repeats.append(turn)
        seen.add(said)
    if repeats:
        more = f" (and {len(repeats) - 1} more)" if len(repeats) > 1 else ""
        yield f"turn {repeats[0]}{more}: repeats an earlier question exactly"


def _one_line(text: str) -> str:
    """No line break or control character: the text may quote the set."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
