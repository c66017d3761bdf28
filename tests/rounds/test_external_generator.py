"""Rounds whose texts come from a generator beside the LVLM."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from callbacks.measuring import origin
from lightning_c3l.lvlm.base import GenerationRequest, LVLMError, Sampling
from lightning_c3l.lvlm.external import GENERATOR_DTYPE
from lightning_c3l.rounds.engine import RoundEngine
from lightning_c3l.rounds.generation import GenerationConfig
from tests.helpers.doubles import TableLVLM
from tests.rounds.test_engine import KEYS, REFUSED, Chance, Matching, made, task, templates


class Elsewhere(TableLVLM):
    """Generates with tables of its own, while it serves; may die after a number of texts."""

    requests_at_once = 6

    def __init__(self, events: list[str], dies_after: int | None = None) -> None:
        super().__init__({}, {}, refused={REFUSED})
        self.events, self.left, self.is_serving = events, dies_after, False
        self.precision = "float32"

    def identity(self) -> dict[str, str]:
        return {"generator": "engine 1.0", GENERATOR_DTYPE: self.precision}

    @contextmanager
    def serving(self, lvlm: Any) -> Iterator[None]:
        self.events.append("wake")
        self.is_serving = True
        try:
            yield
        finally:
            self.is_serving = False
            self.events.append("sleep")

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int | None = None,
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[str]], object] = lambda _, __: None,
    ) -> list[list[str]]:
        assert self.is_serving
        self.events += ["generate"] * len(requests)

        def keep(index: int, texts: list[str]) -> None:
            if self.left == 0:
                raise LVLMError("the server is gone")
            self.left = None if self.left is None else self.left - 1
            finished(index, texts)

        return super().generate(requests, sampling, batch_size, progress, keep)


class Scoring(TableLVLM):
    """Scores with tables, and must not generate."""

    def __init__(self, events: list[str]) -> None:
        super().__init__(Matching(), Chance(), refused={REFUSED})
        self.events = events

    def generate(self, *args: Any, **options: Any) -> Any:
        raise AssertionError("there is a generator")

    def score(self, *args: Any, **options: Any) -> Any:
        self.events.append("score")
        return super().score(*args, **options)


def engine(folder: Path, events: list[str], dies_after: int | None = None) -> RoundEngine:
    config = GenerationConfig(templates(folder), sampling=Sampling(2), batch_size=2, score_batch_size=2)
    lvlm: Any = Scoring(events)
    external: Any = Elsewhere(events, dies_after)
    return RoundEngine(lvlm, config, external=external)


def alone(folder: Path) -> Any:
    """What an LVLM makes that generates itself."""
    config = GenerationConfig(templates(folder), sampling=Sampling(2), batch_size=2, score_batch_size=2)
    lvlm: Any = TableLVLM(Matching(), Chance(), refused={REFUSED})
    return made(RoundEngine(lvlm, config), plain(folder / "alone"))


def plain(folder: Path) -> Any:
    return task(folder, describes=False)


@pytest.fixture(autouse=True)
def _quiet(recwarn: pytest.WarningsRecorder) -> None:
    """The refused image warns each time."""


def test_all_texts_are_generated_before_the_first_is_scored(tmp_path: Path) -> None:
    events = list[str]()
    assert made(engine(tmp_path, events), plain(tmp_path / "round")) == alone(tmp_path)
    texts = 2 * (len(KEYS) - 1)
    assert events[: texts + 2] == ["wake", *["generate"] * texts, "sleep"]
    assert set(events[texts + 2 :]) == {"score"}


def test_images_in_turn_keep_their_instructions(tmp_path: Path) -> None:
    of_each = GenerationConfig(templates(tmp_path), per_image=1, sampling=Sampling(2))
    found = []
    for name, one in (("server", engine(tmp_path, [])), ("alone", RoundEngine(Scoring([]), of_each))):  # type: ignore[arg-type]
        one.config = of_each
        if name == "alone":
            one.lvlm.generate = one.generator.generate = TableLVLM({}, {}).generate  # type: ignore[method-assign]
        found.append(made(one, plain(tmp_path / name)))
    assert found[0] == found[1]
    assert {one.candidate.instruction.kind for one in found[0].candidates} == {"a", "b"}


def test_descriptions_are_generated_too(tmp_path: Path) -> None:
    found = made(engine(tmp_path, events := []), task(tmp_path / "round"))
    assert list(found.descriptions) == [key for key in KEYS if key != REFUSED]
    assert events.index("sleep") < events.index("score")


@pytest.mark.parametrize("dies_after", [0, 5, 19])
def test_a_generator_that_dies_costs_nothing_that_was_finished(tmp_path: Path, dies_after: int) -> None:
    folder = tmp_path / "round"
    with pytest.raises(LVLMError, match="the server is gone"):
        made(engine(tmp_path, [], dies_after), plain(folder))
    events = list[str]()
    assert made(engine(tmp_path, events), plain(folder)) == alone(tmp_path)
    assert events.count("generate") == 2 * (len(KEYS) - 1) - dies_after


def test_a_round_that_only_lacks_scores_needs_no_server(tmp_path: Path) -> None:
    first, folder = engine(tmp_path, []), tmp_path / "round"

    def dies(*args: Any) -> Any:
        raise KeyboardInterrupt

    first.lvlm.score = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        made(first, plain(folder))
    events = list[str]()
    assert made(engine(tmp_path, events), plain(folder)) == alone(tmp_path)
    assert set(events) == {"score"}


def test_another_generator_is_refused(tmp_path: Path) -> None:
    served = engine(tmp_path, [])
    served._weights = None  # type: ignore[assignment]
    served.weights_digest = lambda: ""  # type: ignore[method-assign]
    begun = replace(plain(tmp_path / "round"), made_with=served.made_with(KEYS))
    made(served, begun)
    own = {name: value for name, value in begun.made_with.items() if not name.startswith("generator")}
    with pytest.raises(ValueError, match="generator"):
        made(served, replace(begun, made_with=own))
    other = {**begun.made_with, "generator": "engine 1.1"}
    with pytest.raises(ValueError, match=r"generator.*engine 1.0.*engine 1.1|generator.*engine 1.1.*engine 1.0"):
        made(served, replace(begun, made_with=other))


@pytest.mark.parametrize(("first", "second"), [("float32", "unknown"), ("unknown", "bfloat16"), ("unknown", "unknown")])
def test_a_precision_that_is_not_always_told_is_no_other_generator(tmp_path: Path, first: str, second: str) -> None:
    served = engine(tmp_path, [])
    served.weights_digest = lambda: ""  # type: ignore[method-assign]
    external: Any = served._external
    external.precision = first
    task = replace(plain(tmp_path / "round"), made_with=served.made_with(KEYS))
    records, figures = made(served, task), origin(served, KEYS)
    external.precision = second
    assert made(served, replace(task, made_with=served.made_with(KEYS))) == records
    assert origin(served, KEYS) == figures
    assert json.loads((tmp_path / "round" / "manifest.json").read_text())[GENERATOR_DTYPE] == first


def test_another_precision_is_refused(tmp_path: Path) -> None:
    served = engine(tmp_path, [])
    served.weights_digest = lambda: ""  # type: ignore[method-assign]
    task = replace(plain(tmp_path / "round"), made_with=served.made_with(KEYS))
    made(served, task)
    external: Any = served._external
    external.precision = "bfloat16"
    with pytest.raises(ValueError, match="created with generator_dtype='float32', got generator_dtype='bfloat16'"):
        made(served, replace(task, made_with=served.made_with(KEYS)))
