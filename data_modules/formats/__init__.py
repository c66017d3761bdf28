"""Instruction-tuning sets in and out: containers (JSON, Parquet, shards) of records in dialects (LLaVA and others)."""

from data_modules.formats.dialects import DIALECTS
from data_modules.formats.export import llava_json, parquet_table, write_llava_json
from data_modules.formats.images import image_file, image_root, named_root, recorded_root
from data_modules.formats.readers import Layout, count_records, read_layout, read_records
from data_modules.formats.record import Entry, ImageRef, Inexpressible, Message, Record, WriteOptions, record_kind
from data_modules.formats.training import Trainable, to_conversation, trainable
from data_modules.formats.writers import RecordWriter, open_writer

__all__ = [
    "DIALECTS",
    "Entry",
    "ImageRef",
    "Inexpressible",
    "Layout",
    "Message",
    "Record",
    "RecordWriter",
    "Trainable",
    "WriteOptions",
    "count_records",
    "image_file",
    "image_root",
    "llava_json",
    "named_root",
    "open_writer",
    "parquet_table",
    "read_layout",
    "read_records",
    "record_kind",
    "recorded_root",
    "to_conversation",
    "trainable",
    "write_llava_json",
]
