"""Instruction-tuning sets in and out: containers (JSON, Parquet, shards) of records in dialects (LLaVA and others)."""

from data_modules.formats.dialects import DIALECTS
from data_modules.formats.export import write_llava_json, write_parquet
from data_modules.formats.pictures import image_root, picture_file
from data_modules.formats.readers import Layout, count_records, layout, read_records
from data_modules.formats.record import Entry, Inexpressible, Message, Picture, Record
from data_modules.formats.training import read_conversations, to_conversation
from data_modules.formats.writers import Writer, open_writer

__all__ = [
    "DIALECTS",
    "Entry",
    "Inexpressible",
    "Layout",
    "Message",
    "Picture",
    "Record",
    "Writer",
    "count_records",
    "image_root",
    "layout",
    "open_writer",
    "picture_file",
    "read_conversations",
    "read_records",
    "to_conversation",
    "write_llava_json",
    "write_parquet",
]
