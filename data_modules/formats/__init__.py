"""Instruction-tuning sets in and out: containers (JSON, Parquet, shards) of records in dialects (LLaVA and others)."""

from data_modules.formats.dialects import DIALECTS
from data_modules.formats.export import write_llava_json, write_parquet
from data_modules.formats.images import image_root, named_root, picture_file, recorded_root
from data_modules.formats.kinds import kind_of
from data_modules.formats.readers import Layout, count_records, layout, read_records
from data_modules.formats.record import Entry, Inexpressible, Message, Picture, Record
from data_modules.formats.training import Trainable, to_conversation, trainable
from data_modules.formats.writers import Writer, open_writer

__all__ = [
    "DIALECTS",
    "Entry",
    "Inexpressible",
    "Layout",
    "Message",
    "Picture",
    "Record",
    "Trainable",
    "Writer",
    "count_records",
    "image_root",
    "kind_of",
    "layout",
    "named_root",
    "open_writer",
    "picture_file",
    "read_records",
    "recorded_root",
    "to_conversation",
    "trainable",
    "write_llava_json",
    "write_parquet",
]
