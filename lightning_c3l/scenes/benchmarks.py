"""The embedded worlds' benchmarks as files, in the formats of the benchmarks that they are modelled on."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_c3l.runs.atomic import atomic_path, write_json_atomic, write_text_atomic
from lightning_c3l.scenes.benchmark_questions import (
    COLUMNS,
    SPLITS,
    llava_files,
    mmbench_rows,
    seed_file,
    yes_no_rows,
)
from lightning_c3l.scenes.benchmark_scenes import BenchmarkScene

# folder of the images beside the folders of the benchmarks, which have their names
IMAGES = "images"


def write_benchmarks(out: Path, scenes: Sequence[BenchmarkScene]) -> None:
    """Write images and questions: `images/`, `pope/`, `seed/`, `mmbench/` and `llava_w/` in a folder.

    Args:
        out: the folder; files of the same names are replaced.
        scenes: the images.

    Raises:
        OSError: a file cannot be written.
    """
    images = dict[str, bytes]()
    for one in scenes:
        file = io.BytesIO()
        one.world.draw(one.scene).save(file, format="PNG")
        images[one.key] = file.getvalue()
        with atomic_path(out / IMAGES / one.key) as path:
            path.write_bytes(images[one.key])
    for split in SPLITS:
        write_text_atomic(out / "pope" / f"scenes_pope_{split}.json", _lines(yes_no_rows(scenes, split)))
    write_json_atomic(out / "seed" / "scenes_seed.json", seed_file(scenes))
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(mmbench_rows(scenes, images))
    write_text_atomic(out / "mmbench" / "scenes_mmbench.tsv", table.getvalue())
    for name, rows in llava_files(scenes).items():
        write_text_atomic(out / "llava_w" / name, _lines(rows))


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
