"""A scored set as columns, and what is known about it."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_modules.formats import Entry, Record, read_records, record_kind
from lightning_c3l.cli.set_sentences import NONE_LEFT, lost_an_answer, supported_part
from lightning_c3l.report.progress import track
from lightning_c3l.selection.columns import Columns, ColumnsBuilder, ScoredRecord, Shingles, hash_of
from lightning_c3l.selection.plan import SelectionPlan
from lightning_c3l.selection.scores import RecordScore, Turns, record_score

UNREADABLE = "unreadable"


def beside(path: str | Path, end: str) -> Path:
    """The file of the same stem."""
    return Path(os.path.splitext(path)[0] + end)


def read_meta(source: str) -> dict[str, Any]:
    """What is known about the scored set, from the file beside it: `image_root` and `scored_with`, where it has them.

    Raises:
        ValueError: the file is not what it should be.
    """
    path = beside(source, ".meta.json")
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(meta, dict) or not isinstance(meta.get("scored_with", {}), dict):
            raise ValueError("must be an object, and so must be its 'scored_with'")
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}; mend it or move it away") from error
    return {name: meta[name] for name in ("image_root", "scored_with") if name in meta}


def read_columns(
    source: str, by: str, turns: Turns, plan: SelectionPlan, sentences: bool = False
) -> tuple[Columns, dict[str, str]]:
    """The set as small columns, and the model that a run's own records name.

    Args:
        source: the scored set.
        by: the reading to go by.
        turns: how turns become the score of a record.
        plan: the rules that the columns are for; texts are hashed only where a rule compares them.
        sentences: whether answers lose the sentences that the image does not support.

    Raises:
        ValueError: nothing of the set can be read.
        OSError: likewise.
    """
    shingles: Shingles | None = None if plan.near_duplicates is None else "pairs"
    builder, models = ColumnsBuilder(plan.drops_duplicates, shingles), set[str]()
    for entry in track(read_records(source), "read", "records"):
        builder.add(_scored_record(entry, by, turns, sentences))
        # a set may name a model for each record; two say already that there is no one model
        if entry.record is not None and len(models) < 2:
            models |= _models(entry.record)
    return builder.finish(), {"fingerprint": models.pop()} if len(models) == 1 else {}


def _scored_record(entry: Entry, by: str, turns: Turns, sentences: bool) -> ScoredRecord:
    record = entry.record
    if record is None:
        return ScoredRecord(entry.number, RecordScore(math.nan, 0, UNREADABLE), "")
    if sentences:
        record = supported_part(record)
        if lost_an_answer(record):
            return ScoredRecord(entry.number, RecordScore(math.nan, 0, NONE_LEFT), record_kind(record))
    return ScoredRecord(
        number=entry.number,
        score=record_score(record.extra, by, turns),
        kind=record_kind(record),
        images=hash_of(image.name if image.data is None else image.data for image in record.images),
        messages=[(one.role, one.text) for one in record.messages if one.role in ("user", "assistant")],
    )


def _models(record: Record) -> set[str]:
    own = record.extra.get("c3l")
    provenance = own.get("provenance") if isinstance(own, Mapping) else None
    model = provenance.get("model") if isinstance(provenance, Mapping) else None
    return {model} if isinstance(model, str) else set()
