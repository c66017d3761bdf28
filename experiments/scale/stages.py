"""The stages of a round and of a data set, each for a process of its own: the callbacks of a run on stubs."""

import json
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import callbacks.dataset_export
from callbacks.dataset_export import DatasetExport
from callbacks.i2c_reweighting import I2CReweighting
from experiments.scale.phases import Phases
from experiments.scale.stub import PER_IMAGE, Stopped, StubData, StubModule
from lightning_c3l.rounds.engine import RoundEngine
from lightning_c3l.rounds.run_page import read_rounds, write_page
from lightning_c3l.rounds.store import RunStore

# images whose scores are left to the second stage: a run that is killed shortly before its end
_LEFT = 128
# of the candidates, so many are exported
_SHARE = 20


def make_round(folder: Path, images: int, phases: Phases) -> None:
    """Generate and score the candidates of a round, until shortly before its end."""
    with suppress(Stopped):
        _fit_start(folder, images, images - _LEFT)


def finish_round(folder: Path, images: int, phases: Phases) -> None:
    """Go on with the round: gather what was made, select, store, and hand the groups over."""
    with ExitStack() as stack:
        stack.enter_context(phases.within(RoundEngine, "make_records", "gather"))
        stack.enter_context(phases.within(I2CReweighting, "_finish", "select"))
        stack.enter_context(phases.within(RunStore, "write_round", "store"))
        stack.enter_context(phases.within(I2CReweighting, "_hand_over", "hand over"))
        data = _fit_start(folder, images)
    if not data.groups:
        raise ValueError("the round has no groups")


def make_set(folder: Path, images: int, phases: Phases) -> None:
    """Generate and score the candidates of a data set, until shortly before its end."""
    with suppress(Stopped):
        _export(folder, images, images - _LEFT)


def finish_set(folder: Path, images: int, phases: Phases) -> None:
    """Go on with the data set: gather what was made, select and write."""
    with ExitStack() as stack:
        stack.enter_context(phases.within(RoundEngine, "final_records", "gather"))
        stack.enter_context(phases.within(DatasetExport, "_export", "export"))
        stack.enter_context(phases.within(callbacks.dataset_export, "select_candidates", "select"))
        _export(folder, images)


def report(folder: Path, images: int, phases: Phases) -> None:
    """Write the page about the run."""
    store = RunStore(folder)
    candidates, figures = read_rounds(store)
    write_page(folder, {**store.summary(), "rounds": figures}, candidates, lambda *_: None)


# function of each stage, and its phase outside of those that it names
STAGES: dict[str, tuple[Callable[[Path, int, Phases], None], str]] = {
    "make round": (make_round, "generate, score"),
    "round": (finish_round, "start, end"),
    "make data set": (make_set, "generate, score"),
    "data set": (finish_set, "start, end"),
    "page": (report, "report"),
}


def measure(stage: str, folder: Path, images: int) -> dict[str, Any]:
    """Run a stage in this process.

    Returns:
        `seconds`, `cpu_seconds` and `peak_bytes` by phase.
    """
    function, first = STAGES[stage]
    # of images that were drawn for the last time
    warnings.simplefilter("ignore")
    phases = Phases(first)
    function(folder, images, phases)
    phases.change("")
    return phases.found


def _fit_start(folder: Path, images: int, stop_after: int | None = None) -> StubData:
    data = StubData(images)
    callback, module = I2CReweighting(), StubModule(stop_after)
    callback.on_fit_start(_trainer(folder, data), module)  # type: ignore[arg-type]
    return data


def _export(folder: Path, images: int, stop_after: int | None = None) -> None:
    callback = DatasetExport(target_size=max(images * PER_IMAGE // _SHARE, 1))
    callback.on_fit_end(_trainer(folder, StubData(images)), StubModule(stop_after))  # type: ignore[arg-type]


def _trainer(folder: Path, data: StubData) -> Any:
    return SimpleNamespace(
        default_root_dir=str(folder), datamodule=data, max_epochs=1, max_steps=-1, global_step=0, should_stop=False
    )


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
