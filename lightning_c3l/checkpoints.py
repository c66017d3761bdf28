"""What a training checkpoint holds: trained weights only, and a loud check that they all come back."""

from typing import Any

from lightning import LightningModule


class TrainedWeightsModule(LightningModule):
    """A module whose checkpoints leave out frozen weights; they are in the LVLM's own checkpoint folder already."""

    # frozen weights are missing from the file on purpose; `on_load_checkpoint` checks the others by name
    strict_loading = False

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep trained weights only."""
        trained = self._trained_names()
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that the file holds exactly the weights that this module trains.

        Raises:
            ValueError: naming the first weight that is missing, too much or of another shape.
        """
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
                    f"the checkpoint {problem} weight {min(names)}: it was made with another LVLM or other "
                    "adapter options"
                )

    def _trained_names(self) -> set[str]:
        return {name for name, parameter in self.named_parameters() if parameter.requires_grad}
