"""Images and instructions become candidates in a fixed order, part by part."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.records import Candidate, Instruction
from lightning_c3l.report.progress import Stage, stage
from lightning_c3l.rounds.generation import (
    GenerationConfig,
    ImageChunk,
    candidate,
    generate_candidates,
    iter_image_chunks,
    spans,
    text_seed,
)
from tests.helpers.doubles import TableLVLM


@pytest.fixture
def templates(tmp_path: Path) -> str:
    (tmp_path / "own.yaml").write_text("- {kind: a, text: Wa}\n- {kind: b, text: Wb}\n")
    return str(tmp_path / "own.yaml")


def chunk(keys: Sequence[str], start: int = 0) -> ImageChunk:
    """Images that are their own keys."""
    return ImageChunk(list(keys), lambda key: key, start)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_candidates_come_by_image_instruction_and_sample(templates: str, batch_size: int) -> None:
    lvlm: Any = TableLVLM({}, {})
    writing = GenerationConfig(templates, sampling=Sampling(2), batch_size=batch_size)
    out = generate_candidates(lvlm, chunk("xy"), writing, seed=0)
    expected = [
        Candidate(image, Instruction(kind, f"W{kind}"), k, f"Question: W{kind}/{image}/{k}?\nAnswer: {k}",
                  f"W{kind}/{image}/{k}?", str(k))
        for image in "xy" for kind in "ab" for k in range(2)
    ]  # fmt: skip
    assert out == expected
    assert [image for batch in lvlm.batches for image in batch] == ["x", "x", "y", "y"]
    assert set(lvlm.sizes) == {batch_size}


def seeds_of(templates: str, keys: list[str], seed: int, per_image: int | None = None, first: int = 0) -> list[int]:
    """Seeds that an LVLM is handed, one for each (image, instruction)."""
    lvlm: Any = TableLVLM({}, {})
    writing = GenerationConfig(templates, per_image, Sampling(2), batch_size=1)
    generate_candidates(lvlm, chunk(keys, first), writing, seed)
    return lvlm.seeds  # type: ignore[no-any-return]


def test_no_two_prompts_or_seeds_draw_alike(templates: str) -> None:
    seeds = [one for seed in range(3) for one in seeds_of(templates, ["x", "y", "z"], seed)]
    assert len(set(seeds)) == len(seeds) == 3 * 3 * 2


def test_a_prompts_draws_do_not_depend_on_what_is_written_beside_it(templates: str) -> None:
    x, y, z = ([2 * n, 2 * n + 1] for n in range(3))
    together = seeds_of(templates, ["x", "y", "z"], 4)
    assert seeds_of(templates, ["z"], 4) == [together[n] for n in z]
    assert seeds_of(templates, ["y", "x"], 4) == [together[n] for n in y + x]


@pytest.mark.parametrize("first", [0, 1, 6])
def test_kinds_are_taken_in_turn_over_all_parts(templates: str, first: int) -> None:
    lvlm: Any = TableLVLM({}, {})
    writing = GenerationConfig(templates, 1, Sampling(1), batch_size=2, score_batch_size=1)
    keys = [str(number) for number in range(11)]
    out = generate_candidates(lvlm, chunk(keys, first), writing, 0)
    assert len(lvlm.batches) == 3
    assert [(one.image, one.instruction.kind) for one in out] == [(key, "ab"[(first + int(key)) % 2]) for key in keys]


def test_a_part_of_a_larger_set_is_given_what_the_whole_is(templates: str) -> None:
    keys = [str(number) for number in range(7)]
    together = seeds_of(templates, keys, 4, per_image=1)
    assert seeds_of(templates, keys[:3], 4, 1) + seeds_of(templates, keys[3:], 4, 1, first=3) == together


def test_seeds_are_told_apart_by_all_that_names_a_prompt() -> None:
    a, b = Instruction("a", "W"), Instruction("b", "W")
    named = [
        text_seed(0, "x", a),
        text_seed(1, "x", a),
        text_seed(0, "y", a),
        text_seed(0, "x", b),
        text_seed(0, "x", Instruction("a", "V")),
        text_seed(0, "xa", Instruction("", "W")),
        text_seed(0, "x", Instruction("aW", "")),
    ]
    assert all(one != other for one, other in combinations(named, 2))
    assert text_seed(0, "x", a) == named[0]
    assert all(0 <= one < 2**48 for one in named)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 16, 17, 31])
def test_chunks_hold_every_image_once_and_are_of_nearly_equal_size(templates: str, count: int) -> None:
    lvlm: Any = TableLVLM({}, {})
    keys = [str(number) for number in range(count)]
    writing = GenerationConfig(templates, 1, Sampling(1), batch_size=2, score_batch_size=4)
    generate_candidates(lvlm, chunk(keys), writing, 0)
    assert [key for part in lvlm.batches for key in part] == keys
    sizes = [len(part) for part in lvlm.batches]
    # no more than two of the larger batches, and as few chunks as that allows
    assert len(sizes) == -(-count // 8)
    assert max(sizes, default=0) <= 8
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("count", [2, 3, 5, 7, 9, 13])
def test_no_image_is_a_chunk_of_its_own(templates: str, size: int, count: int) -> None:
    """It would have no other to be compared with."""
    lvlm: Any = TableLVLM({}, {})
    writing = GenerationConfig(templates, 1, Sampling(1), batch_size=size, score_batch_size=size)
    generate_candidates(lvlm, chunk([str(n) for n in range(count)]), writing, 0)
    assert min(len(part) for part in lvlm.batches) > 1


def test_an_image_of_a_chunk_is_decoded_once_and_cached_while_it_is_worked_on() -> None:
    lvlm: Any = TableLVLM({}, {})
    decoded = list[str]()

    def read(key: str) -> Any:
        decoded.append(key)
        return object()

    blocks = list[int]()
    for one in iter_image_chunks(lvlm, ImageChunk("abcdefghi", read, 4), spans(9, 3)):
        assert [one.read(key) for key in one.keys] == [one.read(key) for key in one.keys]
        blocks.append(lvlm._blocks)
        assert one.start == 4 + "abcdefghi".index(one.keys[0])
    assert "".join(decoded) == "abcdefghi"
    assert blocks == [1, 1, 1]
    assert lvlm._blocks == 0


def test_it_writes_part_by_part_while_images_are_remembered(templates: str) -> None:
    lvlm: Any = TableLVLM({}, {})
    writing = GenerationConfig(templates, sampling=Sampling(2), batch_size=2, score_batch_size=1)
    generate_candidates(lvlm, chunk(list("abcde")), writing, 0)
    assert ["".join(batch) for batch in lvlm.batches] == ["aabb", "ccddee"]
    assert lvlm.remembered == [True] * 2


def test_out_of_memory_goes_on_with_less_and_writes_the_same(templates: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = list[Stage]()

    def begin(*args: Any) -> Stage:
        stages.append(stage(*args))
        return stages[-1]

    monkeypatch.setattr("lightning_c3l.rounds.generation.stage", begin)
    writing = GenerationConfig(templates, sampling=Sampling(2), batch_size=8, score_batch_size=1)
    keys = [str(number) for number in range(40)]
    small, large = TableLVLM({}, {}, fits=3), TableLVLM({}, {})
    with pytest.warns(UserWarning, match=r"going on with writing\.batch_size") as caught:
        written = generate_candidates(small, chunk(keys), writing, 0)
    assert written == generate_candidates(large, chunk(keys), writing, 0)
    # two halvings in the first part; the others begin with what fits
    assert [str(one.message).split(": ")[-1] for one in caught if "out of memory" in str(one.message)] == ["4", "2"]
    assert small.sizes == [2, 2, 2]
    assert small.seeds == large.seeds
    assert [one.done for one in stages] == [one.total for one in stages] == [40 * 2 * 2] * 2


def test_a_prompt_that_does_not_fit_alone_is_an_error(templates: str) -> None:
    lvlm, writing = TableLVLM({}, {}, fits=0), GenerationConfig(templates, batch_size=1)
    with pytest.raises(torch.OutOfMemoryError, match=r"with writing\.batch_size: 1;"):
        generate_candidates(lvlm, chunk(["x"]), writing, 0)


def test_an_image_that_cannot_be_looked_at_is_left_out_and_named(templates: str) -> None:
    writing = GenerationConfig(templates, 1, Sampling(2), batch_size=1, score_batch_size=1)

    def written(lvlm: Any) -> list[Candidate]:
        return generate_candidates(lvlm, chunk(list("abcde")), writing, 0)

    with pytest.warns(UserWarning, match="is left out") as caught:
        found = written(TableLVLM({}, {}, refused="bc"))
    assert [str(one.message) for one in caught] == [f"image {key} is left out: too narrow" for key in "bc"]
    # what is written about the others stays, kinds in turn and all
    assert found == [one for one in written(TableLVLM({}, {})) if one.image in "ade"]


def test_nothing_is_written_where_no_image_can_be_looked_at(templates: str) -> None:
    lvlm, writing = TableLVLM({}, {}, refused="ab"), GenerationConfig(templates)
    with pytest.warns(UserWarning, match="is left out"):
        assert generate_candidates(lvlm, chunk(["a", "b"]), writing, 0) == []


def test_a_common_beginning_is_part_of_every_text(templates: str) -> None:
    """The LVLM is asked to go on after it, and gives only what is new."""
    lvlm: Any = TableLVLM({}, {})
    writing = GenerationConfig(templates, 1, Sampling(2), begin="Question:", batch_size=1)
    out = generate_candidates(lvlm, chunk(["x"]), writing, seed=0)
    assert [one.text for one in out] == [f"Question: Wa/x/{k}?\nAnswer: {k}" for k in range(2)]
    assert [one.question for one in out] == ["Wa/x/0?", "Wa/x/1?"]


def test_a_text_that_cannot_be_parsed_stays_with_its_reason() -> None:
    instruction = Instruction("a", "W")
    expected = Candidate("x", instruction, 3, "Who knows", rejected="no question label")
    assert candidate("x", instruction, 3, "Who knows") == expected


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"score_batch_size": 0}])
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        GenerationConfig(**wrong)  # type: ignore[arg-type]
