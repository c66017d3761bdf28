"""Which server takes the next request."""

import asyncio
import time

import pytest

from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.lvlm.served import pool as pools
from lightning_c3l.lvlm.served.pool import Server, ServerFailure, ServerPool


def test_the_least_busy_server_is_next() -> None:
    async def taken() -> list[str]:
        pool = ServerPool([Server("a"), Server("b"), Server("c")], retries=0)
        first = [await pool.take() for _ in range(4)]
        pool.release(first[1])
        return [one.url for one in (*first, await pool.take())]

    assert asyncio.run(taken()) == ["a", "b", "c", "a", "b"]


def test_a_server_that_failed_gets_one_request_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_FIRST_WAIT", 0.0)

    async def taken() -> list[str]:
        pool = ServerPool([Server("a"), Server("b")], retries=3)
        broken = await pool.take()
        pool.failed(broken, ServerFailure("down"), time.monotonic())
        pool.release(broken)
        order = [(await pool.take()).url for _ in range(4)]
        pool.succeeded(broken)
        return [*order, (await pool.take()).url]

    assert asyncio.run(taken()) == ["a", "b", "b", "b", "a"]


def test_failures_of_requests_that_ran_together_count_once() -> None:
    server, pool = Server("a"), ServerPool([Server("b")], retries=1)
    began = time.monotonic()
    for _ in range(5):
        pool.failed(server, ServerFailure("down"), began)
    assert server.failures == 1
    pool.failed(server, ServerFailure("down"), time.monotonic())
    assert server.failures == 2


def test_waits_double_up_to_a_minute() -> None:
    server, pool = Server("a"), ServerPool([Server("b")], retries=1)
    waits = list[float]()
    for _ in range(8):
        server.retry_at = 0.0
        pool.failed(server, ServerFailure("down"), time.monotonic())
        waits.append(round(server.retry_at - server.failed_at, 3))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(("asked", "wait"), [(7.0, 7), (0.2, 1), (3600.0, 60)])
def test_a_server_may_ask_for_a_longer_wait(asked: float, wait: int) -> None:
    server, pool = Server("a"), ServerPool([Server("b")], retries=1)
    pool.failed(server, ServerFailure("busy", asked), time.monotonic())
    assert round(server.retry_at - server.failed_at, 3) == wait


def test_all_gone_names_each() -> None:
    servers = [Server("http://a"), Server("http://b")]
    pool = ServerPool(servers, retries=0)
    for server, problem in zip(servers, ("HTTP 503", "cannot be reached"), strict=True):
        pool.failed(server, ServerFailure(problem), time.monotonic())
    with pytest.raises(LVLMError, match="http://a: HTTP 503; http://b: cannot be reached"):
        asyncio.run(pool.take())
    # the next call asks them again
    assert asyncio.run(ServerPool(servers, retries=0).take()) is servers[0]


def test_a_server_that_was_not_seen_for_long_counts_as_lost() -> None:
    now = time.monotonic()
    servers = [Server("a", seen_at=now - 60), Server("b", seen_at=now)]

    async def taken() -> list[tuple[str, bool]]:
        pool = ServerPool(servers, retries=0, unseen=30)
        return [(one.url, one.is_lost) for one in [await pool.take() for _ in range(3)]]

    # alone with its request, until its weights are there again
    assert asyncio.run(taken()) == [("a", True), ("b", False), ("b", False)]
