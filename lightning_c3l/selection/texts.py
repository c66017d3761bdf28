"""How texts are compared and classified: normal form, words, yes or no, and types of English questions."""

import re
from collections.abc import Iterable

# Looked up in this order against the question's words, lower case, joined by single spaces; the first match
# wins.
# Apostrophes split words: "isn't" is "isn t", "what's" is "what s".
_OPENINGS = tuple(
    (name, re.compile(rf"(?:{pattern})\b"))
    for name, pattern in (
        (
            "yes_no",
            "is|are|am|was|were|do|does|did|can|cannot|could|has|have|had"
            "|will|would|shall|should|may|might|must"
            "|isn|aren|wasn|weren|don|doesn|didn|couldn|hasn|haven|hadn"
            "|won|wouldn|shouldn|mustn",
        ),
        ("number", r"how (?:many|much)|(?:what|which)(?: (?:is|are|was|were|s) the)? numbers?"),
        (
            "place",
            r"where|(?:what|which)(?: (?:is|are|was|were|s) the)?"
            r" (?:corner|place|position|location|spot|side)s?"
            r"|in (?:what|which) (?:part|area|region|half|quarter)",
        ),
        ("color", r"(?:what|which)(?: (?:is|are|was|were|s) the)? colou?rs?"),
        ("what", "what"),
        ("who", "who|whom|whose"),
        ("why", "why"),
        ("how", "how"),
        ("when", "when"),
        ("which", "which"),
    )
)

# "In which", "with whom", "and how many": what may stand before the word that tells the type.
_LEADING = re.compile(
    r"(?:about|after|against|among|around|at|before|behind|between|beneath|beside|by"
    r"|during|for|from|in|inside|into|near|of|on|onto|out|outside|over|since|through|to|toward|towards|under|until|upon|with|within"
    r"|and|but|so|then|exactly|roughly|approximately) "
)

# Sentence ends alone: stripping every sign would make "50%" and "50" one answer.
_END_PUNCTUATION = ".,;:!?\u2026\u3002\uff01\uff1f "
_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")


def question_type(question: str) -> str:
    """Type of an English question, by how it begins; the kind is that of the instruction that it was generated with.

    A leading preposition ("on which", "with whom") or phrase up to a comma ("In the image, what") is passed
    over. "What is the color of" counts as a question for a color, likewise for number and place.

    Args:
        question: the question, any case.

    Returns:
        `yes_no`, `number`, `place`, `color`, `what`, `who`, `why`, `how`, `when`, `which` or `other`.
    """
    found = _type_of_words(_joined_words(question))
    if found == "other" and _LEADING.match(_joined_words(question)) and "," in question:
        found = _type_of_words(_joined_words(question.partition(",")[2]))
    return found


def _joined_words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _type_of_words(words: str) -> str:
    while True:
        for found, opening in _OPENINGS:
            if opening.match(words):
                return found
        leading = _LEADING.match(words)
        if leading is None:
            return "other"
        words = words[leading.end() :]


def normalised(text: str) -> str:
    """The text as comparisons see it: case, spacing and end punctuation are ignored."""
    return " ".join(text.casefold().split()).rstrip(_END_PUNCTUATION)


def words(text: str) -> list[str]:
    """The words of a text in order, case ignored."""
    return _WORD.findall(text.casefold())


def polarity(answers: Iterable[str]) -> int:
    """Whether the answers of a record say yes or no, by their first words.

    Returns:
        1 where more answers begin with "yes" than with "no", -1 where it is the other way round, else 0.
    """
    first = [found[0] if (found := _WORD.search(answer.casefold())) else "" for answer in answers]
    balance = first.count("yes") - first.count("no")
    return (balance > 0) - (balance < 0)
