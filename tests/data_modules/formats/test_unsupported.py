"""What is refused because nobody would see or hear it, and what is not."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_modules.formats.dialects import from_json
from data_modules.tuning_sets import FileRecords
from lightning_c3l.cli import convert, validate_data


def about(question: Any, answer: str = "b", **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]} | fields


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


UNSEEN: list[tuple[dict[str, Any], str]] = [
    (about("<audio>What is said?", audios=["a.wav"]), "audio is not supported yet.*'audios'"),
    (about("What is said?", audio={"path": "a.wav", "bytes": None}), "audio is not supported yet.*'audio'"),
    (about("What is said?", audio_path="a.wav"), "audio is not supported yet"),
    (about("What is said?", file="a.flac"), "audio is not supported yet.*'file'"),
    (about("What is said?", speech="x/a b.wav"), "audio is not supported yet.*'speech'"),
    (about("<image>\nWhat happens?", video="v.mp4"), "video is not supported yet.*'video'"),
    (about("What happens?", video_id="xyz"), "'video_id' seems to name what is not read"),
    (about("Sum it up.", pdf="a.pdf"), "pdf is not supported yet"),
    (about("Sum it up.", documents=["a.pdf"]), "document is not supported yet"),
    (about("What is it?", point_cloud="a.npy"), "point_cloud is not supported yet"),
    (about("What is it?", image_id=397133), "'image_id' seems to name"),
    (about("What is it?", image_base64="iVBORw0KGgo="), "'image_base64' seems to name"),
    (about("What is it?", picture="a.jpg"), "'picture' seems to name"),
    (about("Which?", image="a.jpg", image_2="b.jpg"), "'image_2' seems to name"),
    (
        {"messages": [{"role": "user", "content": "a", "images": ["a.jpg"]}, {"role": "assistant", "content": "b"}]},
        "turn 1 names an image in its field 'images'",
    ),
    (
        {"messages": [{"role": "user", "content": "a", "audio": "a.mp3"}, {"role": "assistant", "content": "b"}]},
        "turn 1: audio is not",
    ),
    (
        about([{"type": "input_audio", "input_audio": {"data": "x"}}]),
        "audio is not supported yet.*turn 1 has a part of type 'input_audio'",
    ),
    (
        about([{"type": "video_url", "video_url": {"url": "v.mp4"}}, text("a")]),
        "video is not supported yet.*'video_url'",
    ),
    (about([{"audio": "a.wav"}, {"text": "a"}]), "audio is not supported yet"),
    (about([{"type": "file", "file": {}}]), "file is not supported yet"),
    (about("<video>\nWhat happens?"), "video is not supported yet.*turn 1 says <video>"),
    (about("What is said? <audio>"), "audio is not supported yet"),
    (about("Look:\n<video>\nWhat happens?"), "video is not supported yet"),
    (about("<|image|>What is it?"), r"turn 1 says <\|image\|>, which is not read"),
    (about("<|image_1|>\nWhat is it?", image="a.jpg"), r"says <\|image_1\|>"),
    (about("<|vision_start|><|image_pad|><|vision_end|>What is it?"), r"<\|vision_start\|>"),
    (about("<|audio_bos|><|AUDIO|><|audio_eos|>What?"), r"<\|audio_bos\|>"),
    (about("<image_placeholder>What is it?"), "<image_placeholder>"),
    (about("What is <image 1>?"), "<image 1>"),
]


@pytest.mark.parametrize(("value", "says"), UNSEEN)
def test_what_nobody_would_see_is_refused_by_name(value: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_json(value)


TEXTS = [
    about('Why is <img src="a.jpg"> not shown?', "Write <img src='/a.jpg'>."),
    about("How do I use the <video> tag?", "<video>\n<source src='v.mp4'>\n</video>"),
    about("What does this do?\n<video>\n<source src='v.mp4'>\n</video>"),
    about("What is wrong?\n```html\n<audio>\n```"),
    about("What stands `<|image_pad|>` for?"),
    about("Explain ![alt](a.png)", "<|image|>"),
    about("<|im_start|>user"),
    about("a", has_image=False, has_audio="no", num_images=0, video=None, audios=[], images=[], image_caption="A cat"),
    about("a", speech="I have a dream.\nIt is long.", document="A text about cats", file="report.pdf", source="a.mp4"),
    about("a", video_title="cats.mp4 explained", image_width=640, audio_transcript="hello"),
    about(
        "<image>a", image="a.jpg", image_id=5, image_url="http://x/a.jpg", video_id="xyz", image_1=None, image_2="a.jpg"
    ),
]


@pytest.mark.parametrize("value", TEXTS)
def test_what_only_talks_about_media_is_read(value: dict[str, Any]) -> None:
    record = from_json(value)
    assert [message.role for message in record.messages] == ["user", "assistant"]
    assert len(record.images) == bool(value.get("image"))


def test_all_who_read_a_set_refuse_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = "audio is not supported yet, only text and images: field 'audios'"
    file = tmp_path / "x.json"
    file.write_text(json.dumps([about("a"), about("<audio>a", audios=["a.wav"])]))
    assert validate_data.main([str(file)]) == 1
    assert f"record 2: {said}" in capsys.readouterr().out
    assert convert.main([str(file), str(tmp_path / "y.jsonl")]) == 0
    assert json.loads((tmp_path / "y.rejected.jsonl").read_text()) == {"record": 2, "reason": said}
    (rejected,) = FileRecords(str(file)).rejected
    assert (rejected.key, rejected.reason) == (f"{file}, record 2", said)


def test_a_set_that_was_converted_before_is_refused_too(tmp_path: Path) -> None:
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    said = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]] * 4
    said.append([{"role": "user", "content": "<img>a.jpg</img>a"}, {"role": "assistant", "content": "b"}])
    columns = {
        "id": pa.array([None] * 5, pa.string()),
        "images": pa.array([[]] * 5, pa.list_(pa.string())),
        "messages": pa.array(said, pa.list_(message)),
        "extra": pa.array(
            ['{"x": 1}', '{"videos": ["v.mp4"]}', '{"file_name": "a.jpg"}', '{"file_name": "a.txt"}', None]
        ),
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    records = FileRecords(str(tmp_path / "x.parquet"))
    assert [one.id for one in records.conversations] == ["1", "4"]
    assert [one.reason.split(",")[0] for one in records.rejected] == [
        "video is not supported yet",
        "field 'file_name' seems to name what is not read: name an image 'image'",
        f"image a.jpg is not below {tmp_path}",
    ]


def test_urls_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps([about("<image>a", image="https://example.org/a.jpg"), about("a")]))
    said = "image https://example.org/a.jpg is a URL: nothing is downloaded, so name the path of a file"
    assert validate_data.main([str(file)]) == 1
    assert f"record 1: {said}\n" in capsys.readouterr().out
    assert [one.reason for one in FileRecords(str(file)).rejected] == [said]


def test_base64_without_its_kind_is_refused_in_a_short_line(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps([about("<image>a", image="iVBORw0KGgo" * 999), about("a")]))
    (rejected,) = FileRecords(str(file)).rejected
    assert rejected.reason.endswith("is no path: a file in base64 needs data:image/png;base64, in front of it")
    assert len(rejected.reason) < 150
