"""Answer files of lmms-eval, EvalScope and VLMEvalKit, written by hand as their public source writes them."""

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from lightning_c3l.evaluation.benchmarks import load
from lightning_c3l.evaluation.benchmarks.answers import read_answers
from lightning_c3l.evaluation.benchmarks.evaluation import evaluate
from tests.evaluation.benchmarks import files

WRONG = {"yes": "no", "no": "yes"}


def _lmms(doc_id: int, said: str, target: str, **metrics: Any) -> dict[str, Any]:
    """A row of `*_samples_*.jsonl` from lmms-eval 0.4 on, whose tracker drops `doc`, `arguments` and equal `resps`."""
    return {"doc_id": doc_id, "target": target, "filtered_resps": [said], "doc_hash": "f00d", **metrics}


def _pope_sample(doc_id: int, number: int, text: str, truth: str, said: str) -> dict[str, Any]:
    metric = {"question_id": str(number), "score": 0.0, "prediction": "cut", "ground_truth": truth}
    both = {"pope_accuracy": metric, "pope_f1_score": metric}
    return _lmms(doc_id, said, truth, **both, input=f"{text}\nAnswer the question using a single word or phrase.")


def _pope_samples(order: tuple[str, ...], said: dict[str, str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for split in order:
        for number, (text, truth) in enumerate(files.POPE[split], start=1):
            rows.append(_pope_sample(len(rows), number, text, truth, said.get(f"{split}/{number}", truth)))
    return rows


@pytest.mark.parametrize("order", [("adversarial", "popular", "random"), ("random", "popular", "adversarial")])
def test_lmms_eval_numbers_pope_split_after_split(order: tuple[str, ...], tmp_path: Path) -> None:
    questions = load("pope").read_questions([files.pope(tmp_path / "q")])
    rows = _pope_samples(order, {"popular/2": "Yes", "adversarial/1": "No"})
    # processes take turns: rows are not in the order of the questions
    path = files.write_lines(tmp_path / "samples_pope.jsonl", [*rows[1::2], *rows[::2]])
    table = evaluate(load("pope"), questions, read_answers([path], "pope")).protocols["strict"].tables["split"]
    assert {split: row["accuracy"] for split, row in table.items()} == {
        "random": 1.0,
        "popular": 0.5,
        "adversarial": pytest.approx(2 / 3),
    }


def test_lmms_eval_has_a_file_a_split_too(tmp_path: Path) -> None:
    paths = []
    for task, split in (("adv", "adversarial"), ("pop", "popular"), ("random", "random")):
        rows = _pope_samples((split,), {f"{split}/1": "No"})
        paths.append(files.write_lines(tmp_path / f"20260101_samples_pope_{task}.jsonl", rows))
    found = evaluate(load("pope"), None, read_answers(paths, "pope"))  # ids, splits and truths are all there
    assert found.protocols["strict"].headline == 0
    assert found.counts["scored"] == 7


def test_lmms_eval_of_pope_without_questions_says_what_is_missing(tmp_path: Path) -> None:
    path = files.write_lines(tmp_path / "samples_pope.jsonl", _pope_samples(tuple(files.POPE), {}))
    with pytest.raises(ValueError, match=r"record 1: no split \(category\); name the benchmark's question file"):
        evaluate(load("pope"), None, read_answers([path], "pope"))


def test_lmms_eval_of_seed_and_mmbench(tmp_path: Path) -> None:
    seed = load("seed").read_questions([files.seed(tmp_path / "q.json")])
    rows = [
        _lmms(
            place,
            "B. " + one.options["B"],
            one.truth,
            seed_all={"pred": "C", "answer": one.truth, "question_id": one.id},
        )
        for place, one in enumerate(seed.questions)
    ]
    path = files.write_lines(tmp_path / "samples_seedbench.jsonl", rows)
    for questions in (seed, None):
        found = evaluate(load("seed"), questions, read_answers([path], "seed"))
        assert (found.headline, found.value) == ("strict", pytest.approx(1 / 3))  # B is right once
    table = files.mmbench_rows()
    mmbench = []
    for place, row in enumerate(table):
        cells = {name: row[name] or "nan" for name in "ABCD"}
        known = {
            "index": row["index"],
            "question": row["question"],
            "answer": row["answer"],
            "L2-category": "p",
            **cells,
        }
        said = {**known, "prediction": "cut", "hint": "nan", "split": "dev", "category": row["category"]}
        mmbench.append(_lmms(place, row["answer"] if row["index"] != 5 else "B", row["answer"], submission=said))
    found = evaluate(
        load("mmbench"), None, read_answers([files.write_lines(tmp_path / "samples_mmb.jsonl", mmbench)], "mmbench")
    )
    assert found.value == 0.5
    assert found.protocols["circular"].figures["single_pass"] == 0.8
    assert found.protocols["circular"].tables["category"]["count"]["circular"] == 0


def test_a_place_in_a_data_set_is_no_id_of_the_benchmark(tmp_path: Path) -> None:
    """Question 5 of MMBench is not the fifth row of somebody's data set."""
    mmbench = load("mmbench").read_questions([files.write_table(tmp_path / "q.tsv", files.mmbench_rows())])
    path = files.write_lines(tmp_path / "a.jsonl", [_lmms(5, "A", "A", input="Some other question?")])
    with pytest.raises(ValueError, match=r"without a question_id rows must follow .*q\.tsv"):
        evaluate(load("mmbench"), mmbench, read_answers([path], "mmbench"), partial=True)


def _review(place: int, said: str, target: str, prompt: str, about: dict[str, Any]) -> dict[str, Any]:
    """A row of EvalScope's `reviews/MODEL/BENCHMARK_SUBSET.jsonl`."""
    score = {
        "value": {"acc": 0},
        "extracted_prediction": "cut",
        "prediction": said,
        "explanation": None,
        "metadata": {},
    }
    scored = {"score": score, "sample_id": place, "group_id": place, "sample_metadata": about}
    return {"index": place, "input": prompt, "target": target, "sample_score": scored}


def test_evalscope_reviews(tmp_path: Path) -> None:
    rows = []
    for split, questions in files.POPE.items():
        for number, (text, truth) in enumerate(questions, start=1):
            about = {"id": "9", "answer": truth.upper(), "category": split, "question_id": str(number)}
            said = WRONG[truth] if (split, number) == ("popular", 2) else truth
            rows.append(_review(number - 1, said.upper(), truth.upper(), f"**User**: {text}", about))
    found = evaluate(load("pope"), None, read_answers([files.write_lines(tmp_path / "r.jsonl", rows)], "pope"))
    # popular: yes to both, F1 2/3
    assert found.protocols["strict"].headline == pytest.approx((1 + 2 / 3 + 1) / 3)
    mmbench = load("mmbench").read_questions([files.write_table(tmp_path / "q.tsv", files.mmbench_rows())])
    rows = [
        _review(place, f"ANSWER: {one.truth}", one.truth, f"**User**: {one.text}", {"index": int(one.id)})
        for place, one in enumerate(mmbench.questions)
    ]
    path = files.write_lines(tmp_path / "m.jsonl", rows)
    assert evaluate(load("mmbench"), mmbench, read_answers([path], "mmbench")).value == 1
    with pytest.raises(ValueError, match=r"record 1: the right answer is 'B', none of the options \(there are none\)"):
        evaluate(load("mmbench"), None, read_answers([path], "mmbench"))


def _prediction(place: int, text: str, said: str) -> dict[str, Any]:
    """A row of EvalScope's `predictions/MODEL/BENCHMARK_SUBSET.jsonl`; it has split the reasoning off."""
    content = [{"type": "reasoning", "reasoning": "Yes, no?"}, {"type": "text", "text": said}]
    asked = [{"type": "text", "text": f"{text}\nPlease answer YES or NO."}, {"type": "image", "image": "data:..."}]
    return {
        "index": place,
        "model": "small",
        "model_output": {"model": "small", "choices": [{"message": {"role": "assistant", "content": content}}]},
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": content}],
    }


def test_evalscope_predictions_follow_the_questions(tmp_path: Path) -> None:
    questions = load("pope").read_questions([files.pope(tmp_path / "q")])
    paths = []
    for split, asked in files.POPE.items():
        rows = [_prediction(place, text, truth.upper()) for place, (text, truth) in enumerate(asked)]
        paths.append(files.write_lines(tmp_path / f"pope_{split}.jsonl", reversed(rows)))  # as they were finished
    found = evaluate(load("pope"), questions, read_answers(paths, "pope"))
    assert (found.protocols["strict"].headline, found.model) == (1, "small")
    assert "reasoning" not in found.counts


def _book(path: Path, rows: list[dict[str, Any]]) -> Path:
    book = openpyxl.Workbook()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    book.save(path)
    return path


def _judged() -> list[dict[str, Any]]:
    """VLMEvalKit's `*_result.xlsx`: first rotations with their own right answers, and verdicts on whole questions."""
    first = [row for row in files.mmbench_rows() if row["index"] < 1_000_000]
    return [
        {**row, "image": None, "prediction": row["answer"], "g_index": row["index"], "hit": hit, "log": "Rolling 1"}
        for row, hit in zip(first, (0, 1), strict=True)
    ]


def test_vlmevalkits_verdicts_on_mmbench_are_scored_as_what_they_are(tmp_path: Path) -> None:
    judged = read_answers([_book(tmp_path / "judged.xlsx", _judged())], "mmbench")
    questions = load("mmbench").read_questions([files.write_table(tmp_path / "q.tsv", files.mmbench_rows())])
    for asked in (None, questions):
        found = evaluate(load("mmbench"), asked, judged)
        assert (found.headline, found.value, found.counts["empty"]) == ("judged", 0.5, 0)
        one = found.protocols["judged"]
        assert one.metric == "test/mmbench_circular_judged"
        assert one.tables["category"] == {"color": {"circular": 0.0, "n": 1}, "count": {"circular": 1.0, "n": 1}}
        assert "single_pass" not in one.figures
        assert any("one row a base question" in note for note in one.notes)
    with pytest.raises(ValueError, match=r"judged\.xlsx cannot serve circular, which needs .*`text`.*2 of 2 rows"):
        evaluate(load("mmbench"), None, judged, protocols=["circular"])
    odd = [{**row, "hit": "maybe"} for row in _judged()]
    with pytest.raises(ValueError, match=r"record 1: hit is 'maybe'; a verdict is 0 or 1"):
        read_answers([_book(tmp_path / "odd.xlsx", odd)], "mmbench")


def test_verdicts_beside_every_rotation_leave_the_rows_what_they_are(tmp_path: Path) -> None:
    rows = [{**row, "prediction": row["answer"], "hit": 0, "log": ""} for row in files.mmbench_rows()]
    found = evaluate(load("mmbench"), None, read_answers([_book(tmp_path / "a.xlsx", rows)], "mmbench"))
    assert (found.headline, found.value) == ("circular", 1.0)


def test_first_passes_alone_are_no_circular_evaluation(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key not in ("hit", "log")} for row in _judged()]
    found = evaluate(load("mmbench"), None, read_answers([_book(tmp_path / "a.xlsx", rows)], "mmbench"))
    assert any("this is no circular evaluation" in note for note in found.protocols["circular"].notes)


def test_the_published_answers_as_vlmevalkit_would_judge_them(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "llava-v1.5-answers" / "mmbench" / "mmbench_dev_20230712.xlsx"
    sheet = openpyxl.load_workbook(path, read_only=True).active
    names, *lines = [list(line) for line in sheet.iter_rows(values_only=True)]
    rows = [dict(zip(map(str, names), line, strict=True)) for line in lines]
    wrong = {int(row["index"]) % 1_000_000 for row in rows if row["prediction"] != row["answer"]}
    first = [row for row in rows if int(row["index"]) < 1_000_000]
    judged = [{**row, "hit": int(int(row["index"]) not in wrong), "log": ""} for row in first]
    found = evaluate(load("mmbench"), None, read_answers([_book(tmp_path / "judged.xlsx", judged)], "mmbench"))
    assert found.value is not None
    assert round(100 * found.value, 3) == 67.687  # as published, and not the 75.4 of the first passes
    assert found.protocols["judged"].n == 1176
