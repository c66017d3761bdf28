"""How a benchmark's question is put where its usual words are not wanted."""

from string import Formatter

from lightning_c3l.evaluation.benchmarks.base import Question

# what a template of a prompt may hold
_FIELDS = ("question", "hint", "options")


def check_template(template: str) -> None:
    """Refuse a template that cannot be filled in.

    Raises:
        ValueError: names what it must not hold.
    """
    try:
        found = [part[1:] for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"prompt: {error}; braces of the text itself are written twice") from error
    for name, form, conversion in found:
        if name not in _FIELDS or form or conversion:
            raise ValueError(f"prompt: {{{name}}} is not known; there are {{question}}, {{hint}} and {{options}}")
    if "question" not in [name for name, _, _ in found]:
        raise ValueError("prompt: {question} is missing")


def filled_in(template: str, question: Question) -> str:
    """A prompt in the user's own words; `{options}` are lines such as `A. two dogs`."""
    options = "\n".join(f"{letter}. {text}" for letter, text in question.options.items())
    return template.format(question=question.text, hint=question.hint, options=options).strip()


def bare(question: Question) -> str:
    """Hint and question alone, which options are likely or unlikely answers to."""
    return f"{question.hint}\n{question.text}".strip()
