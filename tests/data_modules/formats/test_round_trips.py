"""There and back: each pair of container and dialect, over made records and over real files.

What is read keeps its values and not its spelling; what was written here comes back as it was.
"""

import json
import tarfile
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from data_modules.formats import DIALECTS
from lightning_c3l.cli.convert import Job, convert
from tests.data_modules.formats.made_records import NAMES, records, strict

KINDS = [*product(("json", "jsonl", "tar"), DIALECTS), ("parquet", "messages")]
IMAGES = {name: b"\x89PNG" + name.encode() for name in NAMES}


def write_images(root: Path) -> None:
    for name, data in IMAGES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def write_text(path: Path, values: list[Any]) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps(values))
    else:
        path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")


def contents(path: Path) -> Any:
    """All that a file holds, read without the code under test."""
    if path.suffix == ".json":
        return [strict(value) for value in json.loads(path.read_bytes())]
    if path.suffix == ".jsonl":
        return [strict(json.loads(line)) for line in path.read_bytes().split(b"\n") if line]
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        return [row | {"extra": row["extra"] and strict(json.loads(row["extra"]))} for row in rows]
    with tarfile.open(path) as archive:
        members = [(member.name, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
    return [strict(json.loads(data)) if name.endswith(".json") else data for name, data in members]


def leaves(value: Any) -> Iterator[Any]:
    """All values inside, but for the words that a dialect has for roles and kinds of parts."""
    if isinstance(value, dict):
        for name, one in value.items():
            if name not in ("from", "role", "type") or not isinstance(one, str):
                yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    elif value is not None:
        yield value


def check_values(given: dict[str, Any], written: dict[str, Any]) -> None:
    """Every text, number and unknown field of a record is in what was written of it."""
    found = list(leaves(written))
    texts = "\0".join(one for one in found if isinstance(one, str))
    for one in leaves(given):
        if isinstance(one, str):
            assert all(piece in texts for piece in one.split("<image>")), one
        else:
            assert any(type(one) is type(other) and one == other for other in found), one
    assert {name for name in given if name.startswith("x")} <= set(written)


def there_and_back(folder: Path, source: Path, via: tuple[str, str], home: str) -> Path:
    """The file that comes back; images that a shard carries are extracted where the way goes through JSON."""
    there, back, root = folder / f"there.{via[0]}", folder / f"back{source.suffix}", folder / "images"
    out = folder / "extracted"
    to_text, from_text = via[0] in ("json", "jsonl"), source.suffix in (".json", ".jsonl")
    carried = source.suffix in (".tar", ".parquet")
    assert convert(Job(str(source), there, via[1], images=root, extract=out if carried and to_text else None))[1] == 0
    root = out if carried and to_text and out.exists() else root
    extract = out if from_text and not to_text else None
    job = Job(str(there), back, home, images=root, extract=extract, embed=back.suffix == ".parquet")
    assert convert(job)[1] == 0
    return back


def drawn(dialect: str) -> st.SearchStrategy[dict[str, list[Any]]]:
    """Records of any kind, ones that a pair can hold, and ones whose images may be in the JSON itself."""
    kinds = {"any": (False, False), "single": (True, False), "urls": (False, True)}
    lists = {name: st.lists(records(dialect, *kind), min_size=2, max_size=4) for name, kind in kinds.items()}
    return st.fixed_dictionaries(lists)


@pytest.mark.parametrize("home", KINDS, ids="-".join)
@settings(max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_set_comes_back_from_every_format(home: tuple[str, str], data: st.DataObject) -> None:
    made = data.draw(drawn(home[1]))
    with TemporaryDirectory() as name:
        sources = {}
        for kind, values in made.items():
            folder = Path(name) / kind
            write_images(folder / "images")
            source = sources[kind] = folder / f"home.{home[0]}"
            write_text(folder / "made.json", values)
            embed = not home[0].startswith("json")
            job = Job(str(folder / "made.json"), source, home[1], images=folder / "images", embed=embed)
            assert convert(job) == (len(values), 0)
            if home[0] == "jsonl":
                written = [json.loads(line) for line in source.read_bytes().splitlines()]
                for value, one in zip(values, written, strict=True):
                    check_values(value, one)
        for via in KINDS:
            inline = home[0].startswith("json") and via[0].startswith("json")
            source = sources["single" if via[1] == "pairs" else "urls" if inline else "any"]
            assert contents(there_and_back(source.parent, source, via, home[1])) == contents(source), via


@pytest.mark.parametrize("via", KINDS, ids="-".join)
def test_real_files_come_back(shared_data: Path, tmp_path: Path, via: tuple[str, str]) -> None:
    files = [file for file in sorted((shared_data / "vlit-json").rglob("*.json")) if file.name != "video.json"]
    assert len(files) >= 3
    for file in files:
        values = json.loads(file.read_text())
        if via[1] == "pairs":
            values = [value for value in values if len(value["conversations"]) == 2]
        source = tmp_path / f"{file.stem}.json"
        write_text(tmp_path / "given.json", values)
        assert convert(Job(str(tmp_path / "given.json"), source)) == (len(values), 0)
        for value, one in zip(values, json.loads(source.read_text()), strict=True):
            check_values(value, one)
        names = [value.get("image") or [] for value in values]
        for name in [one for names_ in names for one in ([names_] if isinstance(names_, str) else names_)]:
            (tmp_path / "images").mkdir(exist_ok=True)
            (tmp_path / "images" / name).write_bytes(b"\x89PNG" + name.encode())
        assert contents(there_and_back(tmp_path, source, via, "llava")) == contents(source)


def foreign_shard(path: Path, samples: list[tuple[Any, list[bytes]]]) -> None:
    """As other people write shards: folders in the names, the first image `.jpg`, others `.1.jpg` and so on."""
    with tarfile.open(path, "w") as archive:
        for number, (value, images) in enumerate(samples):
            files = [(f"part/{number:04d}.json", json.dumps(value).encode())]
            files += [(f"part/{number:04d}.{index or ''}.jpg".replace("..", "."), d) for index, d in enumerate(images)]
            for name, data in files:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, BytesIO(data))


@pytest.mark.parametrize("via", KINDS, ids="-".join)
def test_images_that_records_do_not_name_are_named(tmp_path: Path, via: tuple[str, str]) -> None:
    turns = [{"from": "human", "value": "a <image> b <image>"}, {"from": "gpt", "value": "c"}]
    plain = [{"from": "human", "value": "d"}, {"from": "gpt", "value": "e"}]
    samples: list[tuple[Any, list[bytes]]] = [
        ({"conversations": turns}, [b"\xff\xd8one", b"\xff\xd8two"]),
        ({"conversations": plain, "id": 3}, [b"\xff\xd8three"]),
        ({"conversations": plain}, []),
    ]
    foreign_shard(tmp_path / "home.tar", samples)
    back = contents(there_and_back(tmp_path, tmp_path / "home.tar", via, "llava"))
    shown = [{"from": "human", "value": "<image>d"}, plain[1]]
    assert sorted(back, key=str) == sorted(
        [
            *(b"\xff\xd8one", b"\xff\xd8two", b"\xff\xd8three"),
            strict({"__key__": "part/0000", "image": ["part/0000.jpg", "part/0000.1.jpg"], "conversations": turns}),
            strict({"__key__": "part/0001", "image": "part/0001.jpg", "conversations": shown, "id": 3}),
            strict({"__key__": "part/0002", "conversations": plain}),
        ],
        key=str,
    )
