"""The round: generate, score, select, and hand the datamodule its reweighted groups."""

import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import SimpleProfiler
from lightning.pytorch.utilities import rank_zero_info

from callbacks.checkpointing import is_stopping, save_last
from callbacks.round_images import tell_of_changes, usable_groups
from lightning_c3l.distributed import collectives
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.modules.c3l import Scorer
from lightning_c3l.records import READINGS, Group, ScoredCandidate
from lightning_c3l.rounds.engine import Records, Task, begin, begun_with, kept_keys, made_with, make_records
from lightning_c3l.rounds.figures import judged, round_figures
from lightning_c3l.rounds.protocols import is_round_run
from lightning_c3l.rounds.store import DamagedRound, Round, RunStore
from lightning_c3l.rounds.templates import nothing_parsed
from lightning_c3l.selection.pseudo_labels import GroupBy, grouped, select_group, weigh_groups


class I2CReweighting(Callback):
    """Makes a round before the first epoch and after every `epochs_per_round` epochs but the last.

    Args:
        reading: which reading of S(I2C) chooses and weighs.
        scorer: the frozen starting model, or the model being trained (an ablation that is known to collapse).
        margin: a negative must score at least so much below the positive.
        cap: no group weighs more than so many times the mean of its kind.
        images_per_round: images drawn for each round; null takes all of them each time.
        epochs_per_round: epochs of training on a round's groups.
        group_by: what pseudo-labels are chosen among: the candidates of one (image, instruction), or all of one image
            (an ablation in which one kind of question takes over).
        restart_round: a run that goes on forgets what it has of the round that it was making, unless that was made
            with the same options and images: the same command may be started again.
    """

    def __init__(
        self,
        reading: str = "answer",
        scorer: Scorer = "reference",
        margin: float = 0.0,
        cap: float = 3.0,
        images_per_round: int | None = None,
        epochs_per_round: int = 1,
        group_by: GroupBy = "instruction",
        restart_round: bool = False,
    ) -> None:
        if reading not in READINGS:
            raise ValueError(f"i2c.reading must be one of {', '.join(READINGS)}, not {reading!r}")
        if not margin >= 0:
            raise ValueError(f"i2c.margin must be at least 0, not {margin}")
        for name, value in (
            ("cap", cap),
            ("epochs_per_round", epochs_per_round),
            ("images_per_round", images_per_round),
        ):
            if value is not None and not value >= 1:
                raise ValueError(f"i2c.{name} must be at least 1, not {value}")
        self.reading, self.scorer, self.margin, self.cap = reading, scorer, margin, cap
        self.images_per_round, self.epochs_per_round = images_per_round, epochs_per_round
        self.group_by: GroupBy = group_by
        self._restart = restart_round
        self._round = -1
        self._wanted = 0
        self._ended = 0
        self._epoch_began = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The last finished round, the one that training needs next, and the epochs of a run that came to its end."""
        return {"round": self._round, "wanted": self._wanted, "ended": self._ended}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume: a finished round is read back from the run folder instead of being made again."""
        self._round, self._wanted = state_dict["round"], state_dict["wanted"]
        self._ended = state_dict.get("ended", 0)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The first round, before the first loader is built; on resume, the stored one."""
        if not is_round_run(pl_module, _data(trainer)):
            return
        goes_on = not (_has_epochs(trainer, self._ended) or is_stopping(trainer))
        if self._ended and goes_on and self._ended % self.epochs_per_round == 0:
            # more epochs or steps than before: the round that the next of them begins with was not made
            self._wanted, self._ended = self._round + 1, 0
        if self._round < self._wanted:
            self._make_round(trainer, pl_module, SimpleProfiler())
        else:
            self._read_round(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock: a run resumed in the middle of an epoch gets no call at the start of that epoch."""
        self._epoch_began = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training time counts to the round."""
        self._epoch_began = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The next round, before the next loader is built."""
        if not is_round_run(pl_module, _data(trainer)):
            return
        if collectives.is_first():
            seconds = time.perf_counter() - self._epoch_began
            RunStore(trainer.default_root_dir).add_seconds(self._round, "train", seconds)
        if not trainer.is_last_batch:
            # training stopped in the middle of the epoch; a run that goes on trains on the rest of it first
            return
        done = trainer.current_epoch + 1
        last = _has_epochs(trainer, done) or is_stopping(trainer)
        self._ended = done if last else 0
        if last or done % self.epochs_per_round:
            return
        profiler, self._wanted = SimpleProfiler(), self._round + 1
        with profiler.profile("engine"):
            # who is interrupted while the round is made goes on with the very weights that write it
            save_last(trainer)
        self._make_round(trainer, pl_module, profiler)

    def _make_round(self, trainer: Trainer, module: Any, profiler: SimpleProfiler) -> None:
        """Generate, score, select, keep, hand over."""
        data, number, store = _data(trainer), self._wanted, RunStore(trainer.default_root_dir)
        with module.outside_steps():
            with profiler.profile("engine"):
                task = self._task(store, module, data)
                if self._restart:
                    collectives.by_first(lambda: self._forget_unless_same(store, module, data, task))
                    task, self._restart = self._task(store, module, data), False
                is_whole = collectives.by_first(lambda: _is_whole(store, number, module, task))
                if not is_whole:
                    collectives.by_first(lambda: tell_of_changes(store, task.digests))
            if not is_whole:
                rank_zero_info(f"round {number}: {len(task.keys)} images")
                records = make_records(module, task, profiler)
                collectives.by_first(lambda: self._finish(store, records, data, task.seed, profiler))
        with profiler.profile("engine"):
            self._hand_over(store, module, data)
        if collectives.is_first():
            store.add_seconds(number, "engine", sum(profiler.recorded_durations["engine"]))

    def _read_round(self, trainer: Trainer, module: Any) -> None:
        """The round that is trained on, as it was made."""
        store, data = RunStore(trainer.default_root_dir), _data(trainer)
        if self._restart:
            # other options than the round was made with are refused below
            rank_zero_info(f"i2c.restart_round: round {self._round} has been trained on and is not made again")
        collectives.by_first(lambda: _require_whole(store, self._round))
        task = self._task(store, module, data)
        collectives.by_first(lambda: begin(module.writing, replace(task, again="a new run"), trained=True))
        self._hand_over(store, module, data)
        collectives.by_first(lambda: tell_of_changes(store, task.digests))

    def _task(self, store: RunStore, module: Any, data: Any) -> Task:
        source, keys = data.source("images")
        folder = store.round_folder(self._wanted)
        keys = kept_keys(folder, self._choose(keys, module.seed, self._wanted))
        seed = module.seed * 1009 + self._wanted
        describes = module.loss.anchor == "description"
        depends = made_with(
            module,
            keys,
            longest_side=data.longest_side,
            scorer=self.scorer,
            descriptions=describes,
            group_by=self.group_by,
            thresholds={"reading": self.reading, "margin": self.margin, "cap": self.cap},
        )
        name, digests = f"round {self._wanted}", data.digests("images")
        return Task(name, folder, keys, source.read, seed, self.scorer, describes, depends, digests=digests)

    def _forget_unless_same(self, store: RunStore, module: Any, data: Any, task: Task) -> None:
        keys = self._choose(data.source("images")[1], module.seed, self._wanted)
        if begun_with(task.folder) == {key: task.digests.get(key, "") for key in keys}:
            try:
                begin(module.writing, task)
                return
            except ValueError as error:
                rank_zero_info(f"round {self._wanted} is made again: {error}")
        store.forget(self._wanted)

    def _finish(self, store: RunStore, records: Records, data: Any, seed: int, profiler: SimpleProfiler) -> None:
        """Select, and keep the round."""
        with profiler.profile("select"):
            groups, candidates = self._select(judged(records.candidates, data.truth.judge if data.truth else None))
            figures = {
                "round": self._wanted,
                **round_figures(candidates, groups, self.reading, seed),
                "refused_images": len(records.refused),
            }
        spent = {stage: round(sum(times), 3) for stage, times in profiler.recorded_durations.items()}
        # the engine's own is not over yet
        figures["seconds"] = {stage: seconds for stage, seconds in spent.items() if stage != "engine"}
        with profiler.profile("engine"):
            store.write_round(self._wanted, Round(candidates, groups, records.descriptions, figures))

    def _hand_over(self, store: RunStore, module: Any, data: Any) -> None:
        """Every process reads what the first has written: so all of them train on the same."""
        number = self._wanted
        collectives.require_visible(store.round_folder(number) / "round.json")
        stored, images = store.read_round(number), collectives.by_first(lambda: begun_with(store.round_folder(number)))
        if not stored.groups:
            why = nothing_parsed(module.writing.templates, [one.candidate.text for one in stored.candidates])
            raise ValueError(f"round {number} has no group to train on: {why}")
        data.set_round(number, usable_groups(stored.groups, images, data, number), stored.descriptions)
        self._round = number

    def _choose(self, keys: Sequence[str], seed: int, number: int) -> list[str]:
        if self.images_per_round is None or self.images_per_round >= len(keys):
            return list(keys)
        return stream("images", seed, number).sample(list(keys), self.images_per_round)

    def _select(self, scored: Sequence[ScoredCandidate]) -> tuple[list[Group], list[ScoredCandidate]]:
        """Pseudo-labels of every group, and all candidates with their status."""
        chosen = [select_group(own, self.reading, self.margin, self.group_by) for own in grouped(scored, self.group_by)]
        groups = weigh_groups([group for group, _ in chosen if group is not None], self.reading, self.cap)
        return groups, [one for _, own in chosen for one in own]


def _is_whole(store: RunStore, number: int, module: Any, task: Task) -> bool:
    """Whether the round has been made already, and by the same means."""
    begin(module.writing, task)
    if number not in store.rounds():
        return False
    try:
        store.read_round(number)
    except DamagedRound as error:
        warnings.warn(f"{error}; the round is made again", stacklevel=2)
        store.forget(number)
        return False
    # a run may have been killed before it could take them away
    shutil.rmtree(store.round_folder(number) / "parts", ignore_errors=True)
    return True


def _require_whole(store: RunStore, number: int) -> None:
    """A round that has been trained on cannot be made again: the model is another one since."""
    try:
        store.read_round(number)
    except DamagedRound as error:
        raise ValueError(
            f"{error}; this run is training on round {number}: put it back, or begin a new run without --ckpt_path"
        ) from error


def _has_epochs(trainer: Trainer, done: int) -> bool:
    """Whether the run has all of its epochs with so many."""
    return trainer.max_epochs is not None and 0 <= trainer.max_epochs <= done


def _data(trainer: Trainer) -> Any:
    return getattr(trainer, "datamodule", None)
