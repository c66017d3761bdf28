"""Classes of English questions by how they begin: the kinds that diversity, quotas and reports go by."""

import re

# Fixed order: the states of `KindEntropy` are counts by position, which ranks add up.
QUESTION_KINDS = (
    "yes_no",
    "number",
    "place",
    "color",
    "what",
    "who",
    "why",
    "how",
    "when",
    "which",
    "other",
)

# Looked up in this order against the question's words, lower case, joined by single spaces; the first match
# wins.
# Apostrophes split words: "isn't" is "isn t", "what's" is "what s".
_OPENINGS = tuple(
    (kind, re.compile(rf"(?:{pattern})\b"))
    for kind, pattern in (
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

# "In which", "with whom", "and how many": what may stand before the word that tells the kind.
_LEADING = re.compile(
    r"(?:about|after|against|among|around|at|before|behind|between|beneath|beside|by"
    r"|during|for|from|in|inside|into|near|of|on|onto|out|outside|over|since|through|to|toward|towards|under|until|upon|with|within"
    r"|and|but|so|then|exactly|roughly|approximately) "
)


def question_kind(question: str) -> str:
    """Class of an English question by how it begins.

    A leading preposition ("on which", "with whom") or phrase up to a comma ("In the image, what") is passed
    over. "What is the color of" counts as a question for a color, likewise for number and place.

    Args:
        question: the question, any case.

    Returns:
        One of `QUESTION_KINDS`.
    """
    kind = _kind_of_words(_words(question))
    if kind == "other" and _LEADING.match(_words(question)) and "," in question:
        kind = _kind_of_words(_words(question.partition(",")[2]))
    return kind


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _kind_of_words(words: str) -> str:
    while True:
        for kind, opening in _OPENINGS:
            if opening.match(words):
                return kind
        leading = _LEADING.match(words)
        if leading is None:
            return "other"
        words = words[leading.end() :]
