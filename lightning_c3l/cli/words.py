"""Options of a command line as they were typed, before a parser knows them."""

from collections.abc import Iterator, Sequence

CONFIG, HELP, TRAINER_HELP = ("--config", "-c"), ("--help", "-h"), "--help-trainer"


def option_pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options and their values, given as the next word or after an equals sign."""
    for word, following in zip(words, [*words, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        if name.startswith("-"):
            yield name, value if equals else following


def short_name(option: str) -> str:
    """The name of an option as it is usually typed, without dashes and `init_args`."""
    return option.lstrip("-").replace("init_args.", "")
