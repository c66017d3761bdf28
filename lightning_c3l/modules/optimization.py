"""AdamW with warm-up, for all modules that train."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


class Schedule(LambdaLR):
    """A schedule that can reset a restored optimizer to the settings of this start.

    A checkpoint brings back the optimizer's options with its moments: the learning rate among them.

    Args:
        optimizer: as configured now.
        lr_lambda: share of the peak by step.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, lr_lambda: Callable[[int], float]) -> None:
        self._options = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        super().__init__(optimizer, lr_lambda)

    def state_dict(self) -> dict[str, Any]:
        """State of `LambdaLR`, without the settings of this start."""
        return {name: value for name, value in super().state_dict().items() if name != "_options"}

    def reconfigure(self) -> None:
        """Apply the settings of this start to the optimizer, at its current step."""
        self.base_lrs = [options["lr"] for options in self._options]
        for group, options, share in zip(self.optimizer.param_groups, self._options, self.lr_lambdas, strict=True):
            group.update(options, initial_lr=options["lr"], lr=options["lr"] * share(self.last_epoch))
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its learning rate.

    Attributes:
        learning_rate: peak learning rate.
        weight_decay: weight decay, applied to matrices only; gains and biases are left alone.
        warmup_steps: steps over which the learning rate rises linearly to its peak.
        schedule: learning rate after the warm-up: `constant`, or a `cosine` down to `final_share` of the peak.
        final_share: share of the peak at which the cosine ends.
        beta2: beta_2 of AdamW, the decay of the second moment.
    """

    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    warmup_steps: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    final_share: float = 0.02
    beta2: float = 0.999

    def __post_init__(self) -> None:
        """Validate the ranges."""
        if not self.learning_rate > 0:
            raise ValueError(f"optimization.learning_rate must be above 0, not {self.learning_rate}")
        for name, value in (("weight_decay", self.weight_decay), ("warmup_steps", self.warmup_steps)):
            if not value >= 0:
                raise ValueError(f"optimization.{name} must be at least 0, not {value}")

    def share(self, step: int, total: Callable[[], int]) -> float:
        """Learning rate of a step as a share of the peak; `total()` steps make the run."""
        rise = min(1.0, (step + 1) / max(1, self.warmup_steps))
        # the length is asked for only when it counts: before the first round there is no loader to count
        if self.schedule == "constant" or step == 0:
            return rise
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, total()))))
        return rise * (self.final_share + (1 - self.final_share) * fall)

    def configure(self, parameters: Iterable[nn.Parameter], total: Callable[[], int]) -> OptimizerLRSchedulerConfig:
        """Optimizer and schedule in the form that Lightning expects."""
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
                {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=self.learning_rate,
            betas=(0.9, self.beta2),
        )
        scheduler = Schedule(optimizer, lambda step: self.share(step, total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
