"""The round: generate, score, select, and hand the datamodule its reweighted groups."""

import time
from collections.abc import Sequence
from random import Random
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from callbacks.protocols import is_round_run
from lightning_c3l.generation import Read
from lightning_c3l.i2c import READINGS
from lightning_c3l.lvlm.base import DESCRIBE, Sampling
from lightning_c3l.metrics.rounds import judged, round_figures
from lightning_c3l.module import Scorer
from lightning_c3l.records import Group, ScoredCandidate
from lightning_c3l.selection import select_group, weigh_groups
from lightning_c3l.store import Round, RunStore


class I2CReweighting(Callback):
    """Makes a round before the first epoch and after every `epochs_per_round` epochs but the last.

    Args:
        reading: which reading of S(I2C) chooses and weighs.
        scorer: the frozen starting model, or the model being trained (an ablation that is known to collapse).
        margin: a negative must score at least so much below the positive.
        cap: no group weighs more than so many times the mean of its kind.
        images_per_round: images drawn for each round; null takes all of them each time.
        epochs_per_round: epochs of training on a round's groups.
    """

    def __init__(
        self,
        reading: str = "answer",
        scorer: Scorer = "reference",
        margin: float = 0.0,
        cap: float = 3.0,
        images_per_round: int | None = None,
        epochs_per_round: int = 1,
    ) -> None:
        if reading not in READINGS:
            raise ValueError(f"i2c.reading must be one of {', '.join(READINGS)}, not {reading}")
        if margin < 0 or cap < 1 or epochs_per_round < 1 or (images_per_round is not None and images_per_round < 1):
            raise ValueError("i2c: margin must not be negative; cap, epochs_per_round and images_per_round at least 1")
        self.reading, self.scorer, self.margin, self.cap = reading, scorer, margin, cap
        self.images_per_round, self.epochs_per_round = images_per_round, epochs_per_round
        self._round = -1
        self._wanted = 0
        self._epoch_began = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The last finished round and the one that training needs next."""
        return {"round": self._round, "wanted": self._wanted}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume: a finished round is read back from the run folder instead of being made again."""
        self._round, self._wanted = state_dict["round"], state_dict["wanted"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The first round, before the first loader is built; on resume, the stored one."""
        if not is_round_run(pl_module, data := _data(trainer)):
            return
        if self._round < self._wanted:
            self._make_round(trainer, pl_module)
        else:
            stored = RunStore(trainer.default_root_dir).read_round(self._round)
            data.set_round(self._round, stored.groups, stored.descriptions)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training time counts to the round."""
        self._epoch_began = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The next round, before the next loader is built."""
        if is_round_run(pl_module, _data(trainer)):
            seconds = time.perf_counter() - self._epoch_began
            RunStore(trainer.default_root_dir).add_seconds(self._round, "train", seconds)
        done = trainer.current_epoch + 1
        last = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= done
        if last or trainer.should_stop or done % self.epochs_per_round:
            return
        if is_round_run(pl_module, _data(trainer)):
            self._wanted = self._round + 1
            self._make_round(trainer, pl_module)

    def _make_round(self, trainer: Trainer, module: Any) -> None:
        """Generate, score, select, keep, hand over."""
        data, number, clock = _data(trainer), self._wanted, _Clock()
        source, keys = data.source("images")
        keys = self._choose(keys, module.seed, number)
        rank_zero_info(f"round {number}: {len(keys)} images")
        seed = module.seed * 1009 + number
        scored, descriptions = list[ScoredCandidate](), dict[str, str]()
        for start, part, read in module.parts(keys, source.read):
            name = f"round {number}, image {start + 1} of {len(keys)}"
            candidates = module.write(part, read, seed, f"{name}: write", start)
            descriptions |= self._describe(module, list(dict.fromkeys(one.image for one in candidates)), read)
            clock.lap("generate")
            scored += module.score(candidates, read, self.scorer, seed + start, f"{name}: score")
            clock.lap("score")
        groups, fates = self._select(judged(scored, data.truth.judge if data.truth else None))
        clock.lap("select")
        figures = {"round": number, **round_figures(fates, groups, self.reading, seed), "seconds": clock.laps}
        RunStore(trainer.default_root_dir).write_round(number, Round(fates, groups, descriptions, figures))
        data.set_round(number, groups, descriptions)
        self._round = number

    def _choose(self, keys: Sequence[str], seed: int, number: int) -> list[str]:
        if self.images_per_round is None or self.images_per_round >= len(keys):
            return list(keys)
        return Random(f"images {seed} {number}").sample(list(keys), self.images_per_round)

    def _describe(self, module: Any, keys: Sequence[str], read: Read) -> dict[str, str]:
        """The model's own description of each image, where the loss is anchored on it."""
        if module.loss.anchor != "description":
            return {}
        greedy = Sampling(1, module.writing.sampling.max_new_tokens, 0.0)
        return dict(zip(keys, module.answers(keys, [DESCRIBE] * len(keys), read, greedy), strict=True))

    def _select(self, scored: Sequence[ScoredCandidate]) -> tuple[list[Group], list[ScoredCandidate]]:
        """Pseudo-labels of every (image, instruction), and all candidates with their fates."""
        by_group = dict[tuple[str, str, str], list[ScoredCandidate]]()
        for one in scored:
            c = one.candidate
            by_group.setdefault((c.image, c.instruction.kind, c.instruction.text), []).append(one)
        chosen = [select_group(own, self.reading, self.margin) for own in by_group.values()]
        groups = weigh_groups([group for group, _ in chosen if group is not None], self.reading, self.cap)
        return groups, [one for _, fates in chosen for one in fates]


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.laps = dict[str, float]()
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(self.laps.get(name, 0.0) + now - self._since, 3)
        self._since = now


def _data(trainer: Trainer) -> Any:
    return getattr(trainer, "datamodule", None)
