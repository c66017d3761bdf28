"""Token values of the report's pairs: by the starting model, whatever was trained, and on any number of processes."""

import json
import math
from pathlib import Path

import pytest

from callbacks.token_values import GalleryTokens
from lightning_c3l.records import Candidate, Instruction, ScoredCandidate, Scores
from lightning_c3l.report.candidate_columns import CandidateColumns
from lightning_c3l.report.gallery import FRESH, exported_pairs, shown_pairs, with_tokens
from lightning_c3l.rounds.gallery import read_token_values
from lightning_c3l.rounds.run_page import read_extras, read_rounds
from lightning_c3l.rounds.store import Round, RunStore
from tests.callbacks.test_writer_comparison import Data, Run, tiny_module
from tests.helpers.ranks import run_ranks
from tests.helpers.tiny import load_tiny, plain

PAIRS = [("What color is it?", "red"), ("Where is it?", "top left"), ("How many?", "three 🙂")]


def candidate(number: int, image: str, status: str) -> ScoredCandidate:
    question, answer = PAIRS[number % len(PAIRS)]
    own = Candidate(image, Instruction("kind", "Ask."), number, "text", question, answer)
    return ScoredCandidate(own, Scores(0.1 * number, 0.0, 0.0, 0.0, -1.0, -2.0, 3), status=status)


def written(folder: Path, images: int) -> RunStore:
    """A run of one round, and its data set, about these many images."""
    store, keys = RunStore(folder), list(Data(images)._source.keys())
    rejected = ScoredCandidate(Candidate(keys[0], Instruction("kind", "Ask."), 9, "junk", rejected="no answer"))
    candidates = [candidate(number, keys[number % images], "negative") for number in range(4)]
    store.write_round(0, Round([*candidates, rejected], [], {}, {"round": 0}))
    store.write_candidates("vlit-candidates", [candidate(2, keys[0], "kept"), candidate(1, "gone", "left out")])
    return store


def values_on_ranks(rank: int, argument: str) -> None:
    checkpoint, folder = argument.split("|")
    for images in (1, 3):
        own = written(Path(folder) / f"{images} of rank {rank}", images)
        GalleryTokens().on_fit_end(Run(own.folder, Data(images)), tiny_module(checkpoint))


def test_they_are_those_of_the_starting_model(tiny_checkpoint, tmp_path):
    # one image leaves the second process nothing to score
    run_ranks(values_on_ranks, f"{tiny_checkpoint}|{tmp_path}")
    # without the adapter that the module trains
    start = load_tiny(tiny_checkpoint, None)
    for images in (1, 3):
        store, data = RunStore(tmp_path / f"{images} of rank 0"), Data(images)
        model, values = read_token_values(store)
        assert model == start.fingerprint
        assert {source for source, *_ in values} == {"", FRESH}
        assert len(values) == 4
        for (_, image, question, answer), own in values.items():
            picture = data.source("images")[0].read(image)
            assert "".join(own.texts) == answer
            for found, reference in ((own.logp_image, picture), (own.logp_blind, None)):
                expected = plain(start, question, answer, reference).logp().detach().sum()
                assert math.fsum(found) == pytest.approx(float(expected), abs=1e-3)
        assert not (tmp_path / f"{images} of rank 1" / "report").exists()


def test_known_values_are_kept_and_the_page_finds_them(tiny_checkpoint, tmp_path):
    store, module = written(tmp_path, 2), tiny_module(tiny_checkpoint)
    run = Run(tmp_path, Data(2))
    GalleryTokens().on_fit_end(run, module)
    before = (tmp_path / "report/tokens.json").read_bytes()

    def score(*_, **__):
        raise AssertionError("it was scored by this very model")

    kept, module.lvlm.score = module.lvlm.score, score
    GalleryTokens().on_fit_end(run, module)
    assert (tmp_path / "report/tokens.json").read_bytes() == before
    extras = read_extras(tmp_path, {})
    rounds = {number: CandidateColumns.of(own, extras.reading) for number, own in read_rounds(store)[0].items()}
    exported = exported_pairs(extras.exported, extras.reading)
    shown = with_tokens(shown_pairs(rounds, exported), extras.tokens)
    # all but the text without a pair, and the pair whose image is gone
    assert [one.answer or one.reason for one in shown if one.tokens is None] == ["no answer", "top left"]
    # values of another model do not count
    stored = json.loads(before)
    (tmp_path / "report/tokens.json").write_text(json.dumps({**stored, "model": "another"}))
    module.lvlm.score = kept
    GalleryTokens().on_fit_end(run, module)
    assert (tmp_path / "report/tokens.json").read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", '{"pairs": [1, {}, {"tokens": {"texts": ["a"]}}]}', '{"pairs": null}'])
def test_a_damaged_file_counts_as_none(tmp_path, text):
    (tmp_path / "report").mkdir()
    (tmp_path / "report/tokens.json").write_text(text)
    assert read_token_values(RunStore(tmp_path))[1] == {}
