"""Models that do more than their decoder does from embeddings are found out before they are used."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_c3l.lvlm.base import LVLMError, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.tiny import SMALL_LORA, decoder_of, generate_texts, pictures


@pytest.mark.parametrize("with_image", [True, False])
def test_logits_that_scoring_would_not_follow_are_refused(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, with_image: bool
) -> None:
    """As if the model scaled what its head says, with an image or without one alone."""
    lvlm = HuggingFaceLVLM(str(tiny_checkpoint), lora=SMALL_LORA)
    plain = lvlm.model.forward

    def scaled(*args: Any, **options: Any) -> Any:
        out = plain(*args, **options)
        if ("pixel_values" in options) == with_image:
            out.logits = 0.8 * out.logits
        return out

    monkeypatch.setattr(lvlm.model, "forward", scaled)
    with pytest.raises(LVLMError, match=r"LlavaForConditionalGeneration computes its logits.*difference 0\.25"):
        generate_texts(lvlm, pictures(1), ["Where?"], Sampling(1, 2), 0)
    with pytest.raises(LVLMError, match="not supported"):
        score_pairs(lvlm, pictures(1), [[("Where?", "here")]])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rounding_is_no_disagreement(tiny_checkpoint: Path, dtype: Any) -> None:
    lvlm = HuggingFaceLVLM(str(tiny_checkpoint), lora=SMALL_LORA, dtype=dtype)
    assert len(generate_texts(lvlm, pictures(1), ["Where?"], Sampling(1, 2), 0)) == 1


def test_the_check_runs_once_and_leaves_the_modes_alone(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lvlm = HuggingFaceLVLM(str(tiny_checkpoint), lora=SMALL_LORA)
    lvlm.network.train()
    lvlm.model.get_decoder().layers[0].eval()
    before = [part.training for part in lvlm.network.modules()]
    runs, plain = list[torch.dtype](), lvlm.model.forward
    monkeypatch.setattr(lvlm.model, "forward", lambda **x: (runs.append(torch.float32), plain(**x))[1])
    for _ in range(2):
        _ = decoder_of(lvlm)
    assert len(runs) == 2  # with an image and without
    assert [part.training for part in lvlm.network.modules()] == before
