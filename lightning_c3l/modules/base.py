"""What a training checkpoint holds: trained weights only, and a loud check that they all come back."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from lightning import LightningModule
from lightning.pytorch.strategies import DeepSpeedStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch.distributed.fsdp import FSDPModule

from lightning_c3l.distributed import fsdp
from lightning_c3l.lvlm.base import LVLM
from lightning_c3l.lvlm.training_mode import eval_mode
from lightning_c3l.modules.optimization import Schedule


class TrainedWeightsModule(LightningModule):
    """A module whose checkpoints leave out frozen weights; they are in the LVLM's own checkpoint folder already.

    Its weights may be split over processes while it is trained.
    """

    lvlm: LVLM
    # frozen weights are missing from the file on purpose; `on_load_checkpoint` checks the others by name
    strict_loading = False
    _is_whole = False

    def configure_model(self) -> None:
        """Refuse to predict under a strategy that would split the weights.

        Raises:
            ValueError: with ZeRO stage 3, except in `fit`.
        """
        strategy, fitting = self.trainer.strategy, self.trainer.state.fn == TrainerFn.FITTING
        if isinstance(strategy, DeepSpeedStrategy) and strategy.zero_stage_3 and not fitting:
            raise ValueError("trainer.strategy: predict needs whole weights on every device: leave ZeRO stage 3 out")

    def on_train_start(self) -> None:
        """Learning rate and schedule are those of this start, also where a checkpoint brought others."""
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, Schedule):
                config.scheduler.reconfigure()

    def forward(self) -> None:
        """No-op. FSDP2 makes the module of the first forward the root; training steps call submodules directly."""

    @contextmanager
    def whole_weights(self) -> Iterator[None]:
        """Inside, all weights are on this process' device, whatever the strategy does with them.

        Collective where they are split: all processes must enter and leave together, but may do inside what they like.
        Blocks inside blocks are no longer collective.
        """
        if self._trainer is None or self._is_whole:
            yield
            return
        strategy = self._trainer.strategy
        if self.device != strategy.root_device:
            # Lightning moves the module to the CPU before `on_fit_end`
            self.to(strategy.root_device)
        gathered: AbstractContextManager[None] = nullcontext()
        if isinstance(self, FSDPModule):
            gathered = fsdp.gathered(self)
        elif isinstance(strategy, DeepSpeedStrategy) and strategy.zero_stage_3:
            gathered = fsdp.gathered_zero3(strategy.deepspeed_engine)
        self._is_whole = True
        try:
            with gathered:
                yield
        finally:
            self._is_whole = False

    @contextmanager
    def inference_context(self) -> Iterator[None]:
        """Use the LVLM outside of training steps: whole weights, eval mode and the trainer's precision.

        All ranks must enter it together, or inside `whole_weights`, which has to be entered so.
        """
        trainer = self._trainer
        precision = nullcontext() if trainer is None else trainer.precision_plugin.forward_context()
        with self.whole_weights(), precision, eval_mode(self):
            yield

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep trained weights only, and which base they belong to."""
        checkpoint["base"] = {"path": self.lvlm.name, "fingerprint": self.lvlm.fingerprint}
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that the file holds exactly the weights that this module trains, on the base that they belong to.

        Raises:
            ValueError: it is of another base, a weight is missing, too much or of another shape (the first is named),
                or training is to resume from weights alone.
        """
        trainer = self._trainer
        file = "the checkpoint" if trainer is None else f"{trainer.ckpt_path}: the checkpoint"
        if trainer is not None and trainer.state.fn == TrainerFn.FITTING and "lr_schedulers" not in checkpoint:
            raise ValueError(f"{file} holds no state of training to go on from")
        # files of older versions do not say
        base = checkpoint.get("base")
        if base is not None and base["fingerprint"] != self.lvlm.fingerprint:
            raise ValueError(
                f"ckpt_path: the checkpoint was trained on {base['path']} with fingerprint {base['fingerprint']}, but "
                f"model.lvlm.path {self.lvlm.name} has fingerprint {self.lvlm.fingerprint}: give the same base"
            )
        if "state_dict" not in checkpoint:  # DeepSpeed has read the weights itself, from files of its own
            return
        trained = {name: p.shape for name, p in self.named_parameters() if p.requires_grad}
        stored = {name: value.shape for name, value in checkpoint["state_dict"].items()}
        differing = {name for name in trained.keys() & stored.keys() if trained[name] != stored[name]}
        for problem, names in (
            ("lacks", trained.keys() - stored.keys()),
            ("holds the unknown", stored.keys() - trained.keys()),
            ("has another shape of", differing),
        ):
            if names:
                raise ValueError(
                    f"{file} {problem} weight {min(names)}: it was made with another LVLM or other adapter options"
                )
