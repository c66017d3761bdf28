"""OpenAI-compatible endpoints: addresses, keys, and what may be repeated of what an endpoint says."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

# characters of a key in a row that count as a part of it; shorter placeholders such as `EMPTY` are not secret
SECRET_LENGTH = 8
_LONGEST_QUOTE = 300
# HTTP statuses by which an endpoint refuses a key
NO_KEY_STATUSES = (401, 403)
# loggers of the client and its dependencies: what they log comes from the endpoint, which may repeat the key
_LOGGERS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
_HERE = {"localhost", "::1", "0.0.0.0"}


def url_problem(url: str) -> str:
    """Why an address cannot be used; empty if it can. The address is shown only where it holds no secret."""
    if not (url.isascii() and url.isprintable() and " " not in url):
        return "contains characters that no URL has"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is not a number
    except ValueError:
        return "is not a URL"
    if "@" in url or parts.query or parts.fragment:
        return "must not contain a user name, a password, ? or #"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"{url} must begin with http:// or https://"
    return ""


def leads_here(url: str) -> bool:
    """Whether an address is one of this machine."""
    host = urlsplit(url).hostname or ""
    return host in _HERE or host.startswith("127.")


def mounts(url: str) -> dict[str, None]:
    """`mounts` of an HTTP client: no proxy of the environment for an address of this machine, which none can reach."""
    host = urlsplit(url).hostname or ""
    return {f"all://[{host}]" if ":" in host else f"all://{host}": None} if leads_here(url) else {}


def is_key(key: str) -> bool:
    """Whether a text can be sent as a key; the HTTP library would show one that cannot."""
    return key.isascii() and key.isprintable() and " " not in key


def quotable(message: object, key: str) -> str:
    """An endpoint's message in one line; empty if a part of the key is in it."""
    if not isinstance(message, str):
        return ""
    # endless blanks and control characters are left out of what is shown
    message = message[: 4 * _LONGEST_QUOTE]
    parts = range(len(key) - SECRET_LENGTH + 1)
    if any(key[start : start + SECRET_LENGTH].lower() in message.lower() for start in parts):
        return ""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in message).split())
    return plain if len(plain) <= _LONGEST_QUOTE else plain[:_LONGEST_QUOTE] + " ..."


def innermost(error: BaseException, key: str) -> str:
    """What an error of the HTTP library comes from, in one line without the key."""
    while error.__cause__ is not None:
        error = error.__cause__
    return quotable(str(error), key) or type(error).__name__


@contextmanager
def quiet_loggers() -> Iterator[None]:
    """Within this context, the client logs nothing below a warning, whatever OPENAI_LOG says."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logger.getEffectiveLevel(), logging.WARNING))
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
