"""Values and gradients of training batches, against one plain forward a sequence."""

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from PIL.Image import Image
from torch import Tensor, nn

from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.lvlm.training_mode import train_mode
from lightning_c3l.records import Conversation, Turn
from tests.helpers.families import Family
from tests.helpers.families.measured import Measured
from tests.helpers.families.native import Alone, Native
from tests.lvlm.huggingface.families.every.test_conversations import LATER, TURNS, said

TEXTS = ("Question: What color are the rings?\nAnswer: red", "Question: Where are they?\nAnswer: top left", "rings")


@pytest.fixture(scope="session", params=[False, True], ids=["cached", "checkpointing"])
def trained(request: pytest.FixtureRequest, load: Callable[..., HuggingFaceLVLM]) -> HuggingFaceLVLM:
    """As it is while it is trained, without and with gradient checkpointing."""
    lvlm = load(gradient_checkpointing=request.param)
    train_mode(lvlm.network)
    return lvlm


def gradients(network: nn.Module, objective: Tensor) -> dict[str, Tensor]:
    """Gradients of the adapters, by their names in the model."""
    for parameter in network.parameters():
        parameter.grad = None
    objective.backward()  # type: ignore[no-untyped-call]
    return {
        name.removeprefix("base_model.model."): torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in network.named_parameters()
        if ".lora_" in name
    }


def groups(images: Sequence[Image]) -> list[GroupSample]:
    """Two groups of different sizes, over images of different sizes."""
    return [
        GroupSample(images[1], "Write a color question.", TEXTS, "What color are the rings?", "two rings"),
        GroupSample(images[2], "Write a question, with its answer.", TEXTS[1:2], "How many are there?", "four rings"),
    ]


class PlainGroups:
    """The groups by plain forwards: rows of each, and the gradients of the sum of all that the losses read."""

    def __init__(self, native: Native, samples: Sequence[GroupSample]) -> None:
        self.texts = [[native.answer(one.instruction, text, one.image) for text in one.texts] for one in samples]
        self.answers = [native.answer(one.question, one.answer, one.image) for one in samples]
        objective = sum(self._objective(*rows) for rows in zip(self.texts, self.answers, strict=True))
        assert isinstance(objective, Tensor)
        self.gradients = gradients(native.model, objective)

    def _objective(self, texts: Sequence[Alone], answer: Alone) -> Tensor:
        anchor = texts[0].hidden[: texts[0].answers[0].start]
        hidden = torch.stack([text.hidden_of().mean() for text in texts]).sum() + anchor.mean()
        return texts[0].logp(closed=True).sum() + answer.logp(closed=True).sum() + hidden


@pytest.fixture(scope="session")
def plain_groups(native: Native, images: list[Image]) -> PlainGroups:
    return PlainGroups(native, groups(images))


def test_groups(trained: HuggingFaceLVLM, plain_groups: PlainGroups, images: list[Image], measured: Measured) -> None:
    batch = trained.encode_groups(groups(images), "prompt", "image")
    states = trained.group_states(batch, "prompt", "image")
    objective = torch.zeros(())
    for group, (texts, answer) in enumerate(zip(plain_groups.texts, plain_groups.answers, strict=True)):
        positive = states.positive_logp[group][states.positive_mask[group]]
        answered = states.answer_logp[group][states.answer_mask[group]]
        anchor = states.anchor[group][states.anchor_mask[group]]
        measured.close("group, positive", positive, texts[0].logp(closed=True))
        measured.close("group, answer", answered, answer.logp(closed=True))
        measured.close_states("group, anchor", anchor, texts[0].hidden[: texts[0].answers[0].start])
        objective = objective + positive.sum() + answered.sum() + anchor.mean()
    rows = sorted(zip(states.owner.tolist(), states.role.tolist(), range(len(states.owner)), strict=True))
    assert [row[:2] for row in rows] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    for group, role, row in rows:
        found = states.candidates[row][states.candidate_mask[row]]
        measured.close_states("group, candidates", found, plain_groups.texts[group][role].hidden_of())
        objective = objective + found.mean()
    measured.close_gradients("group, gradients", gradients(trained.network, objective), plain_groups.gradients)


def records(images: Sequence[Image], family: Family) -> Iterator[tuple[tuple[Turn, ...], list[Image]]]:
    """Turns and images: with one and without, of one exchange and several, and with two where the family takes them."""
    yield TURNS, [images[1]]
    yield TURNS[2:], []
    yield TURNS[:2], [images[2]]
    if not family.one_image:
        yield LATER, images[:2]


@pytest.fixture(scope="session")
def plain_records(native: Native, images: list[Image], family: Family) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Log-probabilities of the targets of each record, and the gradients of their sum."""
    runs = [native.forward(said(*record)) for record in records(images, family)]
    found = [torch.cat([run.logp(turn, closed=True) for turn in range(len(run.answers))]) for run in runs]
    return [one.detach() for one in found], gradients(native.model, torch.cat(found).sum())


def test_records(
    trained: HuggingFaceLVLM,
    plain_records: tuple[list[Tensor], dict[str, Tensor]],
    images: list[Image],
    family: Family,
    measured: Measured,
) -> None:
    expected, expected_gradients = plain_records
    samples = [(Conversation("r", None, turns), own) for turns, own in records(images, family)]
    batch = trained.encode_conversations(samples)
    found = trained.conversation_logp(batch)
    for row, logp in enumerate(expected):
        measured.close("record", found[row][batch.target[row]], logp)
    measured.close_gradients("record, gradients", gradients(trained.network, found.sum()), expected_gradients)
