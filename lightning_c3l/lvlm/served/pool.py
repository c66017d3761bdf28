"""Several servers, of which the least busy one takes the next request; those that fail are set aside for a while."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from lightning_c3l.lvlm.errors import LVLMError

# seconds that a server is set aside after its first failure, and at most
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0


@dataclass
class Server:
    """A server and how it does.

    Attributes:
        url: its address.
        in_flight: number of requests that it works on for this process.
        failures: how often it has failed in a row.
        retry_at: when it may be asked again, as `time.monotonic` counts.
        failed_at: when it failed last.
        problem: why.
        is_lost: whether it may have lost the weights that were handed over.
        seen_at: when it was last known to have them, as `time.monotonic` counts.
    """

    url: str
    in_flight: int = 0
    failures: int = 0
    retry_at: float = 0.0
    failed_at: float = 0.0
    problem: str = ""
    is_lost: bool = False
    seen_at: float = 0.0


class ServerFailure(Exception):
    """A server has given no answer that can be used; asking again may help.

    Args:
        problem: why.
        wait: seconds after which the server wants to be asked again.
        is_about_request: whether the request itself may be the reason.
        is_lost: whether the server lacks the weights that were handed over.
        is_connection: whether the server may have ended.
    """

    def __init__(
        self,
        problem: str,
        wait: float = 0.0,
        is_about_request: bool = True,
        is_lost: bool = False,
        is_connection: bool = False,
    ) -> None:
        super().__init__(problem)
        self.problem, self.wait, self.is_about_request = problem, wait, is_about_request
        self.is_lost, self.is_connection = is_lost, is_connection


class ServerPool:
    """Hands out servers, within one event loop.

    Args:
        servers: the servers; what is known of them outlasts the pool.
        retries: failures in a row, beside the first, after which a server counts as gone.
        unseen: seconds without an answer in which a server may have lost its weights without a sign.
    """

    def __init__(self, servers: Sequence[Server], retries: int, unseen: float = float("inf")) -> None:
        self._servers, self._retries, self._unseen = servers, retries, unseen
        self._changed = asyncio.Event()
        if all(map(self._is_gone, servers)):
            for server in servers:
                server.failures, server.retry_at = 0, 0.0

    async def take(self) -> Server:
        """The least busy server that is not set aside; one that has failed, or lost its weights, gets a single request.

        Raises:
            LVLMError: if all servers are gone.
        """
        while True:
            if all(map(self._is_gone, self._servers)):
                raise self._all_gone()
            now = time.monotonic()
            ready = [
                one
                for one in self._servers
                if one.retry_at <= now and not (one.in_flight and (one.failures or one.is_lost))
            ]
            if ready:
                server = min(ready, key=lambda one: one.in_flight)
                server.is_lost |= not server.in_flight and now - server.seen_at > self._unseen
                server.in_flight += 1
                return server
            self._changed.clear()
            waits = [one.retry_at - now for one in self._servers if one.retry_at > now]
            with suppress(TimeoutError):
                async with asyncio.timeout(min(waits, default=None)):
                    await self._changed.wait()

    def release(self, server: Server) -> None:
        """End a request, after `succeeded` or `failed` have said how it ended."""
        server.in_flight -= 1
        self._changed.set()

    def succeeded(self, server: Server) -> None:
        """Note that a server has answered."""
        server.failures, server.retry_at = 0, 0.0

    def failed(self, server: Server, failure: ServerFailure, began: float) -> None:
        """Set a server aside, twice as long each time.

        Args:
            server: the server.
            failure: what has happened.
            began: when the request was sent; those that were under way together count as one failure.
        """
        server.problem, server.is_lost = failure.problem, server.is_lost or failure.is_lost
        now = time.monotonic()
        if began >= server.failed_at or not server.failures:
            server.failures, server.failed_at = server.failures + 1, now
        wait = max(_FIRST_WAIT * 2.0 ** (server.failures - 1), failure.wait)
        server.retry_at = max(server.retry_at, now + min(wait, _LONGEST_WAIT))

    def _is_gone(self, server: Server) -> bool:
        return server.failures > self._retries

    def _all_gone(self) -> LVLMError:
        problems = "; ".join(f"{one.url}: {one.problem}" for one in self._servers)
        return LVLMError(
            f"no server answers, after {self._retries} retries: {problems}. Start those that have ended again "
            "(`make serve-vllm`) and resume the run: finished texts are kept. See generator.url, generator.timeout and "
            "generator.retries"
        )
