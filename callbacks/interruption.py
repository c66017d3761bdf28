"""Ctrl-C leaves a checkpoint and says how to go on."""

import shlex
from pathlib import Path

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only


class Interruption(Callback):
    """Saves `checkpoints/interrupted.ckpt` when the run is interrupted.

    Args:
        command: the words of the command that was interrupted.
    """

    def __init__(self, command: list[str]) -> None:
        self.command = command

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Only for an interruption: after a fault, the last good checkpoint is the one to use."""
        if not isinstance(exception, KeyboardInterrupt) or not trainer.optimizers:
            if isinstance(exception, KeyboardInterrupt):
                self._say("interrupted before training began; to start again:", self.command)
            return
        path = Path(trainer.default_root_dir) / "checkpoints" / "interrupted.ckpt"
        trainer.save_checkpoint(path)
        self._say(f"interrupted; checkpoint {path}; to go on:", [*self._plain(), "--ckpt_path", str(path)])

    def _plain(self) -> list[str]:
        """The command without an earlier --ckpt_path."""
        words, out, skip = self.command, list[str](), False
        for word in words:
            if skip or word == "--ckpt_path":
                skip = word == "--ckpt_path"
                continue
            if not word.startswith("--ckpt_path="):
                out.append(word)
        return out

    @rank_zero_only
    def _say(self, what: str, words: list[str]) -> None:
        print(f"\n{what}\n  {shlex.join(words)}", flush=True)
