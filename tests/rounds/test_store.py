"""The run folder: what is written comes back, and what is half-written does not count."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_c3l.functional.finite import jsonable
from lightning_c3l.records import Candidate, Group, Instruction, ScoredCandidate, Scores
from lightning_c3l.rounds import store as store_module
from lightning_c3l.rounds.store import DamagedRound, Round, RunStore

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCORES = st.builds(Scores, FINITE, FINITE, FINITE, FINITE, FINITE, FINITE, st.integers(1, 99))
SCORED = st.builds(
    ScoredCandidate,
    st.builds(Candidate, TEXT, st.builds(Instruction, TEXT, TEXT), st.just(0), TEXT, TEXT, TEXT, TEXT),
    st.none() | SCORES,
    st.none() | FINITE,
    st.sampled_from([None, "right", "wrong", "unanswerable", "unparsable"]),
    st.sampled_from(["", "positive", "negative"]),
)


def numbered(candidates: list[ScoredCandidate]) -> list[ScoredCandidate]:
    """The same with sample numbers that tell them apart, as they are in a run."""
    return [
        ScoredCandidate(Candidate(**{**c.candidate.__dict__, "sample": k}), c.scores, c.shuffled, c.verdict, c.status)
        for k, c in enumerate(candidates)
    ]


def scored(sample: int, text: str = "t", image: str = "a.png") -> ScoredCandidate:
    return ScoredCandidate(Candidate(image, Instruction("kind", "W"), sample, text), Scores(1, 2, 3, 4, 5, 6, 7))


@settings(max_examples=50, deadline=None)
@given(st.lists(SCORED, min_size=1, max_size=4), FINITE, st.dictionaries(TEXT, TEXT), st.integers(0, 99))
def test_a_round_comes_back(candidates: list[ScoredCandidate], weight: float, said: dict[str, str], n: int) -> None:
    candidates = numbered(candidates)
    done = Round(candidates, [Group(candidates[-1], tuple(candidates[:-1]), weight, 0.5)], said, {"round": n, "x": [1]})
    with TemporaryDirectory() as folder:
        RunStore(folder).write_round(n, done)
        assert RunStore(folder).read_round(n) == done
        assert RunStore(folder).rounds() == [n]


def test_further_answers_come_back_with_the_groups_that_they_are_negatives_of(tmp_path: Path) -> None:
    candidates = [scored(0), scored(1)]
    answers = [ScoredCandidate(Candidate("a.png", Instruction("kind", "W"), n, "t", origin="blind")) for n in (2, 3)]
    store = RunStore(tmp_path)
    store.write_round(0, Round(candidates, [Group(candidates[0], (candidates[1], answers[1]))], {}, {}, answers))
    found = store.read_round(0)
    assert found.answers == answers
    assert found.groups[0].negatives == (candidates[1], answers[1])
    assert json.loads((tmp_path / "rounds/0/groups-00000.jsonl").read_text())["negatives"] == [1, 3]
    rows = "".join((tmp_path / f"rounds/0/{name}-00000.jsonl").read_text() for name in ("candidates", "answers"))
    assert rows.count('"origin": "blind"') == rows.count('"origin"') == 2
    # a round that is made again without them has none
    store.write_round(0, Round(candidates, [], {}, {}))
    assert store.read_round(0).answers == ()
    store.write_round(0, Round(candidates, [], {}, {}, answers))
    (tmp_path / "rounds/0/answers-00000.jsonl").write_text("")
    with pytest.raises(DamagedRound, match="answers-00000"):
        store.read_round(0)


@pytest.mark.parametrize("text", ["a\u2028b\u2029c\x85d\x0be", "\r\n", "\x00", "🙂", '"\\', "\ue000"])
def test_texts_that_break_lines_elsewhere(tmp_path: Path, text: str) -> None:
    done = Round([scored(0, text), scored(1)], [], {text: text}, {})
    RunStore(tmp_path).write_round(0, done)
    assert RunStore(tmp_path).read_round(0) == done


@pytest.mark.parametrize("text", ["\ud800", "name\udcff.png", "\udc80\udc81", "\\\udcff"])
def test_lone_surrogates_come_back(tmp_path: Path, text: str) -> None:
    done = Round([scored(0, text, image=text)], [], {text: text}, {text: text})
    store = RunStore(tmp_path)
    store.write_round(0, done)
    assert store.read_round(0) == done
    store.write_candidates("vlit-candidates", done.candidates)
    store.update_summary(name=text)
    assert store.summary() == {"name": text}


def test_readable_text_stays_readable(tmp_path: Path) -> None:
    RunStore(tmp_path).write_candidates("some", [scored(0, "été 🙂")])
    lines = (tmp_path / "some.jsonl").read_text(encoding="utf-8").split("\n")
    assert "été 🙂" in lines[0]
    assert json.loads(lines[0])["candidate"]["image"] == "a.png"
    assert lines[1:] == [""]


FAILING = ["candidates-00000.jsonl", "groups-00000.jsonl", "descriptions.json", "round.json"]


def breaking(write: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A write that fails for one file, as a full disk would."""

    def wrapped(path: Path, content: Any) -> Any:
        if path.name == name:
            raise OSError("disk full")
        return write(path, content)

    return wrapped


@pytest.mark.parametrize("name", FAILING)
def test_a_half_written_round_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    store = RunStore(tmp_path)
    store.write_round(0, Round([scored(0)], [], {}, {"old": 1}))
    store.write_round(1, Round([scored(0)], [], {}, {"old": 1}))
    for writer in ("write_candidate_rows", "write_rows", "write_json_atomic"):
        monkeypatch.setattr(store_module, writer, breaking(getattr(store_module, writer), name))
    with pytest.raises(OSError, match="disk full"):
        store.write_round(1, Round([scored(0, "new")], [], {}, {"new": 1}))
    assert store.rounds() == [0]
    with pytest.raises(ValueError, match="no finished round"):
        store.read_round(1)


def test_a_round_is_replaced_and_rounds_are_sorted_as_numbers(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for number in (10, 9, 0, 9):
        store.write_round(number, Round([scored(number)], [], {}, {"round": number}))
    (tmp_path / "rounds" / "9 (copy)").mkdir()
    (tmp_path / "rounds" / "9 (copy)" / "round.json").write_text("{}")
    assert store.rounds() == [0, 9, 10]
    assert store.read_round(9).candidates[0].candidate.sample == 9
    assert RunStore(tmp_path / "none").rounds() == []


def test_numbers_that_are_none_become_null(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    wild = Scores(math.nan, math.inf, -math.inf, 0.5, 0, 0, 1)
    one = ScoredCandidate(scored(0).candidate, wild, math.nan)
    store.write_round(0, Round([one], [], {}, {"mean": math.nan, "deep": [{"x": (math.inf, 1.5)}]}))
    raw = "".join(file.read_text() for file in (tmp_path / "rounds" / "0").iterdir())
    assert "NaN" not in raw
    assert "Infinity" not in raw
    back = store.read_round(0)
    assert back.figures == {"mean": None, "deep": [{"x": [None, 1.5]}]}
    assert back.candidates[0].scores == Scores(None, None, None, 0.5, 0, 0, 1)  # type: ignore[arg-type]
    assert back.candidates[0].shuffled is None


def test_jsonable_leaves_the_rest_alone() -> None:
    value = {"a": [1, True, None, "NaN", 2.5], 3: "number"}
    assert jsonable(value) == {"a": [1, True, None, "NaN", 2.5], "3": "number"}


def test_seconds_add_up(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.write_round(0, Round([scored(0)], [], {}, {"round": 0, "seconds": {"score": 1.0}}))
    store.add_seconds(0, "train", 2.0)
    store.add_seconds(0, "train", 0.5)
    assert store.read_figures(0) == {"round": 0, "seconds": {"score": 1.0, "train": 2.5}}


def test_summary_grows(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    assert store.summary() == {}
    store.update_summary(a=1, b={"x": math.nan})
    store.update_summary(b=2, c=[3])
    assert store.summary() == {"a": 1, "b": 2, "c": [3]}


def test_spoilt_figures_are_a_damaged_round(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.write_round(0, Round([scored(0)], [], {}, {"round": 0}))
    (store.round_folder(0) / "round.json").write_text('{"half')
    with pytest.raises(DamagedRound, match=r"round\.json: is damaged"):
        store.read_round(0)


@pytest.mark.parametrize("name", ["candidates-00000.jsonl", "groups-00000.jsonl", "descriptions.json"])
@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_a_damaged_round_is_named(tmp_path: Path, name: str, harm: str) -> None:
    store = RunStore(tmp_path)
    store.write_round(0, Round([scored(0)], [Group(scored(0), ())], {"a.png": "text"}, {}))
    file = store.round_folder(0) / name
    data = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(data.replace(b"0", b"1", 1).replace(b"text", b"test", 1))
    with pytest.raises(DamagedRound, match=name):
        store.read_round(0)
    file.write_bytes(data)
    assert store.read_round(0).candidates == [scored(0)]


def test_the_manifest_keeps_what_it_said_and_tells_counts(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    (store.round_folder(0) / "parts").mkdir(parents=True)
    (store.round_folder(0) / "manifest.json").write_text('{"model": "a"}')
    store.write_round(0, Round([scored(0), scored(1)], [Group(scored(0), (scored(1),))], {}, {}))
    found = json.loads((store.round_folder(0) / "manifest.json").read_text())
    assert found["model"] == "a"
    assert found["counts"] == {"candidates": 2, "groups": 1}
    assert not (store.round_folder(0) / "parts").exists()


def test_a_forgotten_round_is_gone(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.forget(0)
    store.write_round(0, Round([scored(0)], [], {}, {}))
    store.forget(0)
    assert store.rounds() == []
    assert not store.round_folder(0).exists()
