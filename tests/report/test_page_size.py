"""Time and size of the page of a large run."""

import random
import time
from pathlib import Path

import pytest
from PIL import Image

from lightning_c3l.records import Candidate, Instruction, ScoredCandidate, Scores
from lightning_c3l.report.page import render_report
from lightning_c3l.rounds.run_page import read_rounds
from lightning_c3l.rounds.store import Round, RunStore
from tests.report.samples import states, summary

ROUNDS, TEXTS, IMAGES = 5, 20_000, 2_000


def candidates(number: int) -> list[ScoredCandidate]:
    """A round of groups of four, as a run on photographs has them."""
    source = random.Random(number)
    made = []
    for index in range(TEXTS):
        group, sample = divmod(index, 4)
        kind = ("color", "place", "reasoning")[group % 3]
        image, instruction = f"{group % IMAGES}.jpg", Instruction(kind, f"Write a {kind} question.")
        words = " ".join(source.choices(("red", "the", "left", "dog", "sits", "near"), k=40))
        if index % 50 == 49:
            text = Candidate(image, instruction, sample, words, rejected="no answer")
            made.append(ScoredCandidate(text, verdict="unparsable", status="rejected"))
            continue
        text = Candidate(image, instruction, sample, words, f"What is {index}?", words)
        score, status = source.gauss(0.4, 0.3), "positive" if sample == 0 else "negative"
        scores = Scores(score, score, score, score, -1.0, -2.0, 12)
        verdict = "right" if source.random() < 0.5 else "wrong"
        made.append(ScoredCandidate(text, scores, source.gauss(0.1, 0.2), verdict, status))
    return made


def photograph(key: str) -> Image.Image:
    """Smooth noise, which is as large as a JPEG of a rich photograph."""
    small = Image.frombytes("RGB", (160, 120), random.Random(key).randbytes(3 * 160 * 120))
    return small.resize((640, 480), Image.Resampling.BICUBIC)


@pytest.mark.slow
def test_a_large_run_has_its_page_within_seconds_and_megabytes(tmp_path: Path) -> None:
    store, figures = RunStore(tmp_path), {**summary(), "guard": states()}
    for number in range(ROUNDS):
        store.write_round(number, Round(candidates(number), [], {}, {**summary()["rounds"][0], "round": number}))
    # of this process alone, whatever else the machine does
    began = time.process_time()
    rounds, figures["rounds"] = read_rounds(store)
    page = render_report(figures, rounds, photograph)
    assert time.process_time() - began < 10
    assert len(page.encode("utf-8")) < 15_000_000
    # what is cut off last are images, and here none has to be
    assert page.count('<img src="data:image/jpeg') >= 100
