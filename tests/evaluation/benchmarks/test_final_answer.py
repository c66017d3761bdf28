"""What is read as the answer in a text with reasoning, tags or an object around it."""

from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.evaluation.benchmarks import load
from lightning_c3l.evaluation.benchmarks.answers import read_answers
from lightning_c3l.evaluation.benchmarks.evaluation import Evaluation, evaluate
from lightning_c3l.evaluation.benchmarks.final_answer import final_answer
from tests.evaluation.benchmarks import files


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes", "Yes"),
        ("a < b", "a < b"),
        (" kept as it is <b> ", " kept as it is <b> "),
        ("<think>No?</think>Yes", "Yes"),
        ("<THINK>\nNo\n</Think>\n\nYes.", "Yes."),
        ('<think signature="x">No</think> Yes', "Yes"),
        ("<thinking>No</thinking>Yes", "Yes"),
        ("\u25c1think\u25b7No\u25c1/think\u25b7Yes", "Yes"),
        ("No, I think\n</think>\nYes", "Yes"),  # the chat template wrote <think>
        ("<think>No</think>Yes<think>No</think>", "Yes"),
        ("<think>a <think> No</think> No</think>Yes", "Yes"),
        ("Well: <think>No</think>Yes", "Well: Yes"),
        ("<think>No</think>", ""),
        ("<think>No", None),
        ("<think>No</think>Yes<think>No", None),
        ("<think>No</think><answer> Yes </answer>", "Yes"),
        ("<answer>No</answer> or <ANSWER>Yes</ANSWER> then", "Yes"),
        ("<answer>Yes", "Yes"),
        ("<think>a</think>The answer is <|begin_of_box|>B<|end_of_box|>.", "The answer is B."),
        ("<thinker>No</thinker>", "<thinker>No</thinker>"),
        ('{"answer": "Yes"}', "Yes"),
        ("{'answer': 'Yes', 'score': 0.5}", "Yes"),  # as pandas writes an object into a table
        ('<think>No</think>\n{"answer": "Yes"}', "Yes"),
        ('{"answer": "Yes", "text": "No"}', '{"answer": "Yes", "text": "No"}'),
        ('{"yes": 0.9}', '{"yes": 0.9}'),
        ("{B}", "{B}"),
        ("{" * 5000 + "}", "{" * 5000 + "}"),
    ],
)
def test_final_answers(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


def _evaluated(folder: Path, name: str, texts: dict[str, Any]) -> Evaluation:
    path = {
        "pope": lambda: files.pope(folder / "q"),
        "seed": lambda: files.seed(folder / "q.json"),
        "mmbench": lambda: files.write_table(folder / "q.tsv", files.mmbench_rows()),
    }[name]()
    rows = [{"question_id": key, "prediction": text} for key, text in texts.items()]
    answers = read_answers([files.write_lines(folder / "a.jsonl", rows)], name)
    return evaluate(load(name), load(name).read_questions([path]), answers, partial=True)


@pytest.mark.parametrize(
    ("name", "truths"),
    [
        ("pope", {"random/1": "Yes", "random/2": "No"}),
        ("seed", {"11": "A", "12": "B"}),
        ("mmbench", {"5": "A", "1000005": "B"}),
    ],
)
def test_reasoning_is_not_the_answer_and_is_told(name: str, truths: dict[str, str], tmp_path: Path) -> None:
    wrong = {"Yes": "No", "No": "Yes", "A": "B", "B": "A"}
    said = {key: f"<think>{wrong[truth]}, or not?</think>{truth}" for key, truth in truths.items()}
    found = _evaluated(tmp_path, name, said)
    assert {one.headline for one in found.protocols.values()} == {1.0}
    assert (found.counts["reasoning"], found.counts["reasoning_open"], found.counts["empty"]) == (2, 0, 0)
    assert any("2 answers contain reasoning" in note for note in found.notes)


def test_an_object_written_out_is_read_and_told(tmp_path: Path) -> None:
    said = {"random/1": "{'answer': 'Yes'}", "random/2": "{'answer': 'No'}"}
    found = _evaluated(tmp_path, "pope", said)
    assert {one.headline for one in found.protocols.values()} == {1.0}  # by the reference rule both would be a yes
    assert found.counts["objects"] == 2
    assert any("2 answers are objects" in note for note in found.notes)


def test_reasoning_that_never_ends_is_a_parse_failure_by_every_protocol(tmp_path: Path) -> None:
    found = _evaluated(tmp_path, "pope", {"random/1": "<think>Yes, it is a dog. Yes", "random/2": "No"})
    for protocol in ("reference", "strict"):
        one = found.protocols[protocol]
        assert (one.headline, one.parse_failures) == (0, 1)
        assert one.tables["split"]["random"]["accuracy"] == 0.5
    assert found.counts["reasoning_open"] == 1
    assert any("in 1 of them it never ends" in note for note in found.notes)


def test_nothing_after_the_reasoning_is_an_empty_answer(tmp_path: Path) -> None:
    found = _evaluated(tmp_path, "pope", {"random/1": "<think>No</think>", "random/2": "No"})
    assert found.counts["empty"] == 1
    assert found.protocols["reference"].headline == 1  # the rule of the reference: what is no "no" is yes
    assert found.protocols["strict"].headline == 0


@pytest.mark.parametrize(
    "value",
    [
        {"answer": "Yes"},
        {"text": "Yes", "score": 0.5},
        {"role": "assistant", "content": "Yes", "reasoning_content": "No"},
        {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "No"}, {"type": "text", "text": "Yes"}]},
        [{"answer": "Yes"}],
        [["Yes"]],
        [{"type": "text", "text": "Ye"}, {"type": "text", "text": "s"}],
    ],
)
def test_an_object_stands_for_its_text(value: Any, tmp_path: Path) -> None:
    rows = [{"question_id": "random/1", "prediction": value}]
    found = read_answers([files.write_lines(tmp_path / "a.jsonl", rows)], "pope")
    assert [one.text for one in found.answers] == ["Yes"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (
            {"yes": 0.9, "no": 0.1},
            r"record 1: prediction is an object with yes, no; its text must be",
        ),
        ({"answer": "Yes", "text": "No"}, "prediction is an object with answer, text"),
        ({"answer": {}}, r"prediction\.answer is an object with no fields"),
    ],
)
def test_an_object_without_one_text_is_refused(value: Any, says: str, tmp_path: Path) -> None:
    path = files.write_lines(tmp_path / "a.jsonl", [{"question_id": "random/1", "prediction": value}])
    with pytest.raises(ValueError, match=says):
        read_answers([path], "pope")
