"""How a figure of one run differs from that of another, with an interval over the images that it was measured on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.functional.finite import finite
from lightning_c3l.functional.significance import bootstrap_interval
from lightning_c3l.report.figures import nested
from lightning_c3l.report.final import exported_state, final_figures
from lightning_c3l.report.headline import Interval, change_interval

# figures with a value of each image, and the images' name in the summary
_ON = {
    "held_out_criterion": "guard",
    "held_out_criterion_start": "guard",
    "held_out_criterion_best": "guard",
    "base_truth_rate": "held_out",
    "tuned_truth_rate": "held_out",
}
# by S(I2C) of the starting model
_BY_SCORER = ("held_out_criterion", "i2c_", "image_contrast")
_FINGERPRINT = re.compile(r"\((\w+)\)\s*$")


@dataclass(frozen=True)
class FigureDifference:
    """A difference of a figure between two runs.

    Attributes:
        change: the second less the first.
        interval: 95 % interval of it from a bootstrap over images; None where there are no values of images.
        is_paired: whether it was drawn image by image together, since both runs were measured on the same images.
    """

    change: float
    interval: Interval | None = None
    is_paired: bool = False


def run_figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Figures of the end of a run, those of a benchmark first, by name."""
    return {**benchmark_figures(summary), **final_figures(summary)}


def benchmark_figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Figures of a run of `test`, the benchmark's own first."""
    told = nested(summary, "evaluation").items()
    figures = {key.removeprefix("test/"): finite(value) for key, value in told if key.startswith("test/")}
    return {key: value for key, value in figures.items() if value is not None}


def difference_of(
    key: str, change: float, first: Mapping[str, Any], other: Mapping[str, Any]
) -> FigureDifference | None:
    """The difference of a figure between two runs, with its interval.

    Args:
        key: name of the figure in `run_figures`.
        change: the figure of the other run less that of the first.
        first: summary of the run that is compared with.
        other: summary of the other run.

    Returns:
        None where the runs' scores are by different models, or the runs answered different questions.
    """
    if key in benchmark_figures(other) and not same_questions(first, other):
        return None
    if key.startswith(_BY_SCORER) and not same_scorer(first, other):
        return None
    theirs, ours = (image_values(key, summary) for summary in (first, other))
    if not _are_alike(theirs, ours):
        return FigureDifference(change, _unpaired(ours, theirs))
    # equal digests stand in the same order; by their position, since an image may be there twice
    interval = change_interval(*({str(i): value for i, (_, value) in enumerate(side)} for side in (theirs, ours)))
    return FigureDifference(change, interval, is_paired=True)


def image_values(key: str, summary: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Digest of each image that a figure was measured on and the figure of that image, ordered by digest."""
    digests = nested(nested(summary, "images"), _ON.get(key, ""))
    values = (
        (str(digests[image]), image, finite(value))
        for image, value in _by_image(key, summary).items()
        if image in digests
    )
    return [(digest, value) for digest, _, value in sorted(values, key=lambda one: one[:2]) if value is not None]


def same_images(key: str, first: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a figure was measured on the same images in both runs; False where the images are not known."""
    return _are_alike(*(image_values(key, summary) for summary in (first, other)))


def _are_alike(theirs: list[tuple[str, float]], ours: list[tuple[str, float]]) -> bool:
    return bool(theirs) and [digest for digest, _ in theirs] == [digest for digest, _ in ours]


def same_scorer(first: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both runs began from the same model, by its fingerprint; True where it is not known."""
    models = [str(summary.get("model") or "") for summary in (first, other)]
    prints = [_FINGERPRINT.search(model) for model in models]
    if prints[0] is None or prints[1] is None:
        return "" in models or models[0] == models[1]
    return prints[0][1] == prints[1][1]


def same_questions(first: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs of `test` answered the same questions of a benchmark; True where it is not known."""
    told = [nested(summary, "evaluation") for summary in (first, other)]
    sides = [[one.get(name) for name in ("benchmark", "questions", "n")] for one in told]
    return all(None in pair or pair[0] == pair[1] for pair in zip(*sides, strict=True))


def same_reading(first: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two configurations select by the same reading of S(I2C); True where it is not known."""
    readings = [nested(config, "i2c").get("reading") for config in (first, other)]
    return None in readings or readings[0] == readings[1]


def _by_image(key: str, summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """Values of a figure by the key of the image."""
    if key not in _ON:
        return {}
    if _ON[key] == "held_out":
        return nested(nested(nested(summary, "writers"), key.partition("_")[0]), "by_image")
    guard = nested(summary, "guard")
    states = [state for state in guard.get("states") or [] if isinstance(state, Mapping)]
    if key == "held_out_criterion":
        return nested(exported_state(guard), "by_image")
    wanted = 0 if key.endswith("_start") else nested(guard, "best").get("round")
    chosen = states[:1] if key.endswith("_start") else [state for state in states if state.get("round") == wanted]
    return nested(chosen[0], "by_image") if chosen else {}


def _unpaired(ours: list[tuple[str, float]], theirs: list[tuple[str, float]]) -> Interval | None:
    """95 % interval of the difference of two means over different images, each side drawn by itself."""
    if min(len(ours), len(theirs)) < 2:
        return None
    parts = [np.array([[value, 1.0] for _, value in side]) for side in (ours, theirs)]

    def gap(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        means = sums[..., 0] / sums[..., 1]
        return np.asarray(means[..., 0] - means[..., 1], np.float64)

    return bootstrap_interval(parts, gap)
