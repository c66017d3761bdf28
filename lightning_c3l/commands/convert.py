"""`convert`: an instruction-tuning set in another format."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from data_modules.formats import (
    DIALECTS,
    Inexpressible,
    Record,
    Writer,
    count_records,
    image_root,
    layout,
    open_writer,
    read_records,
)
from data_modules.formats.readers import files_of
from data_modules.formats.rejected import rejected_list


@dataclass(frozen=True)
class Job:
    """What is converted, and how.

    Attributes:
        source: file or shards to read.
        out: file to write.
        dialect: how a JSON record looks; that of `source` unless given.
        lossy: write what the format cannot hold as near as possible.
        images: folder that image paths are relative to; unless given, as `image_root` finds it.
        extract: folder for the images that `source` carries.
        embed: carry the images in Parquet; done anyway where `source` carries them and they are not extracted.
        rejected: file for the reasons of broken records; `<stem>.rejected.jsonl` beside `out` unless given.
    """

    source: str
    out: Path
    dialect: str | None = None
    lossy: bool = False
    images: Path | None = None
    extract: Path | None = None
    embed: bool = False
    rejected: Path | None = None


def main(arguments: list[str]) -> int:
    """Convert an instruction-tuning set between JSON, JSONL, Parquet, WebDataset shards and CSV, without loss."""
    parser = argparse.ArgumentParser(prog="python -m lightning_c3l convert", description=main.__doc__)
    parser.add_argument("source", metavar="IN", help=".json, .jsonl, .parquet, or shards: .tar, .tgz, braces, pipe:")
    parser.add_argument("out", metavar="OUT", type=Path, help=".json, .jsonl, .parquet, .tar or (with --lossy) .csv")
    parser.add_argument("--dialect", choices=DIALECTS, help="how a JSON record looks; as in IN unless given")
    parser.add_argument("--lossy", action="store_true", help="write what OUT cannot hold as near as possible")
    parser.add_argument("--images", type=Path, help="folder of the images; as <stem>.meta.json says, or that of IN")
    parser.add_argument("--extract", type=Path, help="folder to write the images to that IN carries")
    parser.add_argument("--embed", action="store_true", help="carry the images in Parquet")
    parser.add_argument("--rejected", type=Path, help="file for broken records; OUT's name with .rejected.jsonl")
    options = parser.parse_args(arguments)
    job = Job(**vars(options))
    written, broken = convert(job)
    print(f"{written} records in {job.out}" + (f", {broken} broken ones in {_rejected(job)}" if broken else ""))
    return 0


def convert(job: Job) -> tuple[int, int]:
    """Converts a set; broken records are listed and passed over.

    Returns:
        The number of records written, and of broken ones.

    Raises:
        ValueError: a record that the format cannot hold, by its number; or no record can be read; or the format cannot
            be written.
        OSError: a file cannot be read or written; an older OUT is still there then.
    """
    _check_files(job)
    how = layout(job.source)
    embed = job.embed or (how.carries_images and job.extract is None)
    total = count_records(job.source) if how.container in ("jsonl", "parquet") else None  # cheap in these alone
    written, first = 0, ""
    with (
        open_writer(
            job.out,
            job.dialect or how.dialect,
            lossy=job.lossy,
            image_root=image_root(job.source, job.images),
            extract_to=job.extract,
            embed=embed,
        ) as writer,
        rejected_list(_rejected(job)) as rejected,
        tqdm(read_records(job.source), desc="convert", unit="record", total=total, delay=1) as entries,
    ):
        for entry in entries:
            if entry.record is None:
                rejected.add(entry.number, entry.reason)
                first = first or entry.reason
            else:
                _write(writer, entry.record, entry.number, job)
                written += 1
        if first and not written:
            raise ValueError(f"{job.source}: no record can be read; the first: {first}")
    return written, rejected.count


def _write(writer: Writer, record: Record, number: int, job: Job) -> None:
    try:
        writer.write(record, number)
    except Inexpressible as error:
        hint = "" if job.lossy else "; or --lossy writes it as near as possible"
        raise ValueError(f"{job.source}, {error}{hint}") from error


def _rejected(job: Job) -> Path:
    return job.rejected or job.out.with_suffix(".rejected.jsonl")


def _check_files(job: Job) -> None:
    out, rejected = job.out.resolve(), _rejected(job).resolve()
    sources = {file.resolve() for file in files_of(job.source)}
    if out == rejected or sources & {out, rejected}:
        raise ValueError(f"{job.out}: IN, OUT and the list of broken records must be three files")
    if job.out.is_dir():
        raise ValueError(f"{job.out}: is a folder; give a file")
