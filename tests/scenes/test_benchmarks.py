"""The corners' own benchmarks: what their files ask, that it is true, and who can read them."""

import base64
import csv
import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules.scenes import SceneImages, scene_of
from lightning_c3l.cli.scenes_benchmarks import main
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.scenes.benchmark_scenes import benchmark_scenes
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.language import ANSWERS, truth, understand, usual_answer
from lightning_c3l.scenes.world import PRIOR
from lightning_c3l.scenes.worlds import WORLDS

SCENES, WORLD = 40, WORLDS["corners"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    assert main([str(folder), "--scenes", str(SCENES), "--seed", "3"]) == 0
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(out: Path) -> list[dict[str, str]]:
    with (out / "mmbench" / "scenes_mmbench.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.parametrize("split", ["random", "popular", "adversarial"])
def test_yes_and_no_are_true_and_equally_often(out: Path, split: str) -> None:
    rows = lines(out / "pope" / f"scenes_pope_{split}.json")
    assert [row["question_id"] for row in rows] == list(range(1, 4 * SCENES + 1))
    assert all(truth(scene_of(row["image"])[1], row["text"], row["label"]) == "right" for row in rows)
    by_image = Counter((row["image"], row["label"]) for row in rows)
    assert len(by_image) == 2 * SCENES
    assert set(by_image.values()) == {2}
    asked = [(row["image"], understand(row["text"])) for row in rows]
    assert len(set(asked)) == len(asked)  # no shape twice


def absent(out: Path, split: str) -> list[tuple[str, str]]:
    """Image and shape of the questions whose answer is no."""
    rows = lines(out / "pope" / f"scenes_pope_{split}.json")
    queries = [(row["image"], understand(row["text"])) for row in rows if row["label"] == "no"]
    return [(image, query.shape) for image, query in queries if query is not None]


def test_splits_choose_absent_shapes_as_they_say(out: Path) -> None:
    assert all(PRIOR[shape].present for _, shape in absent(out, "adversarial"))
    frequency = Counter(shape for one in benchmark_scenes(WORLD, SCENES, 0.2, 3) for shape in one.scene.things)
    popular = absent(out, "popular")
    for image, shape in popular:
        chosen = [other for key, other in popular if key == image]
        passed_over = set(PRIOR) - set(scene_of(image)[1].things) - set(chosen)
        assert all(frequency[shape] >= frequency[other] for other in passed_over)
    assert {shape for _, shape in absent(out, "random")} == set(PRIOR)


def test_a_shape_is_asked_for_in_the_same_words_in_all_splits(out: Path) -> None:
    words = dict[tuple[str, str], set[str]]()
    for split in ("random", "popular", "adversarial"):
        for row in lines(out / "pope" / f"scenes_pope_{split}.json"):
            query = understand(row["text"])
            assert query is not None
            words.setdefault((row["image"], query.shape), set()).add(row["text"])
    assert all(len(own) == 1 for own in words.values())


def test_choices_are_four_different_ones_with_the_truth_and_the_usual_answer(out: Path) -> None:
    file = json.loads((out / "seed" / "scenes_seed.json").read_text())
    assert len(file["questions"]) == 3 * SCENES
    kinds = {number: kind for kind, number in file["question_type"].items()}
    for row in file["questions"]:
        query = understand(row["question"])
        options = [row[f"choice_{letter}"] for letter in "abcd"]
        assert query is not None
        assert query.kind == kinds[row["question_type_id"]]
        assert len(set(options)) == 4
        assert set(options) <= set(ANSWERS[query.kind])
        assert usual_answer(query) in options
        right = [truth(scene_of(row["data_id"])[1], row["question"], one) == "right" for one in options]
        assert right == [letter == row["answer"] for letter in "ABCD"]
    assert {row["answer"] for row in file["questions"]} == set("ABCD")


def test_rotations_turn_the_same_options_through_all_letters(out: Path) -> None:
    rows = table(out)
    assert len(rows) == 4 * 3 * SCENES
    groups = dict[int, list[dict[str, str]]]()
    for row in rows:
        groups.setdefault(int(row["index"]) % 1_000_000, []).append(row)
    for group in groups.values():
        assert sorted(int(row["index"]) // 1_000_000 for row in group) == [0, 1, 2, 3]
        assert {row["answer"] for row in group} == set("ABCD")
        assert len({(row["question"], row["image"], row[row["answer"]]) for row in group}) == 1
        assert all({row[letter] for row in group} == {group[0][one] for one in "ABCD"} for letter in "ABCD")


def test_the_table_carries_the_images_that_lie_beside_it(out: Path) -> None:
    carried = {base64.b64decode(row["image"]) for row in table(out)}
    files = sorted((out / "images").iterdir())
    assert carried == {file.read_bytes() for file in files}
    assert len(files) == SCENES
    scene = scene_of(files[0].name)[1]
    assert Image.open(io.BytesIO(files[0].read_bytes())).tobytes() == draw(scene).tobytes()


def test_open_questions_have_their_context_and_a_true_answer(out: Path) -> None:
    questions, answers = lines(out / "llava_w" / "questions.jsonl"), lines(out / "llava_w" / "answers_gpt4.jsonl")
    assert Counter(row["category"] for row in questions) == {
        f"llava_bench_{kind}": SCENES for kind in ("conv", "detail", "complex")
    }
    contexts = {row["image"]: row["caption"] for row in lines(out / "llava_w" / "context.jsonl")}
    for question, answer in zip(questions, answers, strict=True):
        assert question["question_id"] == answer["question_id"]
        if question["category"] == "llava_bench_detail":
            assert answer["text"] == contexts[question["image"]]
        if question["category"] == "llava_bench_conv":
            assert truth(scene_of(question["image"])[1], question["text"], answer["text"]) == "right"


@pytest.mark.parametrize(("name", "questions"), [("pope", 12), ("seed", 3), ("mmbench", 12), ("llava_w", 3)])
def test_the_real_benchmarks_readers_read_them(out: Path, name: str, questions: int) -> None:
    paths = {"seed": "scenes_seed.json", "mmbench": "scenes_mmbench.tsv"}
    found = benchmarks.load(name).read_questions([out / name / paths.get(name, "")])
    assert len(found.questions) == questions * SCENES
    assert all(one.image in found.images or (out / "images" / str(one.image)).is_file() for one in found.questions)
    assert all(one.reference if name == "llava_w" else one.truth for one in found.questions)


def test_no_training_shows_these_scenes_and_seeds_share_none() -> None:
    shown = {one.key for one in benchmark_scenes(WORLD, 50, 0.2, 0)}
    assert min(int(key.split("_")[1]) for key in shown) >= 1 << 42
    assert max(int(key.split("_")[1]) for key in SceneImages(200, 0.2).keys()) < 1 << 40  # noqa: SIM118
    assert not shown & {one.key for one in benchmark_scenes(WORLD, 50, 0.2, 1)}
    assert all(scene_of(one.key)[1] == one.scene for one in benchmark_scenes(WORLD, 5, 0.35, 0))


def test_the_same_words_write_the_same_files(out: Path, tmp_path: Path) -> None:
    main([str(tmp_path), "--scenes", str(SCENES), "--seed", "3"])
    files = [file.relative_to(out) for file in out.rglob("*") if file.is_file()]
    assert len(files) == SCENES + 8
    assert all((tmp_path / file).read_bytes() == (out / file).read_bytes() for file in files)


def test_what_earlier_versions_asked_is_asked_again(out: Path) -> None:
    """The digest is that of the version before there was a second world; images depend on Pillow."""
    found = hashlib.sha256()
    for name in ("pope", "seed", "llava_w"):
        for file in sorted((out / name).iterdir()):
            found.update(file.read_bytes())
    assert found.hexdigest() == "62b0e2dcf4c0631dc2804251df4e581fb1c44364889ca85b03d5380abd7a5c1b"


@pytest.mark.parametrize("words", [["--scenes", "0"], ["--follow", "1"], ["--follow", "nan"], ["--seed", "-1"]])
def test_values_out_of_range_are_refused_before_anything_is_written(tmp_path: Path, words: list[str]) -> None:
    # the parser refuses nan itself
    with pytest.raises(SystemExit if "nan" in words else ValueError, match="2" if "nan" in words else "must"):
        main([str(tmp_path / "out"), *words])
    assert not (tmp_path / "out").exists()
