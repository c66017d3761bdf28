"""Made-up rounds for the report tests."""

from typing import Any

from PIL import Image

from lightning_c3l.records import Candidate, Instruction, ScoredCandidate, Scores, Verdict

NAN = float("nan")


def scored(
    answer: float,
    image: str = "a.png",
    question: str = "What is it?",
    reply: str = "A cube.",
    kind: str = "detail",
    verdict: Verdict | None = None,
    status: str = "",
    sample: int = 0,
) -> ScoredCandidate:
    """A parsed candidate with this `answer` reading."""
    candidate = Candidate(image, Instruction(kind, f"Write a {kind} question."), sample, "raw", question, reply)
    return ScoredCandidate(candidate, Scores(answer, 0.1, 0.2, 0.3, -0.4, -0.5, 6), 0.01, verdict, status)


def refused(text: str, reason: str) -> ScoredCandidate:
    """A candidate that could not be parsed."""
    candidate = Candidate("a.png", Instruction("detail", "Write."), 0, text, rejected=reason)
    return ScoredCandidate(candidate, verdict="unparsable", status="rejected")


def summary() -> dict[str, Any]:
    """A complete summary of two rounds."""
    first = {
        "round": 0,
        "candidates": 1200,
        "parsed_rate": 0.9375,
        "i2c_mean": 0.25,
        "i2c_positive_mean": 0.5,
        "i2c_shuffled_mean": -0.125,
        "kind_shares": {"detail": 0.75, "yes/no": 0.25},
        "seconds": {"generate": 31.25, "train": 60.5},
        "truth_rate": 0.75,
        "positive_truth_rate": 0.875,
        "random_truth_rate": 0.7421875,
        "rejected": {"no answer": 7},
    }
    return {
        "name": "Two rounds",
        "model": "small",
        "seed": 3,
        "rounds": [first, {**first, "round": 1, "truth_rate": 0.8125, "kind_shares": {"detail": 1.0}}],
        "writers": {"base": {"truth_rate": 0.625}, "tuned": {"truth_rate": 0.90625}},
        "i2c_auroc": {
            "answer": 0.88,
            "positions": 0.53,
            "vocabulary": NAN,
            "gap": 0.86,
            "mean_logp": 0.9,
            "n": 40,
        },
        "exposure_bias": {
            "starting model": {"nll, own": 0.5, "seen truth, reference": 0.75},
            "tuned, lambda 0.3": {"nll, own": 0.25, "seen truth, reference": None},
        },
        "dataset": {"pairs": 5000, "truth_rate": 0.9, "random_truth_rate": 0.8, "kinds": {"detail": 5000}},
        "run": {
            "command": "fit --config x.yaml",
            "version": "0.1.0",
            "started": "2026-11-29T01:50:12",
            "devices": "2 GPUs",
            "changed": {"i2c.reading": "gap"},
        },
        "images": {"guard": {"a.png": "00ff"}},
        "rejected_images": 4,
        "notes": ["A note."],
    }


def states(*tripped: str) -> dict[str, Any]:
    """The guard's part of a summary: two states, of which the first is the better one and the second is exported."""
    figures = {"parsed_rate": 0.5, "i2c_mean": 0.25, "distinct_rate": 0.75}
    first = {"round": 0, "held_out": 0.375, "tripped": [], "figures": figures, "by_image": {"a": 0.25, "b": 0.5}}
    last = {**first, "round": 1, "held_out": 0.125, "tripped": list(tripped), "by_image": {"a": 0.0, "b": 0.25}}
    return {"source": "images", "states": [first, last], "best": {"round": 0, "held_out": 0.375}, "exported": 1}


def summary_without_truth() -> dict[str, Any]:
    """A summary of two rounds on own images: no truth, no held-out images, and nothing else that needs them."""
    figures = summary()
    for one in figures["rounds"]:
        for key in ("truth_rate", "positive_truth_rate", "random_truth_rate"):
            del one[key]
    return {
        **{key: figures[key] for key in ("name", "model", "seed", "rounds", "run", "images")},
        "guard": states(),
        # as a run without truth writes them
        "writers": {"base": {}, "tuned": {}},
        "i2c_auroc": {},
        "dataset": {"pairs": 40, "candidates": 90, "kinds": {"detail": 40}},
    }


def two_rounds() -> dict[int, list[ScoredCandidate]]:
    """The texts of two rounds, without verdicts."""
    own = [scored(0.1 * index, f"{index}.png", status="positive" if index % 2 else "negative") for index in range(8)]
    return {0: [*own, refused("no pair", "no answer")], 1: own}


def no_image(key: str, source: str = "") -> Image.Image | None:
    """A source without images."""
    return None


def grey(key: str, source: str = "") -> Image.Image | None:
    """A tiny image for every key."""
    return Image.new("RGB", (20, 10), (120, 130, 140))
