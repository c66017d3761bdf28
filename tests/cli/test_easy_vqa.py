"""`easy-vqa` on a made-up set in the real one's layout."""

import json
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from experiments.easy_vqa.truth import EasyVQATruth
from lightning_c3l.cli.easy_vqa import MARKER, main
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.rounds.templates import load_templates
from tests.helpers.commandline import ROOT, run
from tests.helpers.conversations import read_conversations

ROWS = [
    ["what color is the shape?", "red", 0],
    ["what shape is present?", "rectangle", 0],
    ["is there a circle?", "no", 0],
    ["is there a red shape?", "yes", 0],
    ["what is the blue shape?", "circle", 1],
    ["what color is the circle?", "blue", 1],
    ["is no circle present?", "no", 1],
]


def picture(number: int) -> bytes:
    image = Image.new("RGB", (64, 64), "white")
    draw = ImageDraw.Draw(image)
    if number == 0:
        draw.rectangle((10, 20, 40, 50), fill=(255, 0, 0))
    else:
        draw.ellipse((10, 20, 40, 50), fill=(0, 0, 255))
    stream = BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def write_archive(path: Path) -> Path:
    files = {"data/answers.txt": b"red\n"}
    for split in ("train", "test"):
        files[f"data/{split}/questions.json"] = json.dumps(ROWS).encode()
        files |= {f"data/{split}/images/{number}.png": picture(number) for number in (0, 1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, BytesIO(data))
    return path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("easy-vqa")
    assert main([str(folder / "out"), "--archive", str(write_archive(folder / "small.tar"))]) == 0
    return folder / "out"


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_records_ask_in_the_words_of_the_shipped_templates(prepared: Path) -> None:
    records = read_conversations(prepared / "train.json", prepared)
    asked = {turn.text for record in records for turn in record.turns if turn.role == "user"}
    instructions = {template.text for template in load_templates("easy_vqa")}
    assert len(instructions) == 3
    assert asked & instructions
    assert asked <= instructions | {row[0] for row in ROWS} | {"Describe the picture."}


def test_the_fresh_lvlm_reads_every_record(prepared: Path) -> None:
    lvlm = HuggingFaceLVLM(str(prepared / "start"), lora=None, keep_reference=False)
    assert lvlm.processor.image_processor.crop_size["height"] == 48
    assert lvlm.model.config.image_seq_length == 36
    records = read_conversations(prepared / "train.json", prepared)
    samples = [(one, Image.open(prepared / one.image).convert("RGB") if one.image else None) for one in records]
    batch = lvlm.encode_conversations(samples)
    assert int((batch.ids == lvlm.images.token).sum()) == 36 * sum(image is not None for _, image in samples)
    # answers are single tokens: the score's T counts words, not letters
    assert all(len(lvlm.processor.tokenizer.tokenize(f" {word}")) == 1 for word in ("yes", "no", "red", "circle"))


def test_the_truth_file_fits_the_pictures(prepared: Path) -> None:
    truth = EasyVQATruth(str(prepared / "test_questions.json"))
    assert truth.judge("0.png", "what color is the rectangle?", "red") == "right"
    assert truth.judge("1.png", "is there a red shape?", "yes") == "wrong"


def test_a_second_call_does_nothing(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stamps(prepared)
    # without an archive: nothing is looked for either
    assert main([str(prepared), "--archive", "absent.tar"]) == 0
    assert stamps(prepared) == before
    assert "already prepared" in capsys.readouterr().out


def test_a_half_prepared_folder_or_another_seed_is_made_again(tmp_path: Path) -> None:
    words = [str(tmp_path / "out"), "--archive", str(write_archive(tmp_path / "small.tar"))]
    main(words)
    marker, texts = tmp_path / "out" / MARKER, tmp_path / "out" / "train.json"
    weights = tmp_path / "out" / "start" / "model.safetensors"
    whole = texts.read_bytes(), weights.read_bytes()
    texts.unlink()
    marker.write_text("{")
    main(words)
    assert (texts.read_bytes(), weights.read_bytes()) == whole
    assert json.loads(marker.read_text())["seed"] == 0
    main([*words, "--seed", "1"])
    assert weights.read_bytes() != whole[1]


def test_the_shared_archive_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archive(tmp_path / "easy-vqa" / "easy-vqa.tar")
    monkeypatch.setenv("C3L_SHARED_DATA", str(tmp_path))
    assert main([str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out" / "test" / "images").iterdir()) == ["0.png", "1.png"]


def test_a_failure_is_one_line_and_leaves_no_marker(tmp_path: Path) -> None:
    status, printed = run("easy-vqa", str(tmp_path / "out"), "--archive", str(tmp_path / "absent.tar"), cwd=ROOT)
    assert status == 2
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert "absent.tar" in printed
    assert not (tmp_path / "out" / MARKER).exists()
