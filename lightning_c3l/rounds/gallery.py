"""Token values of the pairs that the page of a run shows, in `report/tokens.json`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lightning_c3l.report.gallery import PairKey
from lightning_c3l.report.token_values import TokenValues
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.runs import manifest
from lightning_c3l.runs.atomic import write_json_atomic

TOKENS = "report/tokens.json"


def read_token_values(store: RunStore) -> tuple[str, dict[PairKey, TokenValues]]:
    """Fingerprint of the LVLM that gave the token values of a run, and the values; nothing where there are none."""
    try:
        stored = manifest.read(store.folder / TOKENS)
    except (OSError, ValueError):  # can be made again
        return "", {}
    rows = [row for row in stored.get("pairs") or [] if isinstance(row, dict)]
    found = {_key(row): TokenValues.from_row(row.get("tokens")) for row in rows}
    return str(stored.get("model")), {key: values for key, values in found.items() if values is not None}


def write_token_values(store: RunStore, model: str, values: Mapping[PairKey, TokenValues]) -> None:
    """Keep token values in the run folder.

    Args:
        store: the run folder.
        model: fingerprint of the LVLM that gave them.
        values: by pair.
    """
    rows = [
        {"source": source, "image": image, "question": question, "answer": answer, "tokens": asdict(own)}
        for (source, image, question, answer), own in sorted(values.items())
    ]
    write_json_atomic(store.folder / TOKENS, {"model": model, "pairs": rows})


def _key(row: Mapping[str, Any]) -> PairKey:
    source, image, question, answer = (str(row.get(name)) for name in ("source", "image", "question", "answer"))
    return source, image, question, answer
