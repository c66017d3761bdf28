"""A contrastive loss in a file of the user's own, by hand; `test_rounds` trains with it."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_c3l.lvlm.batches import GroupStates
from lightning_c3l.modules.contrast import form_of
from lightning_c3l.modules.loss_config import LossConfig

NAME = "my_loss.simpo"


@pytest.fixture(scope="module", autouse=True)
def _file(written: Any) -> None:
    assert written("loss") == "my_loss"


def states() -> GroupStates:
    """A group with a positive of mean log-probability -1 and a negative of -3, and a group without a negative."""
    logp = torch.tensor([[-1.0, -1.0, 0.0], [-2.0, -4.0, 0.0], [-9.0, 0.0, 0.0]])
    target, none = logp != 0, torch.zeros(2, 1)
    return GroupStates(
        *(none, none, none, none, none[..., None], none, torch.zeros(3, 3, 1), target),
        owner=torch.tensor([0, 0, 1]),
        role=torch.tensor([0, 1, 0]),
        candidate_ids=torch.zeros(3, 3, dtype=torch.int64),
        candidate_logp=logp,
        candidate_target=target,
    )


def test_the_formula_by_hand() -> None:
    found = form_of("loss.form", NAME).term(states(), LossConfig(form=NAME, beta=2.0), None, None)
    # -log sigmoid(2 (-1 + 3 - 0.5))
    assert found.tolist() == pytest.approx([math.log(1 + math.exp(-3.0)), 0.0])


def test_the_form_says_what_it_needs() -> None:
    loss = LossConfig(form=NAME, beta=2.0, temperature=1.0, length_normalised=True)
    assert (loss.needs, loss.has_head, loss.reference_uses) == (("negatives",), False, ["token_weights: visual"])
    assert loss.extras.negatives


def test_other_needs(working_folder: Path) -> None:
    text = "def own(states, options, reference, head): ...\nown.needs = ('blind', 'head')\ndef plain(*all): ...\n"
    text += "def odd(*all): ...\nodd.needs = ('gradient',)\n"
    (working_folder / "my_forms.py").write_text(text)
    loss = LossConfig(form="my_forms.own", layer=0.5)
    assert (loss.has_head, loss.reference_uses) == (True, ["form: my_forms.own", "token_weights: visual"])
    assert (loss.extras.blind, loss.extras.negatives, loss.extras.depth) == (True, False, 0.5)
    assert LossConfig(form="my_forms.plain").needs == ("negatives",)
    assert LossConfig(form="my_forms.own", contrastive_weight=0.0).needs == ()
    with pytest.raises(ValueError, match=r"loss\.form my_forms\.odd: needs gradient; known are negatives"):
        LossConfig(form="my_forms.odd")
