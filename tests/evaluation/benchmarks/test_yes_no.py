"""What counts as yes and as no, by both readings."""

import pytest

from lightning_c3l.evaluation.benchmarks.yes_no import reference_yes_no, strict_yes_no


@pytest.mark.parametrize(
    ("text", "reference", "strict"),
    [
        ("Yes", "yes", "yes"),
        ("No", "no", "no"),
        ("no", "no", "no"),
        ("NO", "yes", "no"),  # exactly No or no counts
        ("yes.", "yes", "yes"),
        ("No, there is no book", "no", "no"),
        ("No,there is a book", "yes", "no"),  # without the comma a word of its own: Nothere
        ("There is not a book.", "no", "no"),
        ("Not at all", "yes", "no"),  # exactly not counts
        ("There isn't a book.", "yes", "no"),
        ("There isn\u2019t any", "yes", "no"),
        ("I cannot see one", "yes", "no"),
        ("The picture shows a table. No book.", "yes", "no"),  # only before the first full stop
        ("No. Yes", "no", None),
        ("Yes. No", "yes", None),
        ("Yes and no", "no", None),
        ("yes/no", "yes", None),
        ("Yes, but it isn't red", "yes", None),
        ("", "yes", None),
        (" ", "yes", None),
        ("Maybe", "yes", None),
        ("No\n", "yes", "no"),  # spaces separate, line ends do not
        ("Know", "yes", None),
        ("nothing, yesterday, notable", "yes", None),
        ("**Yes**", "yes", "yes"),
        ("_no_", "yes", "no"),
        ('"No"', "yes", "no"),
        ("The answer is YES!", "yes", "yes"),
        ("won't", "yes", "no"),
        ("not.", "no", "no"),
    ],
)
def test_both_readings(text: str, reference: str, strict: str | None) -> None:
    assert reference_yes_no(text) == reference
    assert strict_yes_no(text) == strict
