"""`validate-data`: every problem of an instruction-tuning set, by record."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from data_modules.formats import Entry, Record, image_file, image_root, read_records, to_conversation
from data_modules.loading.decode_pool import DecodePool
from data_modules.loading.decoding import UnreadableImage
from lightning_c3l.cli.options import parse_options
from lightning_c3l.report.progress import track
from lightning_c3l.runs.digests import content_number


@dataclass
class Summary:
    """Counts over a set."""

    records: int = 0
    conversations: int = 0
    images: int = 0
    turns: int = 0
    text_only: int = 0
    problems: int = 0

    def line(self) -> str:
        """All counts."""
        named = (f"{count} {name.replace('_', '-')}" for name, count in vars(self).items())
        return ", ".join(named)


@dataclass
class Checks:
    """Finds the problems of a set's records.

    Attributes:
        images: folder that image paths are relative to.
        pool: decodes every image, in a process of its own; None skips that.
        summary: counts so far.
    """

    images: Path
    pool: DecodePool | None = None
    summary: Summary = field(default_factory=Summary)
    # hashes of 8 bytes, not the ids: a set may have millions
    _ids: set[int] = field(default_factory=set)

    def problems(self, entry: Entry) -> list[str]:
        """The problems of a record, which is counted."""
        self.summary.records += 1
        found = [entry.reason] if entry.record is None else list(self._of_record(entry.record, entry.number))
        self.summary.problems += len(found)
        return found

    def _of_record(self, record: Record, number: int) -> Iterator[str]:
        summary = self.summary
        summary.images += len(record.images)
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
                file = image_file(image, self.images)
            except ValueError as error:
                yield str(error)
                continue
            for _, found in self.pool.map([(image.name, file)]) if self.pool is not None else ():
                if isinstance(found, UnreadableImage):
                    yield f"image {image.name[:200]!r} cannot be read: {found.reason}"


@dataclass(frozen=True)
class ValidateOptions:
    """List every problem of an instruction-tuning set, one a line with its record's number; status 1 if any.

    Example:
        c3l validate-data runs/demo/version_0/vlit.json --check-images

    Attributes:
        source: set to look at: .json, .jsonl, .parquet, or shards: .tar, .tgz, braces, `pipe:COMMAND`.
        images: folder of the images; unless given, what `<stem>.meta.json` says, or the folder of IN.
        check_images: decode every image.
        read_as: dialect of your own that IN is in, `module.Class` (docs/extending/dialect.md).
    """

    source: str
    images: Path | None = None
    check_images: bool = False
    read_as: str | None = None


def main(arguments: list[str]) -> int:
    """Run the verb `validate-data`; returns its exit status."""
    options = parse_options("validate-data", ValidateOptions, arguments)
    with ExitStack() as stack:
        pool = stack.enter_context(DecodePool(1)) if options.check_images else None
        checks = Checks(image_root(options.source, options.images), pool)
        for entry in track(read_records(options.source, read_as=options.read_as), "validate", "records"):
            for problem in checks.problems(entry):
                print(f"record {entry.number}: {_one_line(problem)}")
    print(checks.summary.line())
    return 1 if checks.summary.problems else 0


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
