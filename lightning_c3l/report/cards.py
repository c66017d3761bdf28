"""Written pairs with their pictures."""

import base64
import io
from collections.abc import Callable, Iterable, Sequence

from PIL import Image

from lightning_c3l.records import Candidate, Instruction, ScoredCandidate
from lightning_c3l.report.figures import READINGS
from lightning_c3l.report.markup import MISSING, element, esc, exact, finite, number

Picture = Callable[[str], Image.Image | None]

# A positive with its negatives.
PseudoLabels = tuple[ScoredCandidate, list[ScoredCandidate]]

SMALLEST, LARGEST = 96, 256
_VERDICTS = {"right": "\u2713 right", "wrong": "\u2717 wrong"}


def resized(picture: Image.Image) -> Image.Image:
    """The picture with its longer side between 96 and 256 pixels; tiny ones keep their hard pixels."""
    longest = max(picture.size)
    if longest < SMALLEST:
        factor = -(-SMALLEST // longest)
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    if longest <= LARGEST:
        return picture
    size = tuple(max(1, round(side * LARGEST / longest)) for side in picture.size)
    return picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def data_uri(picture: Image.Image) -> str:
    """The picture as a PNG inside an address."""
    buffer = io.BytesIO()
    resized(picture.convert("RGB")).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def picture_html(key: str, picture: Picture) -> str:
    """The picture of a key, or a box that says that it is missing."""
    found = picture(key)
    if found is None or not all(found.size):
        return element("div", esc("no picture"), class_="picture", role="img", aria_label=f"no picture of {key}")
    tiny = "picture tiny" if max(found.size) < SMALLEST else "picture"
    return element("img", src=data_uri(found), alt=f"image {_short(key)}", class_=tiny, loading="lazy")


def _short(key: str) -> str:
    return key if len(key) <= 120 else key[:120] + "\u2026"


def answer_score(one: ScoredCandidate) -> float | None:
    """The `answer` reading where the candidate has a finite one."""
    return None if one.scores is None else finite(one.scores.answer)


def ranked(candidates: Iterable[ScoredCandidate]) -> list[ScoredCandidate]:
    """Candidates with a score from best to worst, each (image, question, answer) once."""
    once: dict[tuple[str, str, str], ScoredCandidate] = {}
    for one in candidates:
        if answer_score(one) is not None:
            once.setdefault((one.candidate.image, one.candidate.question, one.candidate.answer), one)
    return sorted(once.values(), key=lambda one: -(answer_score(one) or 0.0))


def best_and_worst(
    candidates: Iterable[ScoredCandidate], count: int = 12
) -> tuple[list[ScoredCandidate], list[ScoredCandidate]]:
    """The first and the last of the ranking, without a candidate in both."""
    order = ranked(candidates)
    return order[:count], order[count:][-count:][::-1]


def _groups(candidates: Iterable[ScoredCandidate]) -> list[PseudoLabels]:
    """Every group with a positive and at least one negative, negatives from best to worst."""
    members: dict[tuple[str, Instruction], list[ScoredCandidate]] = {}
    for one in candidates:
        members.setdefault((one.candidate.image, one.candidate.instruction), []).append(one)
    positives = {key: one for key, group in members.items() for one in group if one.status == "positive"}
    negatives: dict[tuple[str, Instruction], list[ScoredCandidate]] = {key: [] for key in positives}
    of_image = {key[0]: key for key in positives}
    for key, group in members.items():
        # an instruction without a positive shares that of its image: groups were made by image
        home = key if key in positives else of_image.get(key[0])
        if home is not None:
            negatives[home] += [one for one in group if one.status == "negative"]
    return [
        (positives[key], sorted(found, key=lambda one: -(answer_score(one) or 0.0)))
        for key, found in negatives.items()
        if found
    ]


def example_groups(candidates: Iterable[ScoredCandidate], count: int = 3) -> list[PseudoLabels]:
    """The first groups that differ in picture and kind, then the first of the others.

    Not the groups with the clearest scores: those would flatter the method.
    """
    chosen: list[PseudoLabels] = []
    others: list[PseudoLabels] = []
    for group in _groups(candidates):
        asked = group[0].candidate
        seen = [one.candidate for one, _ in chosen]
        new = all(asked.image != one.image and asked.instruction.kind != one.instruction.kind for one in seen)
        (chosen if new else others).append(group)
    return [*chosen, *others][:count]


def _pair(candidate: Candidate) -> str:
    question = element("p", esc(candidate.question), class_="question", dir="auto")
    return question + element("p", esc(candidate.answer), class_="answer", dir="auto")


def _chips(one: ScoredCandidate) -> str:
    chips = [element("span", esc(one.candidate.instruction.kind, 40), class_="chip")]
    if one.verdict:
        shown = _VERDICTS.get(one.verdict, one.verdict)
        chips.append(element("span", esc(shown, 40), class_=f"chip {'good' if one.verdict == 'right' else 'bad'}"))
    if one.status:
        chips.append(element("span", esc(one.status, 40), class_="chip"))
    return element("p", *chips, class_="chips")


def _scores(one: ScoredCandidate) -> str:
    """The default reading in sight, everything else behind a fold."""
    main = element("strong", number(answer_score(one)), data_value=exact(answer_score(one)))
    pairs = [("another image", one.shuffled)]
    if one.scores is not None:
        pairs += [(READINGS[key].label, getattr(one.scores, key)) for key in READINGS]
    rows = "".join(
        element("dt", esc(name)) + element("dd", number(value), data_value=exact(value)) for name, value in pairs
    )
    origin = element("p", esc(f"image {_short(one.candidate.image)}, text {one.candidate.sample}"))
    asked = element("p", esc(one.candidate.instruction.text), dir="auto")
    folded = element("details", element("summary", "all scores"), element("dl", rows), origin, asked)
    return element("p", "S(I²C) ", main, class_="score") + folded


def card(one: ScoredCandidate, picture: Picture) -> str:
    """One pair with its picture, scores and verdict."""
    body = element("div", _chips(one), _pair(one.candidate), _scores(one))
    return element("article", picture_html(one.candidate.image, picture), body, class_="card")


def cards(candidates: Sequence[ScoredCandidate], picture: Picture) -> str:
    """Cards side by side."""
    return element("div", *(card(one, picture) for one in candidates), class_="cards")


def group_html(positive: ScoredCandidate, negatives: Sequence[ScoredCandidate], picture: Picture) -> str:
    """One picture, then its positive and its negatives side by side."""
    asked = element("p", esc(positive.candidate.instruction.text or MISSING), dir="auto")
    columns = [
        element("div", _chips(one), _pair(one.candidate), _scores(one), class_=f"member {one.status}")
        for one in (positive, *negatives)
    ]
    left = element("div", picture_html(positive.candidate.image, picture), asked, class_="asked")
    return element("article", left, element("div", *columns, class_="members"), class_="group")
