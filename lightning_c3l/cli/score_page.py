"""The page that `score` writes beside the scored set, and the token values of the answers on it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning_c3l.cli.score_tokens import answer_tokens
from lightning_c3l.cli.scored_output import Scored
from lightning_c3l.cli.scored_sample import READING, AnswerSample, RejectedSample
from lightning_c3l.cli.set_pairs import answer_pair, image_reader
from lightning_c3l.cli.set_tokens import AnswerTokenValues, write_tokens
from lightning_c3l.lvlm.base import AnswerScorer
from lightning_c3l.report.charts import histogram
from lightning_c3l.report.figures import mean_of, reading_label
from lightning_c3l.report.gallery import GalleryPair
from lightning_c3l.report.set_page import SetPage, render_set_page
from lightning_c3l.report.templating import FigureRow, FigureTable
from lightning_c3l.report.text import number
from lightning_c3l.runs.atomic import write_text_atomic
from lightning_c3l.selection.reading_ranks import SHUFFLED, RankSample

# section of the page by why an answer is in the sample
_SECTIONS = {"highest": "best", "lowest": "worst", "nearest": "borderline", "random": "random"}
_MEANINGS = {
    "best": "The answers that owe most to their image.",
    "worst": "The answers that owe least to their image, or that it contradicts.",
    "borderline": "Answers whose score is nearest to that with another image, or to 0 where there is no such score.",
    "random": "Drawn at random from all others.",
    "rejected": "Records and answers without a score.",
}
_STATUSES = ("scored", "text_only", "rejected")
_FACTS = ("set", "model", "fingerprint", "dtype", "images", "longest_side", "seed")


def write_page(scored: Scored, figures: Mapping[str, Any], lvlm: AnswerScorer, batch_size: int) -> Path:
    """Write `<stem>.html` and `<stem>.tokens.json` beside a scored set.

    Args:
        scored: the set.
        figures: what `write_scored` returned.
        lvlm: scores the tokens of the answers that are shown.
        batch_size: records at once.

    Returns:
        The page.
    """
    sample: AnswerSample = figures["shown"]
    refused: RejectedSample = figures["refused"]
    answers = [one for _, one in sample.answers()]
    records = {one.record: one.whole for one in answers}
    tokens = answer_tokens(lvlm, records, scored.images, batch_size, scored.made_with["longest_side"])
    # `select` knows nothing of the records that were left out
    rows = {one.record: one.row for one in answers}
    stored = {(rows[number], turn): values for (number, turn), values in tokens.items()}
    whole = {one.row: one.whole for one in answers}
    write_tokens(scored.out.with_suffix(".tokens.json"), lvlm.fingerprint, stored, whole)
    others = {one.record: one.whole for one in refused.first if one.whole is not None}
    page = SetPage(
        name=scored.out.name,
        sentence=_sentence(figures),
        facts={name: str(scored.made_with[name]) for name in _FACTS if scored.made_with.get(name) is not None},
        charts=[_histogram(figures["sample"])],
        tables=[_counts(figures), *([_reasons(refused)] if refused.reasons else [])],
        pairs=[*_answers(sample, tokens), *_rejected(refused)],
        meanings=_MEANINGS,
    )
    read = image_reader({**others, **records}, scored.images)
    path = scored.out.with_suffix(".html")
    write_text_atomic(path, render_set_page(page, read))
    return path


def _sentence(figures: Mapping[str, Any]) -> str:
    """The result in one sentence."""
    answers = (
        f"{number(figures['scored'])} answers of {number(figures['records'])} records were scored by what they owe"
    )
    if figures["above_shuffled"] is None:
        return f"{answers} to their image."
    share = f"{100 * figures['above_shuffled']:.0f} %"
    return f"{answers} to their image; {share} score higher with it than with another image."


def _answers(sample: AnswerSample, tokens: AnswerTokenValues) -> Iterator[GalleryPair]:
    for shown_as, one in sample.answers():
        values = tokens.get((one.record, one.turn))
        yield answer_pair(one.record, one.whole, one.turn, _SECTIONS[shown_as], one.scores, values)


def _rejected(refused: RejectedSample) -> Iterator[GalleryPair]:
    for one in refused.first:
        row = {"status": "rejected", "reason": one.reason}
        if one.whole is not None and one.turn is not None:
            yield answer_pair(one.record, one.whole, one.turn, "rejected", row)
        else:
            images = () if one.whole is None else one.whole.images
            image, name = next((image.name for image in images), ""), f"record {one.record}"
            yield GalleryPair(
                image, "rejected", status="rejected", reason=one.reason, name=name, source=str(one.record)
            )


def _histogram(ranks: RankSample) -> tuple[Any, str]:
    """Scores with the own and with another image, and how many there are."""
    own, other = ranks.values(READING), ranks.values(SHUFFLED)
    groups = {"own image": own} | ({"another image": other} if other else {})
    chart = histogram("Scores with the own and with another image", groups, "S(I²C), answer reading", "answers")
    return chart, f"{number(len(own))} answers. The further the two shapes lie apart, the more the score is worth."


def _counts(figures: Mapping[str, Any]) -> FigureTable:
    rows = [FigureRow("records", [figures["records"]])]
    rows += [FigureRow(f"answers {name.replace('_', '-')}", [figures[name]]) for name in _STATUSES]
    for name, mean in figures["mean"].items():
        if name != SHUFFLED:
            rows.append(FigureRow(mean_of(name), [mean], reading_label(name).meaning))
    if figures["above_shuffled"] is not None:
        meaning = "Share of the answers that score higher with their own image than with another."
        rows.append(FigureRow("above another image", [figures["above_shuffled"]], meaning))
    return FigureTable("Counts and means", ["", "value"], rows)


def _reasons(refused: RejectedSample) -> FigureTable:
    rows = [FigureRow(reason, [count]) for reason, count in refused.reasons.most_common()]
    return FigureTable("Rejected, by reason", ["reason", "count"], rows)
