"""The embedded world's benchmarks as files, in the formats of the benchmarks that they are made after."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_c3l.runs.atomic import atomic_path, write_json_atomic, write_text_atomic
from lightning_c3l.scenes.choices import COLUMNS, mmbench_rows, seed_file
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.open_questions import llava_files
from lightning_c3l.scenes.shown import Shown
from lightning_c3l.scenes.yes_no import SPLITS, yes_no_rows

# below the folder that they are written to; a benchmark's questions lie in the folder of its name
IMAGES = "images"


def write_benchmarks(out: Path, shown: Sequence[Shown]) -> None:
    """Write images and questions: `images/`, `pope/`, `seed/`, `mmbench/` and `llava_w/` in a folder.

    Args:
        out: the folder; files of the same names are replaced.
        shown: the images.

    Raises:
        OSError: a file cannot be written.
    """
    images = {one.key: _png(one) for one in shown}
    for key, data in images.items():
        with atomic_path(out / IMAGES / key) as path:
            path.write_bytes(data)
    for split in SPLITS:
        write_text_atomic(out / "pope" / f"scenes_pope_{split}.json", _lines(yes_no_rows(shown, split)))
    write_json_atomic(out / "seed" / "scenes_seed.json", seed_file(shown))
    write_text_atomic(out / "mmbench" / "scenes_mmbench.tsv", _table(mmbench_rows(shown, images)))
    for name, rows in llava_files(shown).items():
        write_text_atomic(out / "llava_w" / name, _lines(rows))


def _png(shown: Shown) -> bytes:
    file = io.BytesIO()
    draw(shown.scene).save(file, format="PNG")
    return file.getvalue()


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
