"""Generating: what an LVLM writes about images does not depend on how they are given or on what else is written."""

from pathlib import Path
from typing import Any

import pytest

import lightning_c3l
from lightning_c3l import Candidate, Instruction, Sampling
from lightning_c3l.lvlm.base import GenerationRequest
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.rounds.templates import load_templates
from tests.helpers.tiny import pictures

BEGIN = "Question: Where are the circles?\nAnswer:"


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return lightning_c3l.load(str(tiny_checkpoint), device="cpu", lora=lightning_c3l.LoRA(rank=2, dropout=0.5))


def generate(lvlm: HuggingFaceLVLM, images: Any, templates: Any = "scenes", **options: Any) -> list[Candidate]:
    return lightning_c3l.generate(
        lvlm, images, templates, **{"begin": BEGIN, "samples": 2, "max_new_tokens": 5, "temperature": 1.0, **options}
    )


def test_greedy_texts_are_those_of_the_lvlm(lvlm: HuggingFaceLVLM) -> None:
    images, prompts = pictures(2), ["What is red?", "What is blue?"]
    requests = [GenerationRequest(prompt, image, answer_prefix=BEGIN) for image in images for prompt in prompts]
    expected = [f"{BEGIN} {text}".strip() for (text,) in lvlm.generate(requests, Sampling(1, 5, 0.0))]
    found = generate(lvlm, images, prompts, samples=1, temperature=0.0)
    assert [one.text for one in found] == expected
    assert [one.instruction for one in found] == [Instruction(f"template {n}", prompts[n - 1]) for n in (1, 2, 1, 2)]
    assert found[0].image == found[1].image != found[2].image == found[3].image


def test_candidates_depend_on_seed_and_image_alone(lvlm: HuggingFaceLVLM) -> None:
    first, second = pictures(2)
    both = generate(lvlm, [first, second])
    assert [(one.instruction.kind, one.sample) for one in both] == 2 * [
        (kind, sample) for kind in ("color", "place", "presence", "number") for sample in (0, 1)
    ]
    assert generate(lvlm, second, batch_size=1) == both[8:]
    assert generate(lvlm, [first, first]) == both[:8]
    assert [one.text for one in generate(lvlm, first, seed=1)] != [one.text for one in both[:8]]


def test_training_mode_changes_nothing_and_comes_back(lvlm: HuggingFaceLVLM) -> None:
    before = generate(lvlm, pictures(1))
    lvlm.network.train()
    assert generate(lvlm, pictures(1)) == before
    assert lvlm.network.training
    lvlm.network.eval()


def test_templates_by_name_by_file_and_in_turn(lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("- {kind: a, text: Write.}\n- {kind: b, text: Ask.}\n")
    own = [Instruction("a", "Write."), Instruction("b", "Ask.")]
    by_file = generate(lvlm, pictures(2), str(tmp_path / "own.yaml"))
    assert by_file == generate(lvlm, pictures(2), own)
    in_turn = generate(lvlm, pictures(4), "scenes", per_image=1)
    assert [one.instruction for one in in_turn[::2]] == load_templates("scenes")


def test_files_keep_their_names(lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    for number, image in enumerate(pictures(2)):
        image.save(tmp_path / f"{number}.png")
    files = generate(lvlm, sorted(tmp_path.iterdir()), per_image=1, samples=1)
    assert [one.image for one in files] == ["0.png", "1.png"]
    assert files == generate(lvlm, tmp_path, per_image=1, samples=1)


def test_a_damaged_file_of_a_folder_is_left_out(lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    (image,) = pictures(1)
    image.save(tmp_path / "fine.png")
    alone = generate(lvlm, tmp_path)
    (tmp_path / "cut.png").write_bytes((tmp_path / "fine.png").read_bytes()[:60])
    with pytest.warns(UserWarning, match=r"1 of 2 images are left out: cut\.png: damaged"):
        assert generate(lvlm, tmp_path) == alone


def test_it_says_why_there_is_no_pair(lvlm: HuggingFaceLVLM) -> None:
    with pytest.warns(
        UserWarning, match=r"none of 2 texts holds a question and its answer. The templates \(those given\)"
    ):
        found = generate(lvlm, pictures(1), ["Describe the picture."], begin="")
    assert [one.rejected for one in found] == 2 * ["no question label"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": []}, "no image given"),
        ({"images": "gone.png"}, "gone.png: no such image"),
        ({"images": ["gone.png"]}, "gone.png: no such file"),
        ({"templates": "nothing"}, "nothing: no such template file, nor one of the shipped sets"),
        ({"templates": []}, "templates: the list is empty"),
        ({"templates": ["Ask.", " "]}, "templates: template 2 has no text"),
        ({"per_image": 5}, "^per_image must lie between 1 and 4"),
        ({"samples": 0}, "^samples must be at least 1"),
        ({"batch_size": 0}, "^batch_size must be at least 1"),
    ],
)
def test_what_is_refused(lvlm: HuggingFaceLVLM, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        generate(lvlm, **{"images": pictures(1), **options})
    assert "\n" not in str(caught.value)
