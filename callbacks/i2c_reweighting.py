"""The round: generate, score, select, and hand the datamodule its reweighted groups."""

import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from callbacks.checkpointing import is_stopping, save_last
from callbacks.order import Order
from callbacks.round_images import tell_of_changes, usable_groups
from lightning_c3l.distributed import collectives
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.modules.whole_batch import WholeBatchModule
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.rounds.engine import Records, Scorer
from lightning_c3l.rounds.figures import judged
from lightning_c3l.rounds.group_rows import GroupRows
from lightning_c3l.rounds.reuse import reused_records
from lightning_c3l.rounds.round_selection import RoundSelection
from lightning_c3l.rounds.run import RoundRun
from lightning_c3l.rounds.stage_seconds import StageSeconds
from lightning_c3l.rounds.store import DamagedRound, Round, RunStore
from lightning_c3l.rounds.tasks import Task, begin_task, known_images, resumed_keys
from lightning_c3l.rounds.templates import nothing_parsed
from lightning_c3l.selection.pseudo_labels import PseudoLabelConfig


class I2CReweighting(Callback):
    """Makes a round before the first epoch and after every `epochs_per_round` epochs but the last.

    Args:
        scorer: the frozen starting model, or the model being trained (an ablation that is known to collapse).
        images_per_round: images drawn for each round; null takes all of them each time.
        epochs_per_round: epochs of training on a round's groups.
        restart_round: a resumed run discards what it has of the round that it was making, unless that was made with the
            same options and images: the same command may be started again.
        reuse: run folder whose first round has the candidates that this run would generate: they are taken with their
            scores, and only the selection is made anew. Compares trainings on the same candidates.
        pseudo_labels: fields of `PseudoLabelConfig`.

    Raises:
        ValueError: if an option is out of range.
    """

    order = Order.ROUND

    def __init__(
        self,
        scorer: Scorer = "reference",
        images_per_round: int | None = None,
        epochs_per_round: int = 1,
        restart_round: bool = False,
        reuse: str | None = None,
        **pseudo_labels: Any,
    ) -> None:
        self.pseudo_labels = PseudoLabelConfig(**pseudo_labels)
        for name, value in (("epochs_per_round", epochs_per_round), ("images_per_round", images_per_round)):
            if value is not None and not value >= 1:
                raise ValueError(f"i2c.{name} must be at least 1, not {value}")
        self.scorer, self.images_per_round, self.epochs_per_round = scorer, images_per_round, epochs_per_round
        self._restart, self._reuse = restart_round, reuse
        self._run: RoundRun | None = None
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
        """Make the first round, before the first loader is built; on resume, read the stored one."""
        self._run = run = RoundRun.of(trainer, pl_module)
        if run is None:
            return
        if isinstance(pl_module, WholeBatchModule):
            # a model that cannot be trained says so before a round is made
            pl_module.prepare_training()
        goes_on = not (_has_epochs(trainer, self._ended) or is_stopping(trainer))
        if self._ended and goes_on and self._ended % self.epochs_per_round == 0:
            # more epochs or steps than before: the round that the next of them begins with was not made
            self._wanted, self._ended = self._round + 1, 0
        if self._round < self._wanted:
            self._make_round(run, StageSeconds())
        else:
            self._read_round(run)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start timing: a run resumed in the middle of an epoch has no call at the start of that epoch."""
        self._epoch_began = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start timing the epoch; training time counts to the round."""
        self._epoch_began = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the next round, before the next loader is built."""
        if self._run is None:
            return
        if collectives.is_rank_zero():
            seconds = time.perf_counter() - self._epoch_began
            self._run.store.add_seconds(self._round, "train", seconds)
        if not trainer.is_last_batch:
            # training stopped in the middle of the epoch; a run that goes on trains on the rest of it first
            return
        done = trainer.current_epoch + 1
        last = _has_epochs(trainer, done) or is_stopping(trainer)
        self._ended = done if last else 0
        if last or done % self.epochs_per_round:
            return
        profiler, self._wanted = StageSeconds(), self._round + 1
        with profiler.profile("engine"):
            # a run interrupted while the round is made resumes with the very weights that generate it
            save_last(trainer)
        self._make_round(self._run, profiler)

    def _make_round(self, run: RoundRun, profiler: StageSeconds) -> None:
        """Generate, score, select, store, and hand the groups to the datamodule."""
        number = self._wanted
        with run.module.inference_context():
            with profiler.profile("engine"):
                task = self._task(run)
                if self._restart:
                    collectives.on_rank_zero(lambda: self._forget_unless_same(run, task))
                    task, self._restart = self._task(run), False
                is_whole = collectives.on_rank_zero(lambda: _is_whole(run, number, task))
                if not is_whole:
                    collectives.on_rank_zero(lambda: tell_of_changes(run.store, task.digests))
            if not is_whole:
                # a log file says at once what the next minutes are spent on
                rank_zero_info(f"round {number}: {len(task.keys)} images")
                if number == 0 and self._reuse is not None:
                    folder = Path(self._reuse)
                    collectives.on_rank_zero(
                        lambda: self._finish(run, reused_records(folder, task), task.seed, profiler)
                    )
                else:
                    records = run.engine.make_records(task, profiler)
                    collectives.on_rank_zero(lambda: self._finish(run, records, task.seed, profiler))
        with profiler.profile("engine"):
            self._hand_over(run)
        if collectives.is_rank_zero():
            run.store.add_seconds(number, "engine", profiler.seconds["engine"])

    def _read_round(self, run: RoundRun) -> None:
        """Resume on the stored round that is being trained on."""
        if self._restart:
            # other options than the round was made with are refused below
            rank_zero_info(f"i2c.restart_round: round {self._round} has been trained on and is not made again")
        collectives.on_rank_zero(lambda: _require_whole(run.store, self._round))
        task = replace(self._task(run), again="a new run")
        collectives.on_rank_zero(lambda: begin_task(run.engine.config, task, trained=True))
        self._hand_over(run)
        collectives.on_rank_zero(lambda: tell_of_changes(run.store, task.digests))

    def _task(self, run: RoundRun) -> Task:
        """What the wanted round consists of; every rank must call it."""
        source, keys = run.source("images")
        folder, seed = run.store.round_folder(self._wanted), run.engine.seed
        keys = resumed_keys(folder, self._choose(keys, seed, self._wanted))
        describes, chosen = run.module.loss.anchor == "description", self.pseudo_labels
        made_with = run.engine.made_with(
            keys,
            longest_side=run.data.longest_side,
            scorer=self.scorer,
            descriptions=describes,
            group_by=chosen.group_by,
            thresholds={"reading": chosen.reading, "margin": chosen.margin, "cap": chosen.cap},
            **changed_defaults(chosen, "positive_margin", "negatives", "weighting", "balance_yes_no"),
        )
        return Task(
            name=f"round {self._wanted}",
            folder=folder,
            keys=keys,
            read=source.read,
            seed=seed * 1009 + self._wanted,
            made_with=made_with,
            scorer=self.scorer,
            describes=describes,
            pseudo_labels=chosen,
            digests=run.data.digests("images"),
        )

    def _forget_unless_same(self, run: RoundRun, task: Task) -> None:
        """Remove the rows of the wanted round if it was started with other images or options; rank zero only."""
        keys = self._choose(run.source("images")[1], run.engine.seed, self._wanted)
        if known_images(task.folder) == {key: task.digests.get(key, "") for key in keys}:
            try:
                begin_task(run.engine.config, task)
                return
            except ValueError as error:
                rank_zero_info(f"round {self._wanted} is made again: {error}")
        run.store.forget(self._wanted)

    def _finish(self, run: RoundRun, records: Records, seed: int, profiler: StageSeconds) -> None:
        """Select, and store the round."""
        truth, chosen = run.data.truth, self.pseudo_labels
        selection, judge = RoundSelection(chosen, profiler), truth.judge if truth else None
        with profiler.profile("engine"):
            candidates = run.store.begin_round(self._wanted, selection.select(judged(records.candidates, judge)))
            answers: Sequence[ScoredCandidate] = ()
            if chosen.origins:
                # a second reading of the rows, so that neither file is held in memory
                further = selection.answers(judged(records.candidates, judge))
                answers = run.store.write_answers(self._wanted, further)
        with profiler.profile("select"):
            groups = GroupRows(candidates, selection.groups())
            rejected = {"rejected_images": len(records.refused)}
            figures = {"round": self._wanted, **selection.figures(seed), **rejected}
        # `engine` is added when the round has been handed over
        spent = {stage: round(seconds, 3) for stage, seconds in profiler.seconds.items() if stage != "engine"}
        with profiler.profile("engine"):
            done = Round(candidates, groups, records.descriptions, {**figures, "seconds": spent}, answers)
            run.store.write_round(self._wanted, done)

    def _hand_over(self, run: RoundRun) -> None:
        """Give the datamodule the stored round, which every rank reads, so that all of them train on the same."""
        number, folder = self._wanted, run.store.round_folder(self._wanted)
        collectives.require_visible(folder / "round.json")
        stored, images = run.store.read_round(number), collectives.on_rank_zero(lambda: known_images(folder))
        if not stored.groups:
            why = nothing_parsed(run.engine.config.templates, (one.candidate.text for one in stored.candidates))
            if any(one.scores is not None for one in stored.candidates):
                why = f"no positive scores i2c.positive_margin {self.pseudo_labels.positive_margin} above the next"
            raise ValueError(f"round {number} has no group to train on: {why}")
        run.data.set_round(number, usable_groups(stored, images, run.data, number), stored.descriptions)
        self._round = number

    def _choose(self, keys: Sequence[str], seed: int, number: int) -> list[str]:
        if self.images_per_round is None or self.images_per_round >= len(keys):
            return list(keys)
        return stream("images", seed, number).sample(list(keys), self.images_per_round)


def changed_defaults(options: Any, *names: str) -> dict[str, Any]:
    """Those of these fields of a dataclass that differ from their default: manifests of older versions lack them."""
    defaults = {one.name: one.default for one in fields(options)}
    return {name: value for name in names if (value := getattr(options, name)) != defaults[name]}


def _is_whole(run: RoundRun, number: int, task: Task) -> bool:
    """Whether the round has been made already, with the same settings; rank zero only."""
    begin_task(run.engine.config, task)
    store = run.store
    if number not in store.rounds():
        return False
    try:
        store.read_round(number)
    except DamagedRound as error:
        warnings.warn(f"{error}; the round is made again", stacklevel=2)
        store.forget(number)
        return False
    # a run may have been killed before it could remove them
    shutil.rmtree(store.round_folder(number) / "parts", ignore_errors=True)
    return True


def _require_whole(store: RunStore, number: int) -> None:
    """Refuse to resume on a damaged round: it cannot be made again, since the model has been trained on it."""
    try:
        store.read_round(number)
    except DamagedRound as error:
        raise ValueError(
            f"{error}; this run is training on round {number}: put it back, or begin a new run without --ckpt_path"
        ) from error


def _has_epochs(trainer: Trainer, done: int) -> bool:
    """Whether the run ends after this number of epochs."""
    return trainer.max_epochs is not None and 0 <= trainer.max_epochs <= done
