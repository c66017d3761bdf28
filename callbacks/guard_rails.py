"""Guard rails against collapse in self-training: every state of the model is compared with the first."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from callbacks.i2c_reweighting import I2CReweighting
from callbacks.measuring import share_out
from callbacks.order import Order
from callbacks.round_images import require_measured
from lightning_c3l.distributed import collectives
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.modules.best_state import BestState
from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.figures import criterion_name
from lightning_c3l.report.progress import stage
from lightning_c3l.rounds.collapse import (
    CollapseLimits,
    held_out_by_image,
    held_out_criterion,
    inflation,
    tripped,
)
from lightning_c3l.rounds.figures import round_figures
from lightning_c3l.rounds.generation import Completions, ImageChunk, iter_image_chunks, spans
from lightning_c3l.rounds.run import RoundRun
from lightning_c3l.selection.scoring_config import ScoringConfig

# images that one process writes about at once; the control's partners lie among them, so it must not depend on how
# many processes there are
_PART = 8


class GuardRails(Callback):
    """Judges the model as each round begins, and after the last, by what it writes; no truth is needed.

    State k is the model that writes round k. Its figures are those of round k, held against round 0's, and the
    held-out criterion: the starting model's S(I2C) of what the state writes on a few held-out images, with the right
    image less with another one (see `lightning_c3l.rounds.collapse.held_out_criterion`). The state after the last
    round writes no round: it is judged by what it writes on those images. The best state is the one with the highest
    criterion (the earlier of two) among those before the first that broke a limit: what comes after was trained on what
    a broken writer wrote, even where its figures recover. It is kept in `<run>/best/`, for any action but off.

    Args:
        action: `warn`; `stop`, which ends training and takes the run's adapter and data set from the best state; or
            `off`. A warning never changes what a run makes, and where no limit is broken, neither does `stop`.
        limits: how far a state may fall behind the first one.
        images: number of held-out images to generate about; images of the rounds where there are no held-out ones.
    """

    order = Order.GUARD

    def __init__(
        self,
        action: Literal["off", "warn", "stop"] = "warn",
        limits: CollapseLimits = CollapseLimits(),  # noqa: B008  # frozen
        images: int = 32,
    ) -> None:
        if action not in ("off", "warn", "stop"):
            raise ValueError(f"guard.action must be off, warn or stop, not {action!r}")
        if images < 2:
            raise ValueError(f"guard.images must be at least 2, so that each has another one, not {images}")
        self.action, self.limits, self.images = action, limits, images
        self._states: list[dict[str, Any]] = []
        # source and digests of the images that the first state was judged by
        self._measured: dict[str, Any] = {}
        self._moved, self._readings = False, tuple[str, ...]()
        self._run: RoundRun | None = None

    def state_dict(self) -> dict[str, Any]:
        """What has been judged, and whether training has gone on since."""
        return {"states": self._states, "moved": self._moved, "measured": self._measured}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A resumed run judges no state twice, and compares with the same first state."""
        self._states, self._moved = [dict(state) for state in state_dict["states"]], state_dict["moved"]
        self._measured = state_dict.get("measured", {})

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the state that generated the first round; on resume, that of a round that was made but not judged.

        Raises:
            ValueError: if the best state could not be restored in the end, or there is no first state to compare with.
        """
        if self.action == "stop" and any(hasattr(parameter, "ds_id") for parameter in pl_module.parameters()):
            raise ValueError("guard.action: stop cannot put weights back under ZeRO stage 3: set warn, and take best/")
        self._run = run = None if self.action == "off" else RoundRun.of(trainer, pl_module)
        # from the options, since what a run folder names is never imported
        rounds = I2CReweighting.of(trainer)
        self._readings = () if rounds is None else rounds.pseudo_labels.scoring.readings
        if run is None:
            return
        if self._measured:
            require_measured(self._measured, run.data, "--guard.action off")
        # a damaged one is reported now, and not after the next round
        collectives.on_rank_zero(_best(run).known)
        if not self._states and run.data.round > 0:
            raise ValueError(
                "guard.action: the guard was off when round 0 was made, so nothing is known to hold round "
                f"{run.data.round} against; set --guard.action off"
            )
        self._look(trainer, pl_module, run)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on the model is no longer the state that was judged last."""
        self._moved = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the state that generated the round that was just made."""
        if self._run is not None:
            self._look(trainer, pl_module, self._run)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the last state; if a limit stopped the run, the best one takes its place for all exports."""
        run = self._run
        if not self._states or run is None:
            return
        if self._moved:
            self._judge(pl_module, run, self._states[-1]["round"] + 1, made=False)
        exported = last = self._states[-1]
        if self.action == "stop" and last["tripped"]:
            exported = _best(run).put_back(pl_module)
            rank_zero_info(f"guard: adapter and data set are those of state {exported['round']}, the best one")
        self._tell(run, exported["round"])

    def _look(self, trainer: Trainer, module: LightningModule, run: RoundRun) -> None:
        """Judge the round that is trained on next, unless that has been done."""
        number = run.data.round
        if number > max((state["round"] for state in self._states), default=-1):
            self._judge(module, run, number, made=True)
        if self.action == "stop" and self._states[-1]["tripped"]:
            trainer.should_stop = True

    def _judge(self, module: LightningModule, run: RoundRun, number: int, made: bool) -> None:
        """Compare the model as it is now with the first state.

        Args:
            module: the model.
            run: its parts.
            number: of the state.
            made: whether it has generated a round.
        """
        scored = self._generate(run)

        def judgement() -> dict[str, Any]:
            # by the reading of the round's own figures, with which it is compared
            generated = round_figures(scored, run.store.reading(run.data.round), run.engine.seed)
            own = run.store.read_figures(number) if made else generated
            state: dict[str, Any] = {
                "round": number,
                "held_out": held_out_criterion(scored),
                "by_image": held_out_by_image(scored),
                "inflation": inflation(own.get("i2c_mean"), generated["i2c_mean"]) if made else None,
                "figures": generated,
                # so that later states do not need the round's folder
                "own": own,
            }
            first = self._states[0] if self._states else state
            began = first["figures"] if not made else first.get("own") or run.store.read_figures(first["round"])
            # a state without a round has nothing by the run's own scorer
            before, now = _with_state(began, first if made else {**first, "inflation": None}), _with_state(own, state)
            return {**state, "tripped": tripped(before, now, self.limits, criterion_name(self._measured))}

        # all ranks must go on alike
        state = collectives.on_rank_zero(judgement)
        self._states.append(state)
        self._moved = False
        for sentence in state["tripped"]:
            rank_zero_warn(f"guard: state {number}: {sentence}")
        best = _best(run)
        known = collectives.on_rank_zero(best.known)
        # a later state was left by a run that was restarted from an earlier checkpoint, and does not count
        before, now = None if known is None else known["held_out"], state["held_out"]
        is_higher = now is not None and (before is None or now > before)
        better = known is None or known["round"] >= state["round"] or is_higher
        if better and not any(one["tripped"] for one in self._states):
            best.keep(module, {name: state[name] for name in ("round", "held_out")})
        self._tell(run)

    def _generate(self, run: RoundRun) -> list[ScoredCandidate]:
        """Candidates about the guard's images, scored by the starting model; each rank makes a share."""
        name = "images" if run.data.source("held_out") is None else "held_out"
        source, keys = run.source(self._measured.get("source", name))
        if not self._measured:
            keys = sorted(stream("guard", run.engine.seed).sample(list(keys), min(self.images, len(keys))))
            digests = run.data.digests(name)
            self._measured = {"source": name, "digests": {key: digests[key] for key in keys}}
        # all states are judged by the images of the first one
        keys = list(self._measured["digests"])
        seed = run.engine.seed * 1009 + 611_953
        # as the scores of the round, with which they are compared
        pooling = collectives.on_rank_zero(lambda: run.store.pooling(run.data.round))
        config = ScoringConfig(pooling=pooling, readings=self._readings)

        images, completions = ImageChunk(keys, source.read), Completions()

        def generate(share: Sequence[range], _: int) -> list[None]:
            own = [key for part in share for key in keys[part.start : part.stop]]
            chunk = replace(images, keys=own, instructions=images.assigned(run.engine.config))
            run.engine.generate(chunk, seed, "guard: generate", completions)
            return []

        def make(share: Sequence[range], _: int) -> list[list[ScoredCandidate]]:
            out = list[list[ScoredCandidate]]()
            with stage("guard", "images", sum(map(len, share))) as progress:
                for chunk in iter_image_chunks(run.engine.lvlm, images, share):
                    # what was generated first is not generated again
                    candidates = run.engine.generate(chunk, seed, completions=completions)
                    out.append(run.engine.score(candidates, chunk.read, seed + chunk.start, config=config))
                    progress.update(len(chunk.keys))
            return out

        parts = spans(len(keys), math.ceil(len(keys) / _PART))
        with run.module.inference_context():
            if run.engine.generates_first:
                with run.engine.generating():
                    share_out(parts, generate)
            scored = share_out(parts, make)
        return [one for part in scored for one in part]

    def _tell(self, run: RoundRun, exported: int | None = None) -> None:
        """Write what is known so far into summary.json."""
        if collectives.is_rank_zero():
            told = {"action": self.action, "source": self._measured["source"], "states": self._states}
            run.store.update_summary(guard={**told, "best": _best(run).known(), "exported": exported})
            run.store.note_images("guard", self._measured["digests"])


def _best(run: RoundRun) -> BestState:
    return BestState(run.store.folder / "best")


def _with_state(figures: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    return {**figures, "held_out": state["held_out"], "inflation": state["inflation"]}
