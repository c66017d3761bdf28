"""`convert`: an instruction-tuning set in another format."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data_modules.formats import (
    DIALECTS,
    Entry,
    Inexpressible,
    RecordWriter,
    WriteOptions,
    count_records,
    image_root,
    open_writer,
    read_layout,
    read_records,
    recorded_root,
)
from data_modules.formats.fields import left_out_line, left_out_members
from data_modules.formats.readers import open_reader
from data_modules.formats.rejected import rejected_list
from data_modules.formats.writers import can_carry_images
from lightning_c3l.cli.options import parse_options
from lightning_c3l.extensions import choose, takes
from lightning_c3l.report.progress import track
from lightning_c3l.runs.atomic import write_json_atomic


@dataclass(frozen=True)
class Job:
    """Convert an instruction-tuning set between JSON, JSONL, Parquet, WebDataset shards and CSV, without loss.

    Example:
        c3l convert runs/demo/version_0/vlit.json vlit.parquet --embed

    Attributes:
        source: set to convert: .json, .jsonl, .parquet, or shards: .tar, .tgz, braces, `pipe:COMMAND`.
        out: file to write: .json, .jsonl, .parquet, .tar or, with `--lossy`, .csv.
        dialect: dialect of the JSON records of OUT: `llava`, `sharegpt`, `messages`, `pairs`, or `module.Class` of your
            own (docs/extending/dialect.md); that of IN unless given.
        read_as: dialect of your own that IN is in, `module.Class`.
        lossy: write what OUT cannot hold as near as possible, instead of rejecting the record.
        images: folder of the images; unless given, what `<stem>.meta.json` says, or the folder of IN.
        extract: folder for the images that IN carries.
        embed: put the images into Parquet; done anyway where IN carries them and they are not extracted.
        rejected: list of rejected records, with the reasons; named after OUT, `.rejected.jsonl`, unless given.
    """

    source: str
    out: Path
    dialect: str | None = None
    read_as: str | None = None
    lossy: bool = False
    images: Path | None = None
    extract: Path | None = None
    embed: bool = False
    rejected: Path | None = None

    def __post_init__(self) -> None:
        """Check the name of the dialect."""
        if self.dialect is not None:
            choose("--dialect", self.dialect, dict.fromkeys(DIALECTS), "dialect", takes(()))


def main(arguments: list[str]) -> int:
    """Run the verb `convert`; returns its exit status."""
    job = parse_options("convert", Job, arguments)
    left_out = Counter[str]()
    written, rejected = convert(job, left_out)
    print(f"{written} records in {job.out}" + (f", {rejected} rejected in {_rejected(job)}" if rejected else ""))
    if left_out:
        print(f"members left out, binary or large: {left_out_line(left_out)}")
    return 0


def convert(job: Job, left_out: Counter[str] | None = None) -> tuple[int, int]:
    """Convert a set; records that are broken, or that the format cannot hold, are listed and passed over.

    Args:
        job: what is converted, and how.
        left_out: by extension, counts the records with a member of a shard's sample that is in no field.

    Returns:
        The number of records written, and the number of rejected ones.

    Raises:
        ValueError: no record can be converted, or the format cannot be written or hold the images of `source`.
        OSError: a file cannot be read or written; an older OUT is still there then.
    """
    _check_files(job)
    how = read_layout(job.source, job.read_as)
    if how.carries_images and job.extract is None and not job.lossy and not can_carry_images(job.out):
        raise ValueError(
            f"{job.out}: {job.source} carries its images; give --extract FOLDER, or a .parquet or .tar file"
        )
    options = WriteOptions(
        dialect=job.dialect or how.dialect,
        lossy=job.lossy,
        image_root=image_root(job.source, job.images),
        extract_to=job.extract,
        embed=job.embed or (how.carries_images and job.extract is None),
    )
    total = count_records(job.source) if how.container in ("jsonl", "parquet") else None  # cheap in these alone
    written = 0
    with (
        open_writer(job.out, options) as writer,
        rejected_list(_rejected(job)) as rejected,
    ):
        for entry in track(read_records(job.source, read_as=job.read_as), "convert", "records", total):
            if reason := _convert(writer, entry, job):
                rejected.add(entry.number, reason)
            else:
                written += 1
                if left_out is not None and entry.record is not None:
                    left_out.update(left_out_members(entry.record.extra))
        if rejected.count and not written:
            raise ValueError(f"{job.source}: no record can be converted; the first: {rejected.first}")
    _write_meta(job, options)
    return written, rejected.count


def _convert(writer: RecordWriter, entry: Entry, job: Job) -> str:
    """Write a record, or say why not."""
    if entry.record is None:
        return entry.reason
    try:
        writer.write(entry.record, entry.number)
    except Inexpressible as error:
        return str(error) if job.lossy else f"{error}; --lossy writes it as near as possible"
    return ""


def _write_meta(job: Job, options: WriteOptions) -> None:
    """Write what `<stem>.meta.json` beside IN says beside OUT, with the folder of the images as seen from there."""
    before, after = Path(job.source).with_suffix(".meta.json"), job.out.with_suffix(".meta.json")
    if job.out.suffix.lower() == ".csv" or before.resolve() == after.resolve():
        return
    try:
        meta = json.loads(before.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        meta = None
    meta = meta if isinstance(meta, dict) else {}
    meta.pop("image_root", None)
    root = options.extract_to or options.image_root
    if root is not None and not options.embed and job.out.suffix.lower() != ".tar":
        named = recorded_root(root, job.out)
        # its own folder is searched anyway
        meta |= {"image_root": named} if named != "." else {}
    if meta or after.exists():
        write_json_atomic(after, meta)


def _rejected(job: Job) -> Path:
    return job.rejected or job.out.with_suffix(".rejected.jsonl")


def _check_files(job: Job) -> None:
    out, rejected = job.out.resolve(), _rejected(job).resolve()
    sources = {file.resolve() for file in open_reader(job.source).files}
    if out == rejected or sources & {out, rejected}:
        raise ValueError(f"{job.out}: IN, OUT and the list of broken records must be three files")
    if job.out.is_dir():
        raise ValueError(f"{job.out}: is a folder; give a file")
