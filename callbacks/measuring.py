"""Measurements that all processes make together, and that a resumed run finds in summary.json."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from data_modules.loading.samplers import share
from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.external import GENERATOR_DTYPE
from lightning_c3l.rounds.engine import RoundEngine
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.rounds.templates import load_templates
from lightning_c3l.runs.digests import content_digest

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")
Figures = dict[str, Any]
# part of summary.json that says what the figures of other parts were measured with
_MADE_WITH = "measured_with"


def share_out(items: Sequence[_Item], work: Callable[[Sequence[_Item], int], Sequence[_Made]]) -> list[_Made]:
    """What is made of all items, in their order, in every process; each does its share, and all must call this.

    Args:
        items: the same in all processes.
        work: makes something of neighbouring items, given the number of the first; not called where there are none.
    """
    own = share(len(items), collectives.rank(), collectives.world())
    made = work(items[own.start : own.stop], own.start) if own else []
    return [one for part in collectives.gather(list(made)) for one in part]


def origin(engine: RoundEngine, *what: Any) -> str:
    """Digest of a model and of what it is measured on: equal digests mean equal figures.

    Every rank must call it.

    Args:
        engine: with the model that is measured.
        what: what else the figures depend on, as JSON values.
    """
    templates = [[one.kind, one.text] for one in load_templates(engine.config.templates)]
    # the name that this class had when the first digests were made
    options = repr(engine.config).replace("GenerationConfig", "Writing", 1)
    writer = [engine.weights_digest(), engine.lvlm.fingerprint, engine.seed, options, templates]
    # nothing is added where the LVLM generates itself; a precision may be known at one time and not at another
    generator = [value for name, value in engine.generated_by().items() if name != GENERATOR_DTYPE]
    return content_digest(json.dumps([writer, *what, *generator]))


def measured_once(store: RunStore, part: str, name: str, made_with: str, measure: Callable[[], Figures]) -> Figures:
    """Figures from `summary.json`, where they have been measured in the same way; else measured and put there.

    Every process must call this; the first one reads and writes the file, and its digest counts.

    Args:
        store: the run.
        part: part of the summary.
        name: name of the figures in it.
        made_with: digest of all that the figures depend on, by `origin`.
        measure: gives the figures, the same in all processes.
    """
    # all must decide alike
    summary, made_with = collectives.on_rank_zero(lambda: (store.summary(), made_with))
    known: Figures | None = summary.get(part, {}).get(name)
    origins: dict[str, dict[str, str]] = summary.get(_MADE_WITH, {})
    if known is not None and origins.get(part, {}).get(name) == made_with:
        return known
    figures = measure()
    parts = {part: {**summary.get(part, {}), name: figures}}
    parts[_MADE_WITH] = {**origins, part: {**origins.get(part, {}), name: made_with}}
    collectives.on_rank_zero(lambda: store.update_summary(**parts))
    return figures
