"""A judge behind an OpenAI-compatible endpoint (`/chat/completions`), with several requests at a time.

The client of `openai` repeats a request after 408, 409, 429, 5xx, a timeout or a broken connection, after the seconds
in `Retry-After`, or twice as long each time. What is left to do here: replies whose first line contains no ratings are
requested again, and errors that waiting cannot solve end the run at once. The key appears in no file and no message.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lightning_c3l.evaluation.judging.base import UNPARSED, JudgeError
from lightning_c3l.evaluation.judging.prompted import parse_ratings
from lightning_c3l.lvlm.installation import install_command
from lightning_c3l.runs.endpoints import (
    NO_KEY_STATUSES,
    SECRET_LENGTH,
    innermost,
    is_key,
    mounts,
    quiet_loggers,
    quotable,
    url_problem,
)

if TYPE_CHECKING:
    from openai import AsyncOpenAI

KEY = "OPENAI_API_KEY"
_URL = "OPENAI_BASE_URL"
_OPENAI = "https://api.openai.com/v1"
# sent to a local server that needs no key
_NO_KEY = "none"
# requests per prompt until its reply can be parsed; then the last one counts as it is
ATTEMPTS = 3
MAX_TOKENS = 1024
# prompts without a reply, before any has one, after which the run ends
_HOPELESS = 3
# what models that refuse an option accept instead; those that think first need room for it
_REPLACEMENTS: dict[str, dict[str, Any]] = {
    "temperature": {},
    "max_tokens": {"max_completion_tokens": 8 * MAX_TOKENS},
}


@dataclass(frozen=True)
class Endpoint:
    """An endpoint and how to send requests to it.

    Args:
        model: name of the judge's model at the endpoint.
        base_url: address of the endpoint, up to `/v1`; `OPENAI_BASE_URL` or OpenAI itself unless given.
        concurrency: requests at the same time.
        timeout: seconds that one request may take.
        retries: times that a request is repeated if the endpoint is busy, broken or unreachable.

    Raises:
        JudgeError: an option is invalid.
    """

    model: str
    base_url: str | None = None
    concurrency: int = 4
    timeout: float = 120.0
    retries: int = 5

    def __post_init__(self) -> None:
        """Refuse invalid options, and addresses that would take a secret into files and messages."""
        if not self.model:
            raise JudgeError("the judge's model has no name; see --judge-model")
        if self.concurrency < 1 or self.retries < 0 or not 0 < self.timeout < float("inf"):
            raise JudgeError(
                "--concurrency must be at least 1, --retries not negative, and --timeout more than 0 seconds"
            )
        _ = self.where  # checks the address

    @property
    def url(self) -> str:
        """The address."""
        return (self.base_url or os.environ.get(_URL) or _OPENAI).strip()

    @property
    def where(self) -> str:
        """The address without its scheme, as it appears in files and messages."""
        if problem := url_problem(self.url):
            raise JudgeError(
                f"the judge's address {problem}; a key is read only from {KEY}; see --judge-url and {_URL}"
            )
        parts = urlsplit(self.url)
        return parts.netloc.lower() + parts.path.rstrip("/")

    @property
    def name(self) -> str:
        """The judge's name, with the address: the same name elsewhere may be another model."""
        return f"{self.model} ({self.where})"

    def key(self) -> str:
        """Read the key; it is stored nowhere.

        Raises:
            JudgeError: there is none although one is needed, or it is malformed.
        """
        key = os.environ.get(KEY, "").strip()
        if not key and urlsplit(self.url).hostname == urlsplit(_OPENAI).hostname:
            raise JudgeError(f"{self.where} needs a key: set {KEY}")
        if not is_key(key):
            raise JudgeError(f"{KEY} contains characters that no key has; set it again")
        return key or _NO_KEY


@dataclass(frozen=True)
class _Problem:
    """Why there is no reply, and whether no other prompt can get one."""

    why: str
    final: bool = False


class EndpointResponder:
    """Replies of an endpoint; see `Responder`.

    Args:
        endpoint: the endpoint.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.name, self._endpoint = endpoint.name, endpoint

    def ask(self, prompts: Mapping[str, str], on_reply: Callable[[str, str], object]) -> dict[str, str]:
        """Request replies to all prompts."""
        try:
            import openai  # noqa: F401
        except ImportError:
            raise JudgeError(f"asking an endpoint needs a package: {install_command('[judge]')}") from None
        requests = _Requests(self._endpoint, iter(prompts.items()), on_reply)
        with quiet_loggers():
            failed = asyncio.run(requests.send(min(self._endpoint.concurrency, len(prompts))))
        if failed is not None:  # raised here, where the requests with their headers are out of sight
            raise failed
        return requests.problems


class _Requests:
    """The requests of one `ask`."""

    def __init__(
        self, endpoint: Endpoint, prompts: Iterator[tuple[str, str]], on_reply: Callable[[str, str], object]
    ) -> None:
        self._endpoint, self._prompts, self._on_reply = endpoint, prompts, on_reply
        self._options: dict[str, Any] = {"temperature": 0, "max_tokens": MAX_TOKENS}
        self._replied = False
        self._key = endpoint.key()
        self.problems = dict[str, str]()

    async def send(self, workers: int) -> Exception | None:
        """Send all requests, and return the error that ended them early."""
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        endpoint = self._endpoint
        client = AsyncOpenAI(
            api_key=self._key,
            base_url=endpoint.url,
            timeout=endpoint.timeout,
            max_retries=endpoint.retries,
            http_client=DefaultAsyncHttpxClient(mounts=mounts(endpoint.url)),
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
        for key, prompt in self._prompts:
            reply = await self._reply(client, prompt)
            if isinstance(reply, str):
                self._replied = True
                self._on_reply(key, reply)
                continue
            self.problems[key] = reply.why
            if reply.final or (not self._replied and len(self.problems) >= _HOPELESS):
                raise JudgeError(reply.why)

    async def _reply(self, client: "AsyncOpenAI", prompt: str) -> str | _Problem:
        """A reply, with ratings if possible."""
        import openai

        text: str | None = None
        for _ in range(ATTEMPTS):
            try:
                answer = await self._create(client, prompt)
            except openai.APIStatusError as error:
                return self._refused(error)
            except openai.APITimeoutError:
                return self._problem(f"no reply within {self._endpoint.timeout:g} s; see --timeout and --concurrency")
            except openai.APIConnectionError as error:
                return self._problem(f"cannot be reached ({innermost(error, self._key)}); see --judge-url")
            except (openai.APIError, ValueError):  # invalid JSON; its text may be anything
                continue
            # an endpoint may send a chat completion of any form
            choices = getattr(answer, "choices", None)
            message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
            content = getattr(message, "content", None)
            if isinstance(content, str) and content.strip():
                text = content
            if text is not None and parse_ratings(text) != UNPARSED:
                break
        if text is None:
            return self._problem(
                "sends no chat completions with text; is this the address of an OpenAI-compatible API?"
            )
        # should an endpoint repeat the key; short placeholders such as `EMPTY` are not secret
        return text.replace(self._key, "[key]") if len(self._key) >= SECRET_LENGTH else text

    async def _create(self, client: "AsyncOpenAI", prompt: str) -> Any:
        """Send one request, again without the options that the model does not support."""
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
                if name not in options or name not in _REPLACEMENTS:
                    raise
                # another worker may have met the same refusal before
                if self._options.pop(name, None) is not None:
                    self._options |= _REPLACEMENTS[name]

    def _refused(self, error: Any) -> _Problem:
        """Explain an HTTP status; an endpoint's words about keys are never repeated, since they may contain one."""
        status, model = error.status_code, self._endpoint.model
        if status in NO_KEY_STATUSES:
            return self._problem(
                f"refuses the key (HTTP {status}); set {KEY} to one that may use this model", final=True
            )
        body = error.body if isinstance(error.body, dict) else {}
        message = quotable(body.get("message"), self._key)
        reason = f"HTTP {status}: {message}" if message else f"HTTP {status}"
        if status == 404:
            hint = f"does it serve {model!r}, and does --judge-url end as the API's address does, mostly in /v1?"
            return self._problem(f"{reason}; {hint}", final=True)
        return self._problem(reason if status >= 500 or status == 429 else f"refuses the request ({reason})")

    def _problem(self, why: str, final: bool = False) -> _Problem:
        return _Problem(f"judge {self._endpoint.name}: {why}", final)
