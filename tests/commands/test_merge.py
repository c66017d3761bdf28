"""`merge` against the adapter that it folds in."""

from pathlib import Path

import pytest
import torch

from lightning_c3l.commands.merge import main
from lightning_c3l.scoring import score_pairs
from tests.tiny import load_tiny, pictures

PAIRS = [[("What color are the rings?", "red"), ("Where are the crosses?", "top left corner")]]


def test_merged_weights_score_alike(tiny_checkpoint: Path, tmp_path: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint)
    lvlm.save(tmp_path / "adapter")
    assert main([str(tiny_checkpoint), str(tmp_path / "adapter"), str(tmp_path / "merged")]) == 0
    merged, base = (load_tiny(folder, None) for folder in (tmp_path / "merged", tiny_checkpoint))
    mine, theirs, before = (score_pairs(one, pictures(1), PAIRS) for one in (lvlm, merged, base))
    torch.testing.assert_close(theirs.logp, mine.logp, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(theirs.logq, mine.logq, atol=1e-5, rtol=1e-5)
    assert float((before.logp - mine.logp).abs().max()) > 0.1


def test_what_cannot_be_merged_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no adapter_config"):
        main([str(tiny_checkpoint), str(tmp_path), str(tmp_path / "out")])
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="already exists"):
        main([str(tiny_checkpoint), str(tmp_path), str(tmp_path)])
    assert not (tmp_path / "out").exists()
