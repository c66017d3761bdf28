"""Figures of small answer files by hand: protocols, tables, intervals, a blind run and a rival beside them."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lightning_c3l.evaluation.benchmarks import load, load_scored
from lightning_c3l.evaluation.benchmarks.answers import AnswerFile, answer_row, read_answers
from lightning_c3l.evaluation.benchmarks.base import Answer, Question, QuestionSet, headline_name
from lightning_c3l.evaluation.benchmarks.evaluation import evaluate
from lightning_c3l.evaluation.benchmarks.tables import evaluation_tables
from lightning_c3l.evaluation.results import METRICS
from tests.evaluation.benchmarks import files


def _file(path: Path, name: str, answers: Mapping[str, Any], **fields: Any) -> AnswerFile:
    rows = [
        {"question_id": one, **(said if isinstance(said, dict) else {"text": said}), **fields}
        for one, said in answers.items()
    ]
    return read_answers([files.write_lines(path, rows)], name)


@pytest.fixture
def pope(tmp_path: Path) -> QuestionSet:
    return load("pope").read_questions([files.pope(tmp_path / "questions")])


@pytest.fixture
def seed(tmp_path: Path) -> QuestionSet:
    return load("seed").read_questions([files.seed(tmp_path / "SEED-Bench.json")])


@pytest.fixture
def mmbench(tmp_path: Path) -> QuestionSet:
    return load("mmbench").read_questions([files.write_table(tmp_path / "dev.tsv", files.mmbench_rows())])


# adversarial: yes, no, no; popular and random: yes, no
SAID = {
    "adversarial/1": "Yes",
    "adversarial/2": "",
    "adversarial/3": "No. Yes",
    "popular/1": "NO",
    "popular/2": "no",
    "random/1": "yes",
    "random/2": "No, nothing",
}


def test_pope_by_hand(pope: QuestionSet, tmp_path: Path) -> None:
    found = evaluate(load("pope"), pope, _file(tmp_path / "a", "pope", SAID, model_id="m"))
    assert list(found.protocols) == ["reference", "strict"]
    reference, strict = found.protocols["reference"], found.protocols["strict"]
    # reference: adversarial yes, yes, no: F1 2/3; popular yes, no: 1; random yes, no: 1
    assert reference.headline == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert reference.parse_failures == 0
    # strict: adversarial yes, -, -: precision 1, recall 1; popular no, no: 0; random yes, no: 1
    assert strict.headline == pytest.approx((1 + 0 + 1) / 3)
    assert strict.parse_failures == 2
    assert strict.tables["split"]["adversarial"]["accuracy"] == pytest.approx(1 / 3)
    assert strict.tables["split"]["adversarial"]["unparsable"] == 2
    assert strict.tables["split"]["popular"]["yes_ratio"] == 0
    assert reference.tables["split"]["adversarial"]["yes_ratio"] == pytest.approx(2 / 3)
    assert (found.headline, found.value, found.model) == ("reference", reference.headline, "m")
    assert found.counts["empty"] == 1
    assert "0.667" in reference.notes[0]
    assert "empty: 1" in reference.notes[0]
    assert found.version == pope.digest


def test_an_lvlm_that_prints_nothing(pope: QuestionSet, tmp_path: Path) -> None:
    silent = _file(tmp_path / "a", "pope", {question.id: "" for question in pope.questions})
    found = evaluate(load("pope"), pope, silent)
    # all yes: F1 2/3 where half is true, and 2/4 where a third is
    assert found.protocols["reference"].headline == pytest.approx((2 / 3 + 2 / 3 + 1 / 2) / 3)
    assert found.protocols["strict"].headline == 0
    assert found.protocols["strict"].parse_failures == found.counts["empty"] == 7


def test_a_question_of_several_splits_counts_in_each(tmp_path: Path) -> None:
    rows = [
        {"index": 0, "answer": "yes", "category": "random,popular", "prediction": "Yes"},
        {"index": 1, "answer": "no", "category": "popular", "prediction": "Yes"},
    ]
    found = evaluate(load("pope"), None, read_answers([files.write_lines(tmp_path / "a", rows)], "pope"))
    table = found.protocols["reference"].tables["split"]
    assert {split: (row["n"], row["f1"]) for split, row in table.items()} == {
        "random": (1, 1.0),
        "popular": (2, pytest.approx(2 / 3)),
    }
    assert found.value == pytest.approx(5 / 6)


LOSSES = {"11": [0.1, 0.2, 0.3, 0.4], "12": [0.1, 0.2, 0.3, 0.4], "v3": [0.4, 0.3, 0.2, 0.1]}


def test_seed_by_hand(seed: QuestionSet, tmp_path: Path) -> None:
    """A, B and D are right; ranks say A, A, D; texts say A, `B.` and `(C)`."""
    said = {"11": "A", "12": "B.", "v3": "(C)"}
    rows = {name: {"text": said[name], "losses": LOSSES[name]} for name in said}
    found = evaluate(load("seed"), seed, _file(tmp_path / "a", "seed", rows))
    rank, letter, strict = (found.protocols[name] for name in ("rank", "letter", "strict"))
    assert [one.headline for one in (rank, letter, strict)] == pytest.approx([2 / 3, 1 / 3, 2 / 3])
    assert [one.parse_failures for one in (rank, letter, strict)] == [0, 2, 0]
    assert found.headline == "rank"
    assert rank.tables["data_type"] == {"image": {"accuracy": 0.5, "n": 2}, "video": {"accuracy": 1.0, "n": 1}}
    assert strict.tables["question_type"] == {
        "Action Prediction": {"accuracy": 0.0, "n": 1},
        "Scene Understanding": {"accuracy": 1.0, "n": 2},
    }
    assert not rank.notes


def test_a_protocol_that_a_file_cannot_serve_is_refused(seed: QuestionSet, tmp_path: Path) -> None:
    texts = _file(tmp_path / "texts", "seed", dict.fromkeys(LOSSES, "A"))
    losses = _file(tmp_path / "losses", "seed", {name: {"text": None, "losses": LOSSES[name]} for name in LOSSES})
    half = _file(
        tmp_path / "half", "seed", {name: {"losses": LOSSES[name]} if name != "12" else "A" for name in LOSSES}
    )
    assert list(evaluate(load("seed"), seed, texts).protocols) == ["letter", "strict"]
    assert list(evaluate(load("seed"), seed, losses).protocols) == ["rank"]
    with pytest.raises(ValueError, match=r"texts cannot serve rank, which needs `losses`.*3 of 3 rows have none"):
        evaluate(load("seed"), seed, texts, protocols=["rank"])
    with pytest.raises(ValueError, match=r"losses cannot serve letter, which needs .*`text`.*3 of 3"):
        evaluate(load("seed"), seed, losses, protocols=["letter"])
    with pytest.raises(ValueError, match=r"half cannot serve rank.*1 of 3 rows have none"):
        evaluate(load("seed"), seed, half)
    with pytest.raises(ValueError, match="seed has no protocol 'reference'; it has rank, letter, strict"):
        evaluate(load("seed"), seed, texts, protocols=["reference"])


def test_a_row_with_a_problem_counts_as_wrong(seed: QuestionSet, tmp_path: Path) -> None:
    rows: dict[str, Any] = {name: {"losses": LOSSES[name]} for name in LOSSES}
    rows["11"] = {"text": None, "problem": "no picture"}
    found = evaluate(load("seed"), seed, _file(tmp_path / "a", "seed", rows))
    assert list(found.protocols) == ["rank"]
    assert found.value == pytest.approx(1 / 3)
    assert (found.counts["problems"], found.protocols["rank"].parse_failures) == (1, 1)


@pytest.mark.parametrize("protocol", ["reference", "strict"])
@pytest.mark.parametrize(("failed", "f1", "accuracy"), [("random/1", 2 / 3, 0.5), ("random/2", 1.0, 0.5)])
def test_a_question_that_could_not_be_asked_is_neither_yes_nor_no(
    pope: QuestionSet, tmp_path: Path, protocol: str, failed: str, f1: float, accuracy: float
) -> None:
    rows: dict[str, Any] = {question.id: {"text": question.truth} for question in pope.questions}
    rows[failed] = {"text": None, "problem": "no picture"}
    found = evaluate(load("pope"), pope, _file(tmp_path / "a", "pope", rows), protocols=[protocol])
    assert found.value == pytest.approx(f1)
    assert found.protocols[protocol].tables["split"]["random"]["accuracy"] == accuracy


def test_mmbench_by_hand(mmbench: QuestionSet, tmp_path: Path) -> None:
    """B, A, C of base question 1 and A, B of 5; one of the three rows of 1 cannot be read."""
    said = {"1": "B. blue", "1000001": "A", "2000001": "maybe", "5": "(A)", "1000005": "The answer is B"}
    found = evaluate(load("mmbench"), mmbench, _file(tmp_path / "a", "mmbench", said))
    circular = found.protocols["circular"]
    assert (found.headline, found.value) == ("circular", 0.5)
    assert circular.figures == {
        "circular": 0.5,
        "single_pass": 0.8,
        "first_pass": 1.0,
        "groups": 2,
        "n": 5,
        "groups_with_fewer_rows_than_options": 0,
    }
    assert (circular.parse_failures, circular.n) == (1, 5)
    color = {"circular": 0.0, "single_pass": pytest.approx(2 / 3), "first_pass": 1.0, "groups": 1, "n": 3}
    assert circular.tables["category"]["color"] == color
    assert circular.tables["category"]["count"]["circular"] == 1
    assert circular.tables["l2-category"]["perception"]["circular"] == 0.5


def test_first_passes_are_the_least_indices_wherever_they_stand(mmbench: QuestionSet, tmp_path: Path) -> None:
    said = {"1000005": "A", "5": "A", "2000001": "C", "1000001": "A", "1": "A"}
    rows = [
        {
            "index": name,
            "prediction": text,
            "answer": {"1": "B", "1000005": "B"}.get(name, text),
            "A": 1,
            "B": 2,
            "C": 3,
        }
        for name, text in said.items()
    ]
    found = evaluate(load("mmbench"), None, read_answers([files.write_lines(tmp_path / "a", rows)], "mmbench"))
    assert found.protocols["circular"].figures["first_pass"] == 0.5  # 5 is right, 1 is wrong
    assert found.protocols["circular"].figures["groups_with_fewer_rows_than_options"] == 1  # 5 with two rows of three
    assert len(found.protocols["circular"].notes) == 2


def _coin(questions: int, right: float, rng: random.Random) -> list[int]:
    return [int(rng.random() < right) for _ in range(questions)]


def _letters(path: Path, right: Sequence[int]) -> AnswerFile:
    rows = [
        {"question_id": str(place), "prediction": "A" if one else "B", "gt_answer": "A"}
        for place, one in enumerate(right)
    ]
    return read_answers([files.write_lines(path, rows)], "seed")


def test_intervals_and_tests_between_two_files(tmp_path: Path) -> None:
    """1,000 questions; ours is right in 600, theirs in 500 of them and in 20 others."""
    ours = _letters(tmp_path / "ours", [1] * 600 + [0] * 400)
    theirs = _letters(tmp_path / "theirs", [1] * 500 + [0] * 100 + [1] * 20 + [0] * 380)
    found = evaluate(load("seed"), None, ours, against=theirs, blind=ours)
    letter = found.protocols["letter"]
    assert letter.interval == pytest.approx((0.6 - 1.96 * 0.01549, 0.6 + 1.96 * 0.01549), abs=0.004)
    rival, blind = letter.others["against"], letter.others["blind"]
    assert (rival.headline, rival.difference, rival.n) == (0.52, pytest.approx(0.08), 1000)
    error = ((0.12 - 0.08**2) / 1000) ** 0.5
    assert rival.interval == pytest.approx((0.08 - 1.96 * error, 0.08 + 1.96 * error), abs=0.003)
    assert rival.p is not None
    assert 1e-16 < rival.p < 1e-12  # 20 heads of 120: z = 7.2 with continuity correction
    assert (blind.difference, blind.interval, blind.p) == (0, (0, 0), 1)


def test_the_rival_is_compared_question_by_question_and_base_question_by_base_question(
    mmbench: QuestionSet, tmp_path: Path
) -> None:
    right = {question.id: question.truth for question in mmbench.questions}
    ours = _file(tmp_path / "a", "mmbench", right)
    theirs = _file(tmp_path / "b", "mmbench", {**right, "1000001": "B"})
    rival = evaluate(load("mmbench"), mmbench, ours, against=theirs).protocols["circular"].others["against"]
    assert (rival.headline, rival.difference, rival.n, rival.p) == (0.5, 0.5, 2, 1.0)


def test_a_rival_that_cannot_serve_a_protocol_is_left_out_or_refused(seed: QuestionSet, tmp_path: Path) -> None:
    ours = _file(tmp_path / "a", "seed", {name: {"text": "A", "losses": LOSSES[name]} for name in LOSSES})
    theirs = _file(tmp_path / "b", "seed", dict.fromkeys(LOSSES, "A"))
    found = evaluate(load("seed"), seed, ours, against=theirs)
    assert not found.protocols["rank"].others
    assert "b cannot serve rank" in found.protocols["rank"].notes[0]
    assert "against" in found.protocols["strict"].others
    with pytest.raises(ValueError, match="b cannot serve rank"):
        evaluate(load("seed"), seed, ours, against=theirs, protocols=["rank"])


def test_a_blind_run_with_pictures_is_told(seed: QuestionSet, tmp_path: Path) -> None:
    ours = _file(tmp_path / "a", "seed", dict.fromkeys(LOSSES, "A"), blind=True)
    sighted = _file(tmp_path / "b", "seed", dict.fromkeys(LOSSES, "A"), blind=False)
    notes = evaluate(load("seed"), seed, ours, blind=sighted).notes
    assert notes[0] == "the answers were given without images"
    assert "b is given as the blind run" in notes[1]


def test_the_metric_that_a_run_feeds_gives_the_headline(
    pope: QuestionSet, seed: QuestionSet, mmbench: QuestionSet, tmp_path: Path
) -> None:
    for name, questions in (("pope", pope), ("seed", seed), ("mmbench", mmbench)):
        pairs = [
            (one, Answer(one.id, "No" if place % 3 else one.truth, (0.5, 0.4, 0.3, 0.6)))
            for place, one in enumerate(questions.questions)
        ]
        rows = [answer_row(one, answer, "", "m", False, questions.digest) for one, answer in pairs]
        found = evaluate(load(name), questions, read_answers([files.write_lines(tmp_path / name, rows)], name))
        # our own rows have no verdicts of another tool
        assert list(found.protocols) == [
            one for one in load_scored(name).protocols if load_scored(name).required_field(one) != "hit"
        ]
        for protocol, figures in found.protocols.items():
            metric = METRICS[name]()
            for start in range(0, len(pairs), 2):
                metric.update(*load_scored(name).metric_inputs(pairs[start : start + 2], protocol))
            metric.update(*load_scored(name).metric_inputs([], protocol))
            assert float(metric.compute()) == pytest.approx(figures.headline)
            assert figures.metric == headline_name(load(name), protocol)
    assert headline_name(load("pope"), "reference") == "test/pope_f1"
    assert headline_name(load("seed"), "strict") == "test/seed_accuracy_strict"


def test_json_is_json_and_the_table_shows_no_markup(pope: QuestionSet, tmp_path: Path) -> None:
    file = _file(tmp_path / "a[red]", "pope", SAID, model_id="[bold]evil[/bold]\u202e")
    found = evaluate(load("pope"), pope, file, against=file)
    document = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert document["headline"]["value"] == found.value
    assert document["headline"]["metric"] == "test/pope_f1"
    assert document["protocols"]["strict"]["others"]["against"]["p"] == 1.0
    assert document["protocols"]["strict"]["tables"]["split"]["random"]["f1"] == 1.0
    assert document["files"]["answers"] == file.hashes
    console = Console(width=200, record=True, file=(tmp_path / "shown").open("w"))
    console.print(evaluation_tables(found))
    shown = console.export_text()
    assert "[bold]evil[/bold][U+202E]" in shown
    assert "88.889" in shown
    assert "a[red]" in shown
    assert "adversarial" in shown


def test_many_questions_take_no_time(tmp_path: Path) -> None:
    """As many units as SEED-Bench has, over 1,000 resamples: what is drawn are sorts of questions, not questions."""
    rng = random.Random(0)
    found = evaluate(load("seed"), None, _letters(tmp_path / "a", _coin(20_000, 0.7, rng)), protocols=["letter"])
    low, high = found.protocols["letter"].interval or (0, 0)
    assert high - low == pytest.approx(2 * 1.96 * (0.7 * 0.3 / 20_000) ** 0.5, rel=0.15)


def test_no_question_in_common(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another version"):
        evaluate(load("seed"), None, _letters(tmp_path / "a", [1]), against=_file(tmp_path / "b", "seed", {"x": "A"}))


def test_truth_must_be_there(tmp_path: Path) -> None:
    questions = QuestionSet((Question("1", "Q?", options={"A": "x"}),), "0", "test.tsv")
    with pytest.raises(ValueError, match=r"test\.tsv: question 1 has no right answer"):
        evaluate(load("mmbench"), questions, _file(tmp_path / "a", "mmbench", {"1": "A"}))


def test_the_headline_says_which_splits_it_is_the_mean_of(pope: QuestionSet, tmp_path: Path) -> None:
    whole = evaluate(load("pope"), pope, _file(tmp_path / "a", "pope", SAID))
    assert whole.protocols["strict"].meaning == "mean F1 of random, popular, adversarial"
    two = {name: said for name, said in SAID.items() if not name.startswith("popular")}
    found = evaluate(load("pope"), pope, _file(tmp_path / "b", "pope", two), partial=True)
    meaning = "mean F1 of random, adversarial, 2 of 3 splits"
    assert found.as_json()["headline"]["meaning"] == meaning
    # adversarial: yes, yes, no of yes, no, no; random: yes, no of yes, no
    assert found.value == pytest.approx((2 / 3 + 1) / 2)
    console = Console(width=200, record=True, file=(tmp_path / "shown").open("w"))
    console.print(evaluation_tables(found))
    assert f"headline ({meaning})" in console.export_text()


def test_pooled_figures_count_a_question_in_each_of_its_splits(tmp_path: Path) -> None:
    """As VLMEvalKit's overall F1: random yes to yes, popular yes to yes and yes to no."""
    rows = [
        {"index": 0, "answer": "yes", "category": "random,popular", "prediction": "Yes"},
        {"index": 1, "answer": "no", "category": "popular", "prediction": "Yes"},
        {"index": 2, "answer": "yes", "category": "popular", "prediction": "No"},
    ]
    found = evaluate(load("pope"), None, read_answers([files.write_lines(tmp_path / "a", rows)], "pope"))
    figures = found.protocols["strict"].figures
    assert figures["pooled_f1"] == pytest.approx(2 * 2 / (3 + 3))  # 2 hits, 3 said yes, 3 are yes
    assert figures["yes_ratio"] == 3 / 4
    # random 1; popular 1 hit, 2 said yes, 2 are yes
    assert found.value == pytest.approx((1 + 1 / 2) / 2)


def test_the_headline_of_seed_is_by_the_protocol_that_reads_the_most(seed: QuestionSet, tmp_path: Path) -> None:
    said = {"11": "A", "12": "B.", "v3": "the option is D"}
    found = evaluate(load("seed"), seed, _file(tmp_path / "a", "seed", said))
    assert (found.headline, found.value) == ("strict", 1.0)
    assert "the headline is by strict, which reads the most answers: 3 (letter 1)" in found.notes
    letters = evaluate(load("seed"), seed, _file(tmp_path / "b", "seed", dict.fromkeys(said, "A")))
    assert letters.headline == "letter"  # both read all: the first
    assert not any("the headline is by" in note for note in letters.notes)
    asked = evaluate(load("seed"), seed, _file(tmp_path / "a", "seed", said), protocols=["letter", "strict"])
    assert asked.headline == "letter"  # as asked for
    ranked = {name: {"text": text, "losses": LOSSES[name]} for name, text in said.items()}
    assert evaluate(load("seed"), seed, _file(tmp_path / "c", "seed", ranked)).headline == "rank"


def test_a_rival_is_compared_on_the_questions_that_both_answer(seed: QuestionSet, tmp_path: Path) -> None:
    """Ours has 11 and 12, theirs 12, v3 and one of another version: 12 alone is shared, ours right and theirs wrong."""
    ours = _file(tmp_path / "a", "seed", {"11": "A", "12": "B"})
    theirs = _file(tmp_path / "b", "seed", {"12": "C", "v3": "D", "99": "A"})
    found = evaluate(load("seed"), seed, ours, against=theirs, partial=True)
    rival = found.protocols["letter"].others["against"]
    assert (rival.n, rival.headline, rival.difference) == (1, 0.0, 1.0)
    assert found.protocols["letter"].headline == 1.0  # of all that ours answers
    assert "against: compared on the 1 questions that both files answer, of 2 here and 3 there" in found.notes
    with pytest.raises(ValueError, match="no question in common"):
        evaluate(load("seed"), seed, ours, against=_file(tmp_path / "c", "seed", {"v3": "D"}), partial=True)


def test_rivals_of_two_versions_are_compared_where_their_rows_carry_the_questions(tmp_path: Path) -> None:
    """Runs on 2 and on 3 of the benchmark's questions have different digests; texts and truths are compared."""
    whole = load("seed").read_questions([files.seed(tmp_path / "q.json")])

    def run(name: str, questions: tuple[Question, ...], digest: str) -> AnswerFile:
        rows = [answer_row(one, Answer(one.id, one.truth), "", name, False, digest) for one in questions]
        return read_answers([files.write_lines(tmp_path / name, rows)], "seed")

    small, large = run("a", whole.questions[:2], "feed"), run("b", whole.questions, "beef")
    for ours, theirs in ((small, large), (large, small)):
        assert evaluate(load("seed"), None, ours, against=theirs).protocols["letter"].others["against"].n == 2
    odd = run("c", (replace(whole.questions[0], text="Another?"), whole.questions[1]), "beef")
    with pytest.raises(ValueError, match="another version of the questions"):
        evaluate(load("seed"), None, small, against=odd)
