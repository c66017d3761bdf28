"""The datamodule of the rounds: which images it takes, and which groups it hands out."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_modules.rounds import RoundDataModule
from data_modules.scenes import SceneImages
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.records import Candidate, Group, Instruction, ScoredCandidate


def colors(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (4, 4), name).save(folder / f"{name}.png")
    return folder


def scored(image: str, sample: int) -> ScoredCandidate:
    texts = f"Question: {image}{sample}?\nAnswer: a{sample}", f"{image}{sample}?", f"a{sample}"
    return ScoredCandidate(Candidate(image, Instruction("kind", f"Write about {image}."), sample, *texts))


def group(image: str, weight: float = 1.0) -> Group:
    return Group(scored(image, 2), (scored(image, 0), scored(image, 1)), weight, weight)


def attached(module: RoundDataModule, folder: Path, seed: int = 0, rank: int = 0, world: int = 1) -> RoundDataModule:
    """With what it asks of a Trainer; batches are lists of samples."""
    trainer: Any = SimpleNamespace(
        default_root_dir=str(folder),
        current_epoch=0,
        global_rank=rank,
        world_size=world,
        fit_loop=SimpleNamespace(
            restarting=False, epoch_progress=SimpleNamespace(current=SimpleNamespace(ready=1, started=1, processed=0))
        ),
    )
    module.trainer = trainer
    module.collate_with(list, seed)
    return module


def batches(module: RoundDataModule) -> list[list[GroupSample]]:
    return list(module.train_dataloader())


def test_unreadable_images_are_left_out_and_listed(tmp_path: Path) -> None:
    folder = colors(tmp_path / "images", "red", "blue")
    (folder / "broken.png").write_bytes(b"not an image")
    (folder / "empty.jpg").write_bytes(b"")
    module = attached(RoundDataModule(str(folder)), tmp_path)
    found = module.source("images")
    assert found is not None
    assert found[1] == ["blue.png", "red.png"]
    assert module.source("fresh") == found
    assert module.source("held_out") is None
    rows = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == ["broken.png", "empty.jpg"] == [r.key for r in module.rejected]
    assert all(row["reason"] for row in rows)


def test_rejected_images_of_all_sources_are_listed(tmp_path: Path) -> None:
    one, other = colors(tmp_path / "one", "red"), colors(tmp_path / "other", "blue")
    (one / "x.png").write_bytes(b"x")
    (other / "y.png").write_bytes(b"y")
    module = attached(RoundDataModule(str(one), held_out=str(other)), tmp_path)
    for name in ("images", "held_out", "images", "fresh"):
        module.source(name)
    rows = [json.loads(line)["key"] for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert rows == ["x.png", "y.png"]


def test_no_list_where_nothing_was_rejected(tmp_path: Path) -> None:
    attached(RoundDataModule(str(colors(tmp_path / "images", "red"))), tmp_path).source("images")
    assert not (tmp_path / "rejected.jsonl").exists()


def test_no_readable_image_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"nothing")
    module = attached(RoundDataModule(str(folder)), tmp_path)
    with pytest.raises(ValueError, match="none of its 2 images can be read") as caught:
        module.source("images")
    assert str(caught.value).startswith(f"{folder}: ")
    assert "\n" not in str(caught.value)


def test_longest_side(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 20)).save(tmp_path / "images" / "x.png")
    found = attached(RoundDataModule(str(tmp_path / "images"), longest_side=10), tmp_path).source("images")
    assert found is not None
    assert found[0].read("x.png").size == (10, 5)
    with pytest.raises(ValueError, match="longest_side must be at least 1"):
        attached(RoundDataModule(str(tmp_path / "images"), longest_side=0), tmp_path).source("images")


def test_images_that_a_program_has(tmp_path: Path) -> None:
    red, blue = (Image.new("RGB", (40, 20), name) for name in ("red", "blue"))
    module = attached(RoundDataModule([red, np.asarray(blue)], held_out=[blue], longest_side=10), tmp_path)
    found, other = module.source("images"), module.source("held_out")
    assert found is not None
    assert other is not None
    assert [found[0].read(key).getpixel((0, 0)) for key in found[1]] == [(255, 0, 0), (0, 0, 255)]
    assert found[0].read(found[1][0]).size == (10, 5)
    assert other[1] == found[1][1:]
    assert module.source("fresh") == found
    assert list(module.digests("images")) == found[1]
    assert len(set(module.digests("images").values())) == 2


def test_paths_and_sources_that_a_program_has(tmp_path: Path) -> None:
    folder, scenes = colors(tmp_path / "images", "red", "blue"), SceneImages(2, seed=1)
    (folder / "broken.png").write_bytes(b"nothing")
    paths = [folder / "red.png", folder / "broken.png", folder / "gone.png"]
    module = attached(RoundDataModule(paths, fresh=folder, held_out=scenes), tmp_path)
    found, fresh = module.source("images"), module.source("fresh")
    assert found is not None
    assert fresh is not None
    assert (found[0].root, found[1], fresh[1]) == (folder, ["red.png"], ["blue.png", "red.png"])
    assert [one.key for one in module.rejected] == ["broken.png", "gone.png", "broken.png"]
    assert module.source("held_out") == (scenes, list(scenes.keys()))
    with pytest.raises(ValueError, match="the images given: none of its 1 images can be read"):
        attached(RoundDataModule([folder / "gone.png"]), tmp_path).source("images")


def test_limit(tmp_path: Path) -> None:
    folder = colors(tmp_path / "images", "blue", "green", "red")
    found = attached(RoundDataModule(str(folder), limit=2), tmp_path).source("images")
    assert found is not None
    assert found[1] == ["blue.png", "green.png"]


def test_samples_are_the_groups_positive_first(tmp_path: Path) -> None:
    folder = colors(tmp_path / "images", "red", "blue")
    module = attached(RoundDataModule(str(folder), batch_size=4), tmp_path)
    module.set_round(0, [group("red.png", 0.9), group("blue.png", 1.1)], {"red.png": "all red"})
    (batch,) = batches(module)
    by_image = {sample.instruction: sample for sample in batch}
    red = by_image["Write about red.png."]
    assert red.image.getpixel((0, 0)) == (255, 0, 0)
    assert red.texts == tuple(f"Question: red.png{k}?\nAnswer: a{k}" for k in (2, 0, 1))
    assert (red.question, red.answer, red.description, red.weight) == ("red.png2?", "a2", "all red", 0.9)
    assert by_image["Write about blue.png."].description == ""


def test_groups_are_drawn_by_their_sampling_weight(tmp_path: Path) -> None:
    folder = colors(tmp_path / "images", "red", "blue", "green")
    module = attached(RoundDataModule(str(folder), batch_size=2, passes=2.0), tmp_path)
    weights = {"red.png": 2.0, "blue.png": 1.0, "green.png": 0.0}
    module.set_round(0, [group(image, weight) for image, weight in weights.items()], {})
    drawn = Counter(sample.instruction.split()[-1] for batch in batches(module) for sample in batch)
    assert drawn == {"red.png.": 4, "blue.png.": 2}


def order(module: RoundDataModule) -> list[str]:
    return [sample.question for batch in batches(module) for sample in batch]


def test_order_depends_on_seed_round_and_epoch_alone(tmp_path: Path) -> None:
    folder = colors(tmp_path / "images", "red")
    groups = [group("red.png") for _ in range(12)]
    for number, one in enumerate(groups):
        object.__setattr__(one.positive.candidate, "question", str(number))

    def drawn(seed: int = 0, number: int = 0, epoch: int = 0) -> list[str]:
        module = attached(RoundDataModule(str(folder)), tmp_path, seed)
        module.set_round(number, groups, {})
        module.trainer.current_epoch = epoch  # type: ignore[misc,union-attr]
        return order(module)

    assert drawn() == drawn()
    assert len({tuple(drawn(**{name: 1})) for name in ("seed", "number", "epoch")} | {tuple(drawn())}) == 4


def test_ranks_share_a_round(tmp_path: Path) -> None:
    folder = colors(tmp_path / "images", "red", "blue", "green", "gray")
    seen = []
    for rank in range(2):
        module = attached(RoundDataModule(str(folder)), tmp_path, rank=rank, world=2)
        module.set_round(0, [group(f"{name}.png") for name in ("red", "blue", "green", "gray")], {})
        seen.append(set(order(module)))
    assert [len(own) for own in seen] == [2, 2]
    assert not seen[0] & seen[1]


def test_a_position_counts_only_while_its_epoch_is_resumed(tmp_path: Path) -> None:
    folder = colors(tmp_path / "images", "red", "blue", "green", "gray")
    groups = [group(f"{name}.png") for name in ("red", "blue", "green", "gray")]
    interrupted = attached(RoundDataModule(str(folder), batch_size=1), tmp_path)
    assert interrupted.state_dict() == {}
    interrupted.set_round(0, groups, {})
    drawn = order(interrupted)
    next(iter(loader := interrupted.train_dataloader()))
    state = interrupted.state_dict()
    assert state == loader.state_dict()
    for restarting, left in ((True, drawn[1:]), (False, drawn)):
        module = attached(RoundDataModule(str(folder), batch_size=1), tmp_path)
        module.load_state_dict(state)
        module.set_round(0, groups, {})
        module.trainer.fit_loop.restarting = restarting  # type: ignore[union-attr]
        assert order(module) == left


def test_every_epoch_asks_for_its_loader(tmp_path: Path) -> None:
    module = attached(RoundDataModule(str(colors(tmp_path / "images", "red"))), tmp_path)
    module.set_round(0, [group("red.png")], {})
    module.train_dataloader()
    assert module.trainer is not None
    assert module.trainer.reload_dataloaders_every_n_epochs == 1  # type: ignore[attr-defined]


def test_the_next_round_takes_over(tmp_path: Path) -> None:
    folder = colors(tmp_path / "images", "red", "blue")
    module = attached(RoundDataModule(str(folder)), tmp_path)
    module.set_round(0, [group("red.png")], {})
    module.set_round(1, [group("blue.png")], {})
    assert order(module) == ["blue.png2?"]


def test_predict_gives_every_process_all_keys_at_once(tmp_path: Path) -> None:
    folder = colors(tmp_path / "images", "red", "blue", "green")
    module = attached(RoundDataModule(str(folder), batch_size=1), tmp_path, rank=1, world=2)
    loader = module.predict_dataloader()
    assert list(loader) == list(loader) == [["blue.png", "green.png", "red.png"]]
    assert len(loader) == 1


def test_without_a_round_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    module = attached(RoundDataModule("nowhere"), tmp_path)
    with pytest.raises(RuntimeError, match="no round yet"):
        module.train_dataloader()
    alone = RoundDataModule(str(colors(tmp_path / "images", "red")))
    alone.trainer = module.trainer
    alone.set_round(0, [group("red.png")], {})
    with pytest.raises(RuntimeError, match="no collate function"):
        alone.train_dataloader()
    with pytest.raises(ValueError, match="round 3 has no group"):
        module.set_round(3, [], {})
    with pytest.raises(ValueError, match="batch_size"):
        RoundDataModule("nowhere", batch_size=0)
