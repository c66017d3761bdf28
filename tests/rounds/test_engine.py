"""Records of many images: nothing lost, nothing twice, whoever makes them and whatever interrupts."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.profilers import SimpleProfiler
from torch import nn

from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.base import AnswerTokens, InferenceLVLM, Sampling
from lightning_c3l.rounds.engine import Records, RoundEngine
from lightning_c3l.rounds.generation import GenerationConfig
from lightning_c3l.rounds.tasks import Task, images_per_part, layout
from lightning_c3l.runs.row_files import RowWriter
from lightning_c3l.selection.pseudo_labels import PseudoLabelConfig, grouped, select_group
from tests.helpers.doubles import TableLVLM
from tests.helpers.ranks import run_ranks

KEYS = [f"i{number}" for number in range(11)]
REFUSED = "i4"


class Chance(dict):  # type: ignore[type-arg]
    """Probabilities of any answer, each its own."""

    def __missing__(self, key: Any) -> list[float]:
        random = Random(str(key))
        return [random.uniform(0.05, 0.95) for _ in range(1 + random.randrange(2))]


class Matching(Chance):
    """The same, as many tokens with the image as without."""

    def __missing__(self, key: Any) -> list[float]:
        return [Random(f"{key} {n}").uniform(0.05, 0.95) for n, _ in enumerate(Chance()[key[1]])]


class Engine(RoundEngine):
    """Generates and scores with tables."""

    lvlm: Any

    def __init__(self, templates: str, **options: Any) -> None:
        lvlm: Any = TableLVLM(Matching(), Chance(), refused={REFUSED})
        super().__init__(lvlm, GenerationConfig(templates, sampling=Sampling(2), batch_size=2, score_batch_size=2))
        self.config = replace(self.config, **options)

    def answers(self, keys: Sequence[str], questions: Any, read: Any, sampling: Any) -> list[str]:
        return [f"{key}, described" for key in keys]


def task(folder: Path, **changes: Any) -> Task:
    whole: Any = Task("test", folder, KEYS, lambda key: key, 3, {"model": "a", "seed": 3}, describes=True)  # type: ignore[arg-type,return-value]
    return replace(whole, **changes)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(templates(tmp_path))


def templates(folder: Path) -> str:
    (folder / "own.yaml").write_text("- {kind: a, text: Wa}\n- {kind: b, text: Wb}\n")
    return str(folder / "own.yaml")


@pytest.fixture(autouse=True)
def _quiet(recwarn: pytest.WarningsRecorder) -> None:
    """The refused image warns each time."""


def made(engine: RoundEngine, what: Task, profiler: SimpleProfiler | None = None) -> Records:
    """The records of a task, read while their rows are there."""
    records = engine.make_records(what, profiler)
    return replace(records, candidates=list(records.candidates))


def nothing() -> Records:
    """What other ranks than the first have of a task."""
    return Records(candidates=[])


def whole(records: Records) -> None:
    found = [(one.candidate.image, one.candidate.instruction.kind, one.candidate.sample) for one in records.candidates]
    assert found == [(key, kind, n) for key in KEYS if key != REFUSED for kind in "ab" for n in range(2)]
    assert all(one.scores is not None and one.shuffled is not None for one in records.candidates)
    assert list(records.descriptions) == [key for key in KEYS if key != REFUSED]
    assert records.refused == {REFUSED: "too narrow"}


def test_all_of_it_is_made_in_order(engine: Engine, tmp_path: Path) -> None:
    profiler = SimpleProfiler()
    whole(made(engine, task(tmp_path / "round"), profiler))
    assert set(profiler.recorded_durations) == {"generate", "score", "engine", "wait"}


class Server:
    """The tables behind the protocols of inference alone, as a client of an inference server has them."""

    name, fingerprint, dtype, chat_template, network = "server", "table", None, "", nn.Module()

    def __init__(self, lvlm: TableLVLM) -> None:
        self.generate, self.score = lvlm.generate, lvlm.score
        self.unsupported_images, self.cache_image_features = lvlm.unsupported_images, lvlm.cache_image_features

    def mean_nll(self, images: Any, chats: Any) -> list[list[float]]:
        raise AssertionError("a round measures no options")


def test_an_lvlm_that_cannot_be_trained_makes_a_rounds_records(engine: Engine, tmp_path: Path) -> None:
    lvlm: InferenceLVLM = Server(engine.lvlm)
    server, plain = RoundEngine(lvlm, engine.config), task(tmp_path / "server", describes=False)
    assert made(server, replace(plain, made_with=server.made_with(KEYS))) == made(
        engine, replace(plain, folder=tmp_path / "table")
    )


class Killed(BaseException):
    """The process is gone."""


def make_until(monkeypatch: pytest.MonkeyPatch, rows: int, engine: Engine, what: Task) -> None:
    """Make records until so many rows have been appended."""
    left, append = [rows], RowWriter.append

    def counted(writer: RowWriter, rows: Any) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        append(writer, rows)

    with monkeypatch.context() as patch:
        patch.setattr(RowWriter, "append", counted)
        with pytest.raises(Killed):
            engine.make_records(what)


def test_killed_at_any_row_it_goes_on_and_makes_nothing_twice(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = made(engine, task(tmp_path / "whole"))
    rows = sum(file.read_bytes().count(b"\n") for file in (tmp_path / "whole" / "parts").iterdir())
    # a prompt, a description and scores of each image that can be looked at, and the one that cannot
    assert rows == 10 * (2 + 1 + 1) + 1
    for kill in range(rows):
        folder, first, second = tmp_path / str(kill), Engine(engine.config.templates), Engine(engine.config.templates)
        make_until(monkeypatch, kill, first, task(folder))
        noted = b"".join(file.read_bytes() for file in folder.glob("parts/*")).count(b'"texts"')
        assert made(second, task(folder)) == expected
        # only what had not been noted is written again
        assert len(second.lvlm.seeds) == 10 * 2 - noted
    assert made(second, task(folder)) == expected
    assert len(second.lvlm.seeds) == 10 * 2 - noted


def pretend(monkeypatch: pytest.MonkeyPatch, rank: int, world: int) -> None:
    """This process as one of several that never wait for each other."""
    monkeypatch.setattr(collectives, "rank", lambda: rank)
    monkeypatch.setattr(collectives, "world", lambda: world)
    monkeypatch.setattr(collectives, "barrier", lambda: None)
    monkeypatch.setattr(collectives, "gather", lambda value: [value] * world)
    monkeypatch.setattr(collectives, "on_rank_zero", lambda work: work())


@pytest.mark.parametrize("world", [2, 3, 8])
def test_the_number_of_processes_does_not_show(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: int
) -> None:
    expected = made(engine, task(tmp_path / "alone"))
    written = list[str]()
    for rank in reversed(range(world)):
        pretend(monkeypatch, rank, world)
        own = Engine(engine.config.templates)
        records = made(own, task(tmp_path / "shared"))
        written += [image for batch in own.lvlm.batches[: len(own.lvlm.sizes)] for image in batch]
        assert records == (expected if rank == 0 else nothing())
    assert set(written) == set(KEYS) - {REFUSED}


def test_what_one_process_began_others_finish(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = made(engine, task(tmp_path / "alone"))
    make_until(monkeypatch, 7, engine, task(tmp_path / "shared"))
    for rank in (1, 0):
        with monkeypatch.context() as patch:
            pretend(patch, rank, 2)
            records = made(Engine(engine.config.templates), task(tmp_path / "shared"))
    assert records == expected


@settings(max_examples=30, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_spoilt_rows_are_made_again(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("spoilt")
    names = templates(folder)
    expected = made(Engine(names), task(folder / "round"))
    (file,) = (folder / "round" / "parts").iterdir()
    data = bytearray(file.read_bytes())
    spot = int(place * len(data))
    data[spot] ^= 1 << bit
    file.write_bytes(data[:spot] if cut else data)
    assert made(Engine(names), task(folder / "round")) == expected


def test_other_settings_are_refused_by_name_and_another_version_is_not(engine: Engine, tmp_path: Path) -> None:
    made(engine, task(tmp_path / "round"))
    with pytest.raises(ValueError, match=r"created with model='a', got model='b': .*--i2c\.restart_round"):
        made(engine, task(tmp_path / "round", made_with={"model": "b", "seed": 3}))
    path = tmp_path / "round" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "code": "0.0.1"}))
    with pytest.warns(UserWarning, match=r"created with version 0\.0\.1"):
        made(engine, task(tmp_path / "round"))


def test_parts_stay_when_batches_become_smaller(engine: Engine, tmp_path: Path) -> None:
    """Who runs out of memory and goes on with less must not lose what is there."""
    expected = made(engine, task(tmp_path / "round"))
    engine.config = replace(engine.config, batch_size=1, score_batch_size=1)
    asked = len(engine.lvlm.seeds)
    assert made(engine, task(tmp_path / "round")) == expected
    assert len(engine.lvlm.seeds) == asked


@settings(max_examples=300, deadline=None)
@given(count=st.integers(0, 400), size=st.integers(1, 60))
def test_parts_hold_each_image_once_and_are_even(count: int, size: int) -> None:
    found = layout(count, size)
    assert [number for span in found for number in span] == list(range(count))
    sizes = [len(span) for span in found]
    if count:
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= min(count, 2)
        assert max(sizes) <= max(size, 3)
    # as many as eight processes can share evenly, where a part has its four images then
    if count >= 32 and size >= 4:
        assert len(found) % 8 == 0 or min(sizes) <= 4


def test_a_part_fills_two_batches_of_writing_and_one_of_scoring(engine: Engine) -> None:
    assert images_per_part(replace(engine.config, batch_size=64, score_batch_size=8)) == 64
    assert images_per_part(replace(engine.config, batch_size=64, score_batch_size=100)) == 100
    assert images_per_part(replace(engine.config, batch_size=64, score_batch_size=8, per_image=1)) == 128


def _on_rank(rank: int, folder: str) -> None:
    engine = Engine(f"{folder}/own.yaml")
    records = made(engine, task(Path(folder) / "ranks"))
    if rank == 0:
        whole(records)
        assert records == make_records_alone(folder)
    else:
        assert records == nothing()


def make_records_alone(folder: str) -> Records:
    """What one process makes, without a word to the others."""
    with pytest.MonkeyPatch.context() as patch:
        pretend(patch, 0, 1)
        return made(Engine(f"{folder}/own.yaml"), task(Path(folder) / "alone"))


def test_answers_of_the_prior_are_made_once_whatever_interrupts(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = PseudoLabelConfig(negatives="blind+shuffled")
    whole = made(engine, task(tmp_path / "whole", pseudo_labels=labels))
    written = [one for one in whole.candidates if not one.candidate.origin]
    assert written == made(Engine(engine.config.templates), task(tmp_path / "plain")).candidates
    groups = (select_group(own)[0] for own in grouped(written))
    best = {(one.image, one.instruction): one for group in groups if group for one in [group.positive.candidate]}
    answers = [one for one in whole.candidates if one.candidate.origin]
    # two answers without image and two about another one for each group
    assert len(answers) == 10 * 2 * (2 + 2)
    for one in answers:
        positive = best[one.candidate.image, one.candidate.instruction]
        assert one.candidate.question == positive.question
        # the tables answer with the prompt and the image that they were given
        image = one.candidate.answer.removeprefix(f"Question: {positive.question}/").split("/")[0]
        others = {"None"} if one.candidate.origin == "blind" else {*KEYS} - {one.candidate.image, REFUSED}
        assert image in others
        assert one.scores is not None
    rows = sum(file.read_bytes().count(b"\n") for file in (tmp_path / "whole" / "parts").iterdir())
    assert rows == 10 * (2 + 1 + 1 + 1) + 1
    for kill in range(0, rows, 7):
        what = task(tmp_path / str(kill), pseudo_labels=labels)
        make_until(monkeypatch, kill, Engine(engine.config.templates), what)
        assert made(Engine(engine.config.templates), what) == whole


def test_two_real_processes(tmp_path: Path) -> None:
    templates(tmp_path)
    run_ranks(_on_rank, str(tmp_path))


def test_scores_without_a_number_come_back_as_none(engine: Engine, tmp_path: Path) -> None:
    score = engine.lvlm.score

    def spoilt(images: Any, chats: Any, shuffled: Any = None) -> AnswerTokens:
        tokens: AnswerTokens = score(images, chats, shuffled)
        assert tokens.logp_shuffled is not None
        return replace(tokens, logp_shuffled=tokens.logp_shuffled * float("nan"))

    engine.lvlm.score = spoilt
    records = made(engine, task(tmp_path / "round"))
    assert {one.shuffled for one in records.candidates} == {None}


def test_a_manifest_of_nothing_does_not_hold(engine: Engine, tmp_path: Path) -> None:
    """What was put together elsewhere, or never begun, may be made anew with other weights."""
    made(engine, task(tmp_path / "final"))
    shutil.rmtree(tmp_path / "final" / "parts")
    whole(made(engine, task(tmp_path / "final", made_with={"model": "b"})))
