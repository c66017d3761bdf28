"""Where an OpenAI-compatible judge is, and what may be said of it: never its key."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from lightning_c3l.evaluation.judging.base import JudgeError

KEY = "OPENAI_API_KEY"
_URL = "OPENAI_BASE_URL"
_OPENAI = "https://api.openai.com/v1"
# what a local server that wants no key is sent
_NO_KEY = "none"
# so many letters of a key in a row are a part of it that nobody should read
_TELLING = 8
_LONGEST_QUOTE = 300


@dataclass(frozen=True)
class Endpoint:
    """An endpoint and how it is asked.

    Args:
        model: name of the judge's model, as the endpoint knows it.
        base_url: address up to `/v1`; OPENAI_BASE_URL, or OpenAI itself, unless given.
        concurrency: requests at once.
        timeout: seconds that one request may take.
        retries: times that a request is sent again where the endpoint is busy, broken or out of reach.

    Raises:
        JudgeError: if nothing can be asked there.
    """

    model: str
    base_url: str | None = None
    concurrency: int = 4
    timeout: float = 120.0
    retries: int = 5

    def __post_init__(self) -> None:
        """Refuse what cannot work, and addresses that would take a secret into files and messages."""
        if not self.model:
            raise JudgeError("the judge's model has no name; see --judge-model")
        if self.concurrency < 1 or self.retries < 0 or not 0 < self.timeout < float("inf"):
            raise JudgeError(
                "--concurrency must be at least 1, --retries not negative, and --timeout more than 0 seconds"
            )
        _ = self.where  # checks the address

    @property
    def url(self) -> str:
        """The address that is asked."""
        return (self.base_url or os.environ.get(_URL) or _OPENAI).strip()

    @property
    def where(self) -> str:
        """The address without its scheme, as it is named in files and messages."""
        if not (self.url.isascii() and self.url.isprintable() and " " not in self.url):
            raise JudgeError(f"the judge's address holds characters that no URL has; see --judge-url and {_URL}")
        try:
            parts = urlsplit(self.url)
            _ = parts.port  # raises where it is no number
        except ValueError:
            raise JudgeError(f"the judge's address is no URL; see --judge-url and {_URL}") from None
        if "@" in self.url or parts.query or parts.fragment:
            raise JudgeError(
                f"the judge's address must hold no user name, password, ? or #: a key is read from {KEY} alone; "
                f"see --judge-url and {_URL}"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise JudgeError(f"the judge's address {self.url} must begin with http:// or https://; see --judge-url")
        return parts.netloc.lower() + parts.path.rstrip("/")

    @property
    def name(self) -> str:
        """The judge's name: the same model behind another address may be another one."""
        return f"{self.model} ({self.where})"

    def key(self) -> str:
        """The key, which is read anew each time and kept nowhere.

        Raises:
            JudgeError: there is none where one is needed, or it is not one.
        """
        key = os.environ.get(KEY, "").strip()
        if not key and urlsplit(self.url).hostname == urlsplit(_OPENAI).hostname:
            raise JudgeError(f"{self.where} needs a key: set {KEY}")
        if not (key.isascii() and key.isprintable() and " " not in key):
            # the library for HTTP would show it
            raise JudgeError(f"{KEY} holds characters that no key has; set it again")
        return key or _NO_KEY


def quotable(message: object, key: str) -> str:
    """What an endpoint says, for a message in one line: nothing at all where a part of the key is in it."""
    if not isinstance(message, str) or _holds(message, key):
        return ""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in message).split())
    return plain if len(plain) <= _LONGEST_QUOTE else plain[:_LONGEST_QUOTE] + " ..."


def without(key: str, text: str) -> str:
    """A reply without the key, should an endpoint repeat it; short placeholders such as `EMPTY` are no secret."""
    return text.replace(key, "[key]") if len(key) >= _TELLING else text


def _holds(text: str, key: str) -> bool:
    if len(key) < _TELLING:
        return False
    lower = key.lower()
    return any(lower[n : n + _TELLING] in text.lower() for n in range(len(key) - _TELLING + 1))
