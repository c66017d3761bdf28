"""What is written when training ends."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from callbacks.adapter_export import AdapterExport
from lightning_c3l.modules.whole_batch import WholeBatchModule


class Toy(WholeBatchModule):
    """One weight, and an LVLM that can only be saved."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.lvlm: Any = SimpleNamespace(
            saved_as="adapter", save=lambda folder: (folder / "weights").touch(), prepare_training=lambda: None
        )

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.weigh(1, batch_idx)
        return -self.weight

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.parametrize(
    ("options", "steps"), [({"limit_train_batches": 0}, 0), ({"max_steps": 0}, 0), ({"max_steps": 1}, 1)]
)
def test_only_what_was_trained_is_called_trained(
    tmp_path: Path,
    options: dict[str, int],
    steps: int,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[AdapterExport()],
        **options,
    )
    trainer.fit(Toy(), DataLoader(torch.zeros(4)))
    assert trainer.global_step == steps
    assert (tmp_path / "adapter").exists() == (steps > 0)
    assert ("trained adapter in" in capsys.readouterr().out) == (steps > 0)
    assert any("no step was trained: no adapter is written" in str(one.message) for one in recwarn) == (steps == 0)
