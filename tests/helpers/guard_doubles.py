"""Doubles of what the guard judges: a module whose generation one trained weight decides, its data and its run."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from callbacks.guard_rails import GuardRails
from data_modules.scenes import SceneImages
from lightning_c3l.records import Candidate, Instruction, ScoredCandidate, Scores
from lightning_c3l.rounds import run as round_run
from lightning_c3l.rounds.generation import ImageChunk
from lightning_c3l.rounds.run import engine_of
from lightning_c3l.rounds.store import RunStore

KINDS = ("What is it?", "How many are there?", "Where is it?", "Is it red?")


class Writer(nn.Module):
    """Module and engine in one: four pairs an image, whose S(I2C) by the starting model is its one weight."""

    seed, writing, loss, config = 3, None, None, None
    generates_first = False

    def __init__(self) -> None:
        super().__init__()
        self.worth = nn.Parameter(torch.tensor(0.5))
        self.lvlm = SimpleNamespace(save=self._save, cache_image_features=nullcontext)
        self.asked = list[tuple[list[str], int, int]]()
        self.scorers = set[str]()

    def _save(self, folder: Path) -> None:
        (folder / "adapter").write_text(str(self.worth.item()))

    def inference_context(self) -> Any:
        return nullcontext()

    whole_weights = inference_context

    def generate(
        self, images: ImageChunk, seed: int, progress: str = "write", completions: object = None
    ) -> list[Candidate]:
        self.asked.append((list(images.keys), seed, images.start))
        return [
            Candidate(images.read(key), Instruction("k", "t"), index, "raw", question, f"{self.worth.item():g}")  # type: ignore[arg-type]
            for key in images.keys
            for index, question in enumerate(KINDS)
        ]

    def score(
        self, candidates: Any, read: Any, seed: int, scorer: str = "reference", progress: str = "", **_: Any
    ) -> list[ScoredCandidate]:
        self.scorers.add(scorer)
        partner = len({one.image for one in candidates}) > 1
        return [
            ScoredCandidate(one, Scores(float(one.answer), 0.0, 0.0, 0.0, 0.0, 0.0, 2), 0.0 if partner else None)
            for one in candidates
        ]


class Partitioned(Writer):
    """As ZeRO stage 3 leaves the weights of a module."""

    def __init__(self) -> None:
        super().__init__()
        self.worth.ds_id = 0  # type: ignore[attr-defined]


def be_own_engine(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(round_run, "engine_of", lambda module: module if isinstance(module, Writer) else engine_of(module))


class Data:
    truth, rejected, longest_side, round = None, (), None, -1

    def __init__(self, images: int, held_out: int | None = None) -> None:
        self.sources = {"images": self._keys("i", images), "held_out": held_out and self._keys("h", held_out)}

    def _keys(self, letter: str, count: int) -> list[str]:
        return [f"{letter}{number:03d}" for number in range(count)]

    def source(self, name: str) -> Any:
        keys = self.sources[name]
        return keys and (SimpleNamespace(read=str), keys)

    def digests(self, name: str) -> dict[str, str]:
        return dict.fromkeys((self.source(name) or ("", []))[1], "")

    def set_round(self, *_: object) -> None:
        pass


class Scenes(Data):
    """Real pictures."""

    def __init__(self) -> None:
        super().__init__(1)
        source = SceneImages(4, seed=2)
        self.sources = {"images": (source, list(source.keys())), "held_out": None}

    def source(self, name: str) -> Any:
        return self.sources[name]


def figures(**changed: float) -> dict[str, Any]:
    usual = {
        "parsed_rate": 1.0,
        "distinct_rate": 0.5,
        "kind_entropy": 1.25,
        "image_contrast": 0.5,
        "answer_tokens": 2.0,
    }
    return {**usual, **changed}


class Run:
    """A trainer's side: rounds are made by writing their figures."""

    def __init__(self, folder: Path, guard: GuardRails, data: Data | None = None, reading: str = "answer") -> None:
        self.default_root_dir, self.datamodule = str(folder), data or Data(12)
        self.guard, self.reading, self.should_stop, self.callbacks = guard, reading, False, [guard]

    def made(self, number: int, **changed: float) -> None:
        folder = Path(self.default_root_dir) / "rounds" / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_text(json.dumps({"thresholds": {"reading": self.reading}}))
        (folder / "round.json").write_text(json.dumps({"round": number, **figures(**changed)}))
        self.datamodule.round = number

    def go(self, module: Writer, *states: tuple[float, dict[str, float]]) -> dict[str, Any]:
        """Through all states as a trainer would: each but the last one writes a round. The summary's `guard`."""
        for number, (worth, changed) in enumerate(states):
            with torch.no_grad():
                module.worth.fill_(worth)
            if number == len(states) - 1 or self.should_stop:
                break
            self.made(number, **changed)
            (self.guard.on_train_epoch_end if number else self.guard.on_fit_start)(self, module)
            if not self.should_stop:
                self.guard.on_train_epoch_start(self, module)
        self.guard.on_fit_end(self, module)
        return RunStore(self.default_root_dir).summary()["guard"]
