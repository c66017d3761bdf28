"""Scoring: readings and token values are those of plain forwards of the model."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import lightning_c3l
from data_modules.images.given import given_images
from lightning_c3l import Candidate, Instruction, LoRA, ScoredAnswer, ScoredCandidate
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from tests.helpers.tiny import awaken_adapter, pictures, plain

QUESTION, ANSWERS = "Where are the circles?", ["top left", "bottom right"]


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    lvlm = lightning_c3l.load(str(tiny_checkpoint), device="cpu", lora=LoRA(rank=2, alpha=4, dropout=0.5))
    awaken_adapter(lvlm)
    return lvlm


@torch.no_grad()
def logs(lvlm: HuggingFaceLVLM, image: Any, answer: str) -> list[float]:
    return plain(lvlm, QUESTION, answer, image).logp().tolist()


def require_values(found: ScoredAnswer, seen: list[float], blind: list[float]) -> None:
    """Readings and token values by their formulas."""
    assert found.scores is not None
    assert found.tokens is not None
    pairs = list(zip(seen, blind, strict=True))
    assert found.scores.gap == pytest.approx(sum(p - q for p, q in pairs) / len(pairs), abs=1e-4)
    weighed = sum(math.exp(p) * (p - q) for p, q in pairs) / len(pairs)
    assert found.scores.answer == pytest.approx(weighed, abs=1e-4)
    assert found.scores.mean_logp == pytest.approx(sum(seen) / len(seen), abs=1e-4)
    assert found.tokens.logp_image == pytest.approx(seen, abs=1e-3)
    assert found.tokens.logp_blind == pytest.approx(blind, abs=1e-3)
    assert "".join(found.tokens.texts) == found.candidate.answer


def test_a_pair(lvlm: HuggingFaceLVLM) -> None:
    image = pictures(1)[0]
    found = lightning_c3l.score(lvlm, image, QUESTION, "top left")
    require_values(found, logs(lvlm, image, "top left"), logs(lvlm, None, "top left"))
    assert (found.candidate.question, found.candidate.answer) == (QUESTION, "top left")


def test_the_starting_model_scores_where_that_is_asked_for(lvlm: HuggingFaceLVLM) -> None:
    image = pictures(1)[0]
    found = lightning_c3l.score(lvlm, image, QUESTION, "top left", scorer="reference")
    with lvlm.reference():
        require_values(found, logs(lvlm, image, "top left"), logs(lvlm, None, "top left"))
    assert found != lightning_c3l.score(lvlm, image, QUESTION, "top left")


def test_an_answer_goes_through_the_lvlm_once(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, plain_score = list[int](), lvlm.score

    def counting(images: Any, *rest: Any) -> Any:
        sizes.append(len(images))
        return plain_score(images, *rest)

    monkeypatch.setattr(lvlm, "score", counting)
    found = lightning_c3l.score(lvlm, pictures(3), QUESTION, "top left", batch_size=2)
    assert sizes == [2, 1]
    assert all(one.tokens for one in found)


def test_a_reading_of_the_notebook(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def surprise(logp_image: Any, logp_blind: Any, kl: Any, mask: Any, pool: Any) -> Any:
        return (-logp_blind * mask).amax(dim=1)

    monkeypatch.setattr(sys.modules["__main__"], "surprise", surprise, raising=False)
    name, images = "__main__.surprise", pictures(2)
    expected = [-min(logs(lvlm, None, answer)) for answer in ANSWERS]
    found = lightning_c3l.score(lvlm, images, QUESTION, ANSWERS, readings=[name])
    assert [one.scores.value(name) for one in found if one.scores] == pytest.approx(expected, abs=1e-4)
    assert name in found[0]._repr_html_()
    given = candidates(images, ANSWERS)
    scored = lightning_c3l.score_candidates(lvlm, images, given, readings=[name])
    (best,) = lightning_c3l.select(scored, 1, reading=name, balance=())
    assert best.candidate == given[expected.index(max(expected))]


def test_several_pairs_keep_their_order(lvlm: HuggingFaceLVLM) -> None:
    first, second = pictures(2)
    one_image = lightning_c3l.score(lvlm, first, QUESTION, ANSWERS)
    assert [one.candidate.answer for one in one_image] == ANSWERS
    found = lightning_c3l.score(lvlm, [second, first, second], QUESTION, [*ANSWERS, "yes"], batch_size=1)
    for one, image in zip(found, (second, first, second), strict=True):
        require_values(one, logs(lvlm, image, one.candidate.answer), logs(lvlm, None, one.candidate.answer))
    assert found[0].candidate.image == found[2].candidate.image != found[1].candidate.image
    assert len(lightning_c3l.score(lvlm, [first], QUESTION, "yes")) == 1


def test_training_mode_changes_nothing(lvlm: HuggingFaceLVLM) -> None:
    before = lightning_c3l.score(lvlm, pictures(1)[0], QUESTION, "top left")
    lvlm.network.train()
    assert lightning_c3l.score(lvlm, pictures(1)[0], QUESTION, "top left") == before
    assert lvlm.network.training
    lvlm.network.eval()


def damaged_folder(folder: Path) -> Path:
    """A photograph in the middle of which is cut."""
    for number, image in enumerate(pictures(3)):
        image.save(folder / f"{number}.png")
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:60])
    return folder


def test_a_damaged_file_of_a_folder_has_no_score(lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    folder: Any = damaged_folder(tmp_path)
    images = pictures(3)
    with pytest.warns(UserWarning, match=r"1 of 3 pairs have no score: pair 2 \(Where .*\): 1\.png: damaged") as caught:
        found = lightning_c3l.score(lvlm, folder, QUESTION, "top left")
    assert caught[0].filename == __file__
    assert [(one.candidate.image, one.scores is None) for one in found] == [
        ("0.png", False),
        ("1.png", True),
        ("2.png", False),
    ]
    for one, image in zip(found[::2], images[::2], strict=True):
        require_values(one, logs(lvlm, image, "top left"), logs(lvlm, None, "top left"))
    # whoever goes on with it need not know
    assert [one.candidate.image for one in lightning_c3l.select(found)] == ["0.png", "2.png"]
    assert "no score: 1.png: damaged" in found[1]._repr_html_()
    with pytest.raises(ValueError, match=r"1\.png: damaged"):
        lightning_c3l.score(lvlm, folder / "1.png", QUESTION, "top left")


def test_a_pair_that_cannot_be_scored_keeps_its_place(lvlm: HuggingFaceLVLM) -> None:
    image = pictures(1)[0]
    with pytest.warns(UserWarning, match=r"^1 of 3 pairs have no score: pair 2 \(Where .*\): answer has no token$"):
        found = lightning_c3l.score(lvlm, image, QUESTION, ["top", "", "left"])
    assert [one.candidate.rejected for one in found] == ["", "answer has no token", ""]
    require_values(found[2], logs(lvlm, image, "left"), logs(lvlm, None, "left"))


def test_candidates_of_a_damaged_file_are_rejected(lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    given = [Candidate(f"{n}.png", Instruction("a", "W"), 0, "t", QUESTION, "top left") for n in range(3)]
    found = lightning_c3l.score_candidates(lvlm, damaged_folder(tmp_path), given)
    assert [one.candidate for one in found[::2]] == given[::2]
    for one, image in zip(found[::2], pictures(3)[::2], strict=True):
        assert one.scores is not None
        seen, blind = logs(lvlm, image, "top left"), logs(lvlm, None, "top left")
        assert one.scores.gap == pytest.approx(sum(seen) / len(seen) - sum(blind) / len(blind), abs=1e-4)
    assert found[1].scores is None
    assert found[1].candidate.rejected.startswith("1.png: damaged")


def candidates(images: Any, answers: list[str]) -> list[Candidate]:
    keys = given_images(images).keys
    return [
        Candidate(key, Instruction("a", "W"), 0, "t", QUESTION, answer)
        for key, answer in zip(keys, answers, strict=True)
    ]


def test_candidates_and_the_control_with_another_image(lvlm: HuggingFaceLVLM) -> None:
    images = pictures(2)
    given = candidates(images, ANSWERS)
    given.append(Candidate(given[0].image, Instruction("a", "W"), 1, "t", rejected="no label"))
    found = lightning_c3l.score_candidates(lvlm, images, given, shuffle_seed=0)
    assert [one.candidate for one in found] == given
    assert found[2].scores is None
    for one, other in zip(found, reversed(images), strict=False):
        seen, blind = logs(lvlm, other, one.candidate.answer), logs(lvlm, None, one.candidate.answer)
        expected = sum(math.exp(p) * (p - q) for p, q in zip(seen, blind, strict=True)) / len(seen)
        assert one.shuffled == pytest.approx(expected, abs=1e-4)
    own = lightning_c3l.score(lvlm, images, QUESTION, ANSWERS, shuffle_seed=0)
    assert [(one.scores, one.shuffled) for one in own] == [(one.scores, one.shuffled) for one in found[:2]]


def test_a_scored_answer_is_a_scored_candidate(lvlm: HuggingFaceLVLM) -> None:
    found = lightning_c3l.score(lvlm, pictures(1)[0], QUESTION, "top left")
    plain_one = ScoredCandidate(found.candidate, found.scores)
    assert isinstance(found, ScoredCandidate)
    assert json.loads(json.dumps(found.to_row())) == json.loads(json.dumps(plain_one.to_row()))
    assert ScoredCandidate.from_row(json.loads(json.dumps(found.to_row()))) == plain_one


def test_what_has_no_token_values_cannot_be_drawn(lvlm: HuggingFaceLVLM) -> None:
    (candidate,) = candidates(pictures(1), ["red"])
    with pytest.raises(ValueError, match="no token values"):
        ScoredAnswer(candidate).plot()
    assert "red" in ScoredAnswer(candidate)._repr_html_()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answer": ""}, r"pair 1 \(Where are the circles\? \): answer has no token"),
        ({"answer": ["", ""]}, "pair 1"),
        ({"question": ["a", "b"], "answer": ["a", "b", "c"]}, "1 images, 2 questions and 3 answers"),
        ({"images": []}, "no image given"),
        ({"scorer": "best"}, "scorer must be one of reference, current, not 'best'"),
        ({"batch_size": 0}, "^batch_size must be at least 1, not 0"),
        ({"pooling": "most"}, "pooling must be one of"),
        ({"unit": "sentence"}, "unit must be answer"),
        ({"readings": "my_reading.surprise"}, "readings must be a list of names"),
        ({"readings": ["gap"]}, "readings gap: is always computed"),
        ({"readings": ["nowhere.surprise"]}, "readings nowhere.surprise: no module nowhere"),
        ({"question": "Where? " * 300}, "longer than the model's context"),
    ],
)
def test_what_is_refused(lvlm: HuggingFaceLVLM, options: dict[str, Any], message: str) -> None:
    given = {"images": pictures(1)[0], "question": QUESTION, "answer": "top", **options}
    with pytest.raises(ValueError, match=message) as caught:
        lightning_c3l.score(lvlm, **given)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_candidates_about_other_images_are_refused(lvlm: HuggingFaceLVLM) -> None:
    with pytest.raises(ValueError, match="which is none of the images given"):
        lightning_c3l.score_candidates(lvlm, pictures(1), candidates(pictures(1, first=1), ["red"]))
