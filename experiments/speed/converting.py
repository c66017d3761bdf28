"""How fast `convert` is: JSONL to Parquet, records of text that name an image each."""

import json
import random
import tempfile
import time
from pathlib import Path

from lightning_c3l.cli.convert import Job, convert
from lightning_c3l.functional.random_streams import stream

_WORDS = (
    "the",
    "a",
    "shape",
    "color",
    "image",
    "of",
    "left",
    "right",
    "two",
    "red",
    "blue",
    "circle",
    "above",
    "small",
    "people",
    "standing",
    "near",
    "what",
    "is",
    "it",
)


def conversion_rate(records: int = 100_000) -> dict[str, float]:
    """Converts LLaVA-like records of two or four turns, about 500 bytes each.

    Returns:
        `records`, `bytes_per_record` (of the JSONL), `seconds`, and `records_per_second`.
    """
    with tempfile.TemporaryDirectory(prefix="c3l-bench-") as name:
        source, out = Path(name, "made.jsonl"), Path(name, "made.parquet")
        _write(source, records)
        began = time.perf_counter()
        written, _ = convert(Job(str(source), out))
        seconds = time.perf_counter() - began
        size = source.stat().st_size
    return {
        "records": written,
        "bytes_per_record": size / records,
        "seconds": seconds,
        "records_per_second": written / seconds,
    }


def _write(path: Path, records: int) -> None:
    draw = stream(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(records):
            file.write(json.dumps(_record(number, draw)) + "\n")


def _record(number: int, draw: random.Random) -> dict[str, object]:
    turns = [_turn(place, draw) for place in range(draw.choice((2, 4)))]
    turns[0]["value"] = f"<image>\n{turns[0]['value']}"
    return {"id": f"{number:012d}", "image": f"coco/train2017/{number:012d}.jpg", "conversations": turns}


def _turn(place: int, draw: random.Random) -> dict[str, str]:
    return {"from": ("human", "gpt")[place % 2], "value": " ".join(draw.choices(_WORDS, k=18))}
