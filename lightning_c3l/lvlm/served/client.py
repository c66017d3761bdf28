"""Chat requests to several servers at once, each repeated until a server has answered it.

Repeating is left to this module, not to the client of `openai`, since the next attempt should go to another server.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.served.options import ServedOptions
from lightning_c3l.lvlm.served.pool import Server, ServerFailure, ServerPool
from lightning_c3l.runs.endpoints import NO_KEY_STATUSES, innermost, mounts, quiet_loggers, quotable

if TYPE_CHECKING:
    from openai import APIStatusError

_T = TypeVar("_T")
# of an answer, in bytes: hundreds of completions with their tokens are far shorter
_LONGEST_ANSWER = 1 << 25
# seconds within which no server can start
_START = 5.0
# HTTP statuses
_NOT_FOUND = 404
_BUSY = 429
# statuses that may be others the next time, besides those from here on
_PASSING = (408, 409, 425, _BUSY)
# of a proxy that finds no server behind it
_NO_SERVER = (502, 503, 504)
_SERVER_ERROR = 500


@dataclass(frozen=True)
class ChatJob:
    """A request that is to be answered.

    Attributes:
        body: makes the body of the request, when its turn has come.
        accept: takes the answer of a server, given with its address; raises a `ServerFailure` to have it repeated.
    """

    body: Callable[[], Awaitable[dict[str, Any]]]
    accept: Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Recovery:
    """What to do about servers that have lost the weights that were handed over to them.

    Attributes:
        restore: hands them to a server again, given its address; raises a `ServerFailure` if it cannot be reached.
        is_silent: whether a server that was started again answers with others under the same name. Then they are handed
            over again whenever its connection has failed, and after a time in which it may have been started.
    """

    restore: Callable[[str], object]
    is_silent: bool = False


class ChatClient:
    """Sends requests to servers.

    Args:
        servers: the servers.
        options: how they are asked.
        recovery: for servers that do not know the model that requests name; without it, that is an error.
    """

    def __init__(self, servers: Sequence[Server], options: ServedOptions, recovery: Recovery | None = None) -> None:
        self._servers, self._options, self._recovery = servers, options, recovery
        self._key = options.key()

    def complete(self, jobs: Sequence[ChatJob], concurrency: int) -> None:
        """Have all jobs answered; those whose answer was accepted are finished even if others fail.

        Args:
            jobs: the requests.
            concurrency: number of requests at the same time.

        Raises:
            LVLMError: if all servers are gone, or one refuses a request.
        """
        work = _Work(self._servers, self._options, self._key, self._recovery, jobs)
        with quiet_loggers():
            failed = _run(work.run(min(concurrency, len(jobs))))
        if failed is not None:  # raised here, where the requests with their headers are out of sight
            raise failed


class _Work:
    """The jobs of one `complete`, within its event loop."""

    def __init__(
        self,
        servers: Sequence[Server],
        options: ServedOptions,
        key: str,
        recovery: Recovery | None,
        jobs: Sequence[ChatJob],
    ) -> None:
        self._servers, self._options, self._key, self._recovery = servers, options, key, recovery
        self._is_silent = recovery is not None and recovery.is_silent
        self._waiting = deque(jobs)

    async def run(self, workers: int) -> Exception | None:
        """Do all jobs, and return the error that ended them early."""
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        self._pool = ServerPool(self._servers, self._options.retries, _START if self._is_silent else float("inf"))
        self._clients = dict[str, AsyncOpenAI]()
        async with AsyncExitStack() as stack:
            for one in self._servers:
                one.in_flight = 0
                client = AsyncOpenAI(
                    api_key=self._key,
                    base_url=f"{one.url}/v1",
                    timeout=self._options.timeout,
                    max_retries=0,
                    http_client=DefaultAsyncHttpxClient(mounts=mounts(one.url)),
                )
                self._clients[one.url] = await stack.enter_async_context(client)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(workers):
                        group.create_task(self._work())
            except ExceptionGroup as errors:
                return errors.exceptions[0]
        return None

    async def _work(self) -> None:
        """Do one job after the other."""
        while self._waiting:
            job = self._waiting.popleft()
            await self._answer(job, await job.body())

    async def _answer(self, job: ChatJob, body: dict[str, Any]) -> None:
        """Ask until a server has answered.

        Raises:
            LVLMError: if the request is refused, or fails too often although servers answer others.
        """
        failures = 0
        while failures <= self._options.retries:
            server = await self._pool.take()
            began = time.monotonic()
            try:
                if server.is_lost:
                    await self._restore(server)
                answer = await self._send(server.url, body)
                if server.is_lost and self._is_silent:
                    raise ServerFailure("may have been started again", is_about_request=False)
                server.seen_at = time.monotonic()
                job.accept(server.url, answer)
                self._pool.succeeded(server)
                return
            except ServerFailure as failure:
                failure.is_lost |= failure.is_connection and self._is_silent
                self._pool.failed(server, failure, began)
                failures, last = failures + failure.is_about_request, f"{server.url}: {failure.problem}"
            finally:
                self._pool.release(server)
        raise LVLMError(f"{last}, {failures} times for one request; see the server's log and generator.retries")

    async def _restore(self, server: Server) -> None:
        """Hand the weights over again, while this is the only request to the server."""
        if self._recovery is not None:
            await asyncio.to_thread(self._recovery.restore, server.url)
        server.is_lost = False

    async def _send(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        """A server's answer to a request."""
        import openai

        late = ServerFailure(f"no answer within {self._options.timeout:g} s (generator.timeout)")
        model, messages = body["model"], body["messages"]
        rest = {name: value for name, value in body.items() if name not in ("model", "messages")}
        create = self._clients[url].chat.completions.with_streaming_response.create
        try:
            # the client's own limit is for each piece of an answer
            async with asyncio.timeout(self._options.timeout):
                async with create(model=model, messages=messages, extra_body=rest) as response:
                    return await _read(response)
        except (TimeoutError, openai.APITimeoutError):
            raise late from None
        except openai.APIStatusError as error:
            raise self._refusal(url, error) from None
        except openai.APIConnectionError as error:
            problem = f"cannot be reached ({innermost(error, self._key)})"
            raise ServerFailure(problem, is_about_request=False, is_connection=True) from None

    def _refusal(self, url: str, error: "APIStatusError") -> Exception:
        """What an HTTP status means; a server's words about keys are not repeated, since they may contain one."""
        status, key = error.status_code, self._options.api_key_env
        if status in NO_KEY_STATUSES:
            return LVLMError(f"{url}: refuses the key (HTTP {status}); set {key} to the server's key")
        body = error.body if isinstance(error.body, dict) else {}
        message = quotable(body.get("message"), self._key)
        reason = f"HTTP {status}: {message}" if message else f"HTTP {status}"
        if status in _PASSING or status >= _SERVER_ERROR:
            wait = _seconds(error.response.headers.get("retry-after"))
            return ServerFailure(reason, wait, status != _BUSY, is_connection=status in _NO_SERVER)
        if status == _NOT_FOUND and (body.get("param") == "model" or "model" in message):
            if self._recovery is not None:
                return ServerFailure(reason, is_about_request=False, is_lost=True)
            return LVLMError(f"{url}: {reason}; see generator.model")
        if status == _NOT_FOUND:
            return LVLMError(f"{url}: has no chat endpoint ({url}/v1/chat/completions); see generator.url")
        return LVLMError(f"{url}: refuses a request ({reason})")


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine; in a thread where this one has an event loop already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _read(response: Any) -> dict[str, Any]:
    """The JSON object that an answer holds, read up to a limit."""
    data = bytearray()
    try:
        async for chunk in response.iter_bytes():
            data += chunk
            if len(data) > _LONGEST_ANSWER:
                raise ServerFailure(f"sends more than {_LONGEST_ANSWER >> 20} MiB")
    except (ServerFailure, TimeoutError):
        raise
    except Exception as error:  # of the HTTP library, which is another one for each version of `openai`
        problem = f"ends an answer in the middle ({type(error).__name__})"
        raise ServerFailure(problem, is_connection=True) from None
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ServerFailure("sends no JSON object; is this the address of an OpenAI-compatible API?")
    return answer


def _seconds(header: str | None) -> float:
    """Seconds of a `Retry-After`; 0 if there is none, or it is a date."""
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0
