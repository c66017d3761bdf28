"""Asks any OpenAI-compatible endpoint (`/chat/completions`), several requests at a time.

The client of `openai` sends a request again where it met 408, 409, 429, 5xx, a timeout or a broken connection, after
the seconds that `Retry-After` names, or twice as long each time. What is left to do here: replies whose first line
holds no marks are asked for again, and what nobody can mend by waiting ends the run at once.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_c3l.evaluation.judging.base import UNPARSED, JudgeError
from lightning_c3l.evaluation.judging.endpoint import KEY, Endpoint, quotable, without
from lightning_c3l.evaluation.judging.parsing import marks

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# times that a question is asked until its reply can be read; then the last one counts as it is
ATTEMPTS = 3
MAX_TOKENS = 1024
# questions without a reply, before any has one, after which there is no point in asking on
_HOPELESS = 3
# of the client and what it is built on: endpoints decide what these log, which may be the key that they were sent
_LOGGERS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
# what models that refuse an option take in its place; those that think first need room for that
_INSTEAD: dict[str, dict[str, Any]] = {"temperature": {}, "max_tokens": {"max_completion_tokens": 8 * MAX_TOKENS}}


@dataclass(frozen=True)
class _Problem:
    """Why there is no reply, and whether there will be none to any other question."""

    why: str
    ends: bool = False


class APIReplies:
    """Replies of an endpoint.

    Args:
        endpoint: where it is.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.name, self._endpoint = endpoint.name, endpoint

    def ask(self, prompts: Mapping[str, str], keep: Callable[[str, str], object]) -> dict[str, str]:
        """Ask for all replies; see `Replying.ask`."""
        try:
            import openai  # noqa: F401
        except ImportError:
            raise JudgeError("asking an endpoint needs a package: pip install 'lightning_c3l[judge]'") from None
        run = _Run(self._endpoint, iter(prompts.items()), keep)
        with _silent():
            failed = asyncio.run(run.all(min(self._endpoint.concurrency, len(prompts))))
        if failed is not None:  # here, where the requests with their headers are out of sight
            raise failed
        return run.problems


@contextmanager
def _silent() -> Iterator[None]:
    """Inside, the client logs nothing below a warning, whatever OPENAI_LOG says."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logger.getEffectiveLevel(), logging.WARNING))
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Run:
    """One round of requests."""

    def __init__(
        self, endpoint: Endpoint, waiting: Iterator[tuple[str, str]], keep: Callable[[str, str], object]
    ) -> None:
        self._endpoint, self._waiting, self._keep = endpoint, waiting, keep
        self._options: dict[str, Any] = {"temperature": 0, "max_tokens": MAX_TOKENS}
        self._replied = False
        self._key = endpoint.key()
        self.problems = dict[str, str]()

    async def all(self, workers: int) -> Exception | None:
        """Ask everything, and give the error that ended it before its time."""
        from openai import AsyncOpenAI

        endpoint = self._endpoint
        client = AsyncOpenAI(
            api_key=self._key, base_url=endpoint.url, timeout=endpoint.timeout, max_retries=endpoint.retries
        )
        async with client:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(workers):
                        group.create_task(self._work(client))
            except ExceptionGroup as errors:
                return errors.exceptions[0]
        return None

    async def _work(self, client: "AsyncOpenAI") -> None:
        for key, prompt in self._waiting:
            reply = await self._reply(client, prompt)
            if isinstance(reply, str):
                self._replied = True
                self._keep(key, reply)
                continue
            self.problems[key] = reply.why
            if reply.ends or (not self._replied and len(self.problems) >= _HOPELESS):
                raise JudgeError(reply.why)

    async def _reply(self, client: "AsyncOpenAI", prompt: str) -> str | _Problem:
        """A reply, with marks if they can be had."""
        import openai

        text: str | None = None
        for _ in range(ATTEMPTS):
            try:
                text = _content(await self._create(client, prompt)) or text
            except openai.APIStatusError as error:
                return self._refused(error)
            except openai.APITimeoutError:
                return self._problem(f"no reply within {self._endpoint.timeout:g} s; see --timeout and --concurrency")
            except openai.APIConnectionError:
                return self._problem("cannot be reached; see --judge-url")
            except (openai.APIError, ValueError):  # JSON that is none; its text may be anything
                continue
            if text is not None and marks(text) != UNPARSED:
                break
        if text is None:
            return self._problem(
                "sends no chat completions with text; is this the address of an OpenAI-compatible API?"
            )
        return without(self._key, text)

    async def _create(self, client: "AsyncOpenAI", prompt: str) -> Any:
        """One request, sent again without options that the model does not know."""
        import openai

        while True:
            options = dict(self._options)
            try:
                return await client.chat.completions.create(
                    model=self._endpoint.model, messages=[{"role": "user", "content": prompt}], **options
                )
            except openai.BadRequestError as error:
                # an endpoint may say anything
                name = error.param if isinstance(error.param, str) else ""
                if name not in options or name not in _INSTEAD:
                    raise
                # another worker may have met the same refusal before
                if self._options.pop(name, None) is not None:
                    self._options |= _INSTEAD[name]

    def _refused(self, error: Any) -> _Problem:
        """What an HTTP status means; an endpoint's words on keys are never repeated, they may hold one."""
        status, model = error.status_code, self._endpoint.model
        if status in (401, 403):
            return self._problem(
                f"refuses the key (HTTP {status}); set {KEY} to one that may use this model", ends=True
            )
        body = error.body if isinstance(error.body, dict) else {}
        said = quotable(body.get("message"), self._key)
        says = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        if status == 404:
            hint = f"does it serve {model!r}, and does --judge-url end as the API's address does, mostly in /v1?"
            return self._problem(f"{says}; {hint}", ends=True)
        return self._problem(says if status >= 500 or status == 429 else f"refuses the request ({says})")

    def _problem(self, why: str, ends: bool = False) -> _Problem:
        return _Problem(f"judge {self._endpoint.name}: {why}", ends)


def _content(answer: Any) -> str | None:
    """The text in a chat completion, whatever it is that came."""
    choices = getattr(answer, "choices", None)
    message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
    content = getattr(message, "content", None)
    return content if isinstance(content, str) and content.strip() else None
