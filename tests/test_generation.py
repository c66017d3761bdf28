"""Images and instructions become candidates in a fixed order."""

from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.generation import Writing, candidate, write_candidates
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.records import Candidate, Instruction
from tests.doubles import TableLVLM


@pytest.fixture
def templates(tmp_path: Path) -> str:
    (tmp_path / "own.yaml").write_text("- {kind: a, text: Wa}\n- {kind: b, text: Wb}\n")
    return str(tmp_path / "own.yaml")


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_candidates_come_by_image_instruction_and_sample(templates: str, batch_size: int) -> None:
    lvlm: Any = TableLVLM({}, {})
    writing = Writing(templates, sampling=Sampling(2), batch_size=batch_size)
    out = write_candidates(lvlm, ["x", "y"], lambda key: key, writing, seed=0)  # type: ignore[arg-type,return-value]
    expected = [
        Candidate(image, Instruction(kind, f"W{kind}"), k, f"Question: W{kind}/{image}/{k}?\nAnswer: {k}",
                  f"W{kind}/{image}/{k}?", str(k))
        for image in "xy" for kind in "ab" for k in range(2)
    ]  # fmt: skip
    assert out == expected
    assert [image for batch in lvlm.batches for image in batch] == ["x", "x", "y", "y"]
    assert max(len(batch) for batch in lvlm.batches) == min(batch_size, 4)


def test_no_two_batches_or_seeds_draw_alike(templates: str) -> None:
    lvlm: Any = TableLVLM({}, {})
    writing = Writing(templates, 1, Sampling(2), batch_size=1)
    for seed in range(3):
        write_candidates(lvlm, ["x", "y", "z"], lambda key: key, writing, seed)  # type: ignore[arg-type,return-value]
    assert len(set(lvlm.seeds)) == len(lvlm.seeds) == 9


def test_a_common_beginning_is_part_of_every_text(templates: str) -> None:
    """The LVLM is asked to go on after it, and gives only what is new."""
    lvlm: Any = TableLVLM({}, {})
    writing = Writing(templates, 1, Sampling(2), begin="Question:", batch_size=1)
    out = write_candidates(lvlm, ["x"], lambda key: key, writing, seed=0)  # type: ignore[arg-type,return-value]
    assert [one.text for one in out] == [f"Question: Wa/x/{k}?\nAnswer: {k}" for k in range(2)]
    assert [one.question for one in out] == ["Wa/x/0?", "Wa/x/1?"]


def test_a_text_that_cannot_be_parsed_stays_with_its_reason() -> None:
    instruction = Instruction("a", "W")
    expected = Candidate("x", instruction, 3, "Who knows", rejected="no question label")
    assert candidate("x", instruction, 3, "Who knows") == expected


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"score_batch_size": 0}])
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="batch sizes"):
        Writing(**wrong)  # type: ignore[arg-type]
