"""Prompts that replace a benchmark's usual ones."""

from string import Formatter

from lightning_c3l.evaluation.benchmarks.base import Question

# fields of a template
_FIELDS = ("question", "hint", "options")


def check_template(template: str) -> None:
    """Refuse a template that cannot be filled in.

    Raises:
        ValueError: names what is wrong.
    """
    try:
        found = [part[1:] for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"prompt: {error}; braces of the text itself are written twice") from error
    for name, form, conversion in found:
        if name not in _FIELDS or form or conversion:
            raise ValueError(f"prompt: {{{name}}} is unknown; use {{question}}, {{hint}} and {{options}}")
    if "question" not in [name for name, _, _ in found]:
        raise ValueError("prompt: {question} is missing")


def fill_template(template: str, question: Question) -> str:
    """Return a prompt in the user's wording; `{options}` are lines such as `A. two dogs`."""
    options = "\n".join(f"{letter}. {text}" for letter, text in question.options.items())
    return template.format(question=question.text, hint=question.hint, options=options).strip()


def question_with_hint(question: Question) -> str:
    """Return hint and question without the options, whose losses are computed as answers to it."""
    return f"{question.hint}\n{question.text}".strip()
