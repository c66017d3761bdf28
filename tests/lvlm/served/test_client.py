"""Requests to servers that fail in all ways that servers fail in."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.lvlm.served import client as clients
from lightning_c3l.lvlm.served import pool as pools
from lightning_c3l.lvlm.served.client import ChatClient, ChatJob, Recovery
from lightning_c3l.lvlm.served.options import ServedOptions, server_urls
from lightning_c3l.lvlm.served.pool import Server, ServerFailure
from tests.evaluation.judging.server import Answer, Request, serving

KEY = "sk-0123456789abcdef"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, and a key."""
    monkeypatch.setattr(pools, "_FIRST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


class Asking:
    """Jobs about numbered questions, and their answers."""

    def __init__(self, count: int, accept: Callable[[str], None] = lambda _: None) -> None:
        self.answers = dict[int, str]()
        self.by = dict[int, str]()
        self._accept = accept
        self.jobs = [ChatJob(self._body(index), self._note(index)) for index in range(count)]

    def ask(
        self, urls: str | list[str], concurrency: int = 4, recovery: Recovery | None = None, **options: Any
    ) -> dict[int, str]:
        servers = [Server(url) for url in server_urls(urls, 0)]
        ChatClient(servers, ServedOptions(**options), recovery).complete(self.jobs, concurrency)
        return self.answers

    def _body(self, index: int) -> Callable[[], Any]:
        async def body() -> dict[str, Any]:
            message = {"role": "user", "content": f"question {index}?"}
            return {"model": "m", "messages": [message], "n": 1, "stop_token_ids": [7]}

        return body

    def _note(self, index: int) -> Callable[[str, dict[str, Any]], None]:
        def accept(url: str, answer: dict[str, Any]) -> None:
            text = answer["choices"][0]["message"]["content"]
            self._accept(text)
            assert index not in self.answers, "answered twice"
            self.answers[index], self.by[index] = text, url

        return accept


def echo(request: Request) -> Answer:
    return Answer(f"answer {request.question}")


def expected(count: int) -> dict[int, str]:
    return {index: f"answer {index}" for index in range(count)}


def test_requests_run_at_the_same_time_up_to_the_limit() -> None:
    full, most = asyncio.Event(), 5

    async def script(request: Request) -> Answer:
        if app.at_once == most:
            full.set()
        await asyncio.wait_for(full.wait(), 60)  # nobody is answered before as many are there as may be
        return echo(request)

    asking = Asking(12)
    with serving(script) as app:
        assert asking.ask(app.url, most) == expected(12)
    assert app.most_at_once == most
    assert sorted(app.questions) == list(range(12))
    body, headers = app.requests[0].body, app.requests[0].headers
    assert {name: body[name] for name in ("model", "n", "stop_token_ids")} == {
        "model": "m",
        "n": 1,
        "stop_token_ids": [7],
    }
    assert headers["authorization"] == f"Bearer {KEY}"


def test_servers_of_this_machine_are_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(echo) as app:
        assert Asking(3).ask([app.url, app.url.replace("127.0.0.1", "localhost")], retries=0) == expected(3)


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=429, headers={"retry-after": "0.01"}),
        Answer(status=500),
        Answer(status=503, body=b"<html>"),
        Answer("half", drops=True),
        Answer(body=b"{"),
        Answer(body=b"[1]"),
        Answer(body=b"\xff\x00"),
    ],
    ids=["429", "500", "503", "drops", "no json", "no object", "no text"],
)
def test_passing_faults_are_repeated(fault: Answer) -> None:
    asking = Asking(6)
    with serving(lambda request: fault if request.question == 2 and request.time < 2 else echo(request)) as app:
        assert asking.ask(app.url) == expected(6)
    assert app.questions.count(2) == 3
    assert len(app.questions) == 8


def test_a_server_that_hangs_is_left() -> None:
    with serving(lambda request: Answer(hangs=True) if request.time == 0 else echo(request)) as app:
        assert Asking(3).ask(app.url, concurrency=3, timeout=0.5, retries=20) == expected(3)


def test_answers_that_are_not_accepted_are_repeated() -> None:
    def accept(text: str) -> None:
        if text == "bad":
            raise ServerFailure("sends no text")

    with serving(lambda request: Answer("bad") if request.time == 0 else echo(request)) as app:
        assert Asking(3, accept).ask(app.url) == expected(3)
    assert sorted(app.questions) == [0, 0, 1, 1, 2, 2]


def test_a_request_that_always_fails_ends_with_the_reason() -> None:
    asking = Asking(4)
    with serving(lambda request: Answer(status=500) if request.question == 3 else echo(request)) as app:
        with pytest.raises(LVLMError, match="HTTP 500") as caught:
            asking.ask(app.url, retries=2)
        assert str(caught.value).startswith(f"{app.url.removesuffix('/v1')}: ")
    assert app.questions.count(3) == 3
    assert asking.answers == expected(3)


@pytest.fixture
def dead() -> Iterator[str]:
    """Address at which nobody listens, nor anybody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def test_a_dead_server_ends_after_its_retries(dead: str) -> None:
    with pytest.raises(LVLMError, match=f"no server answers, after 2 retries: {dead}: cannot be reached") as caught:
        Asking(5).ask(dead, retries=2)
    assert "generator.retries" in str(caught.value)


def test_texts_are_handed_out_before_all_servers_are_gone() -> None:
    asking = Asking(10)
    with (
        serving(lambda request: echo(request) if len(app.requests) <= 4 else Answer(status=502)) as app,
        pytest.raises(LVLMError, match="HTTP 502"),
    ):
        asking.ask(app.url, concurrency=1, retries=1)
    assert asking.answers == expected(4)


def test_others_take_over_for_a_server_that_is_gone(dead: str) -> None:
    asking = Asking(30)
    with serving(echo) as first, serving(echo) as second:
        assert asking.ask([dead, first.url, second.url], retries=1) == expected(30)
    assert set(asking.by.values()) == {first.url.removesuffix("/v1"), second.url.removesuffix("/v1")}


UNKNOWN = Answer(
    status=404,
    body=json.dumps({"error": {"message": "The model `m` does not exist.", "param": "model", "code": 404}}).encode(),
)


def test_a_model_that_is_unknown_is_handed_over_again() -> None:
    restored = list[tuple[str, int]]()

    def script(request: Request) -> Answer:
        return UNKNOWN if len(app.requests) > 3 and not restored else echo(request)

    with serving(script) as app:
        recovery = Recovery(lambda url: restored.append((url, app.at_once)))
        assert Asking(12).ask(app.url, recovery=recovery) == expected(12)
    # once, while no request is under way
    assert restored == [(app.url.removesuffix("/v1"), 0)]


def test_a_hand_over_may_have_to_wait_for_the_server() -> None:
    attempts = list[str]()

    def restore(url: str) -> None:
        attempts.append(url)
        if len(attempts) < 3:
            raise ServerFailure("cannot be reached", is_about_request=False, is_lost=True)

    with serving(lambda request: echo(request) if len(attempts) == 3 else UNKNOWN) as app:
        assert Asking(5).ask(app.url, recovery=Recovery(restore)) == expected(5)
    assert len(attempts) == 3


def test_a_model_that_stays_unknown_ends() -> None:
    with serving(lambda _: UNKNOWN) as app, pytest.raises(LVLMError, match="does not exist"):
        Asking(2).ask(app.url, recovery=Recovery(print), retries=2)
    with serving(lambda _: UNKNOWN) as app, pytest.raises(LVLMError, match=r"does not exist.*generator\.model"):
        Asking(1).ask(app.url)
    assert len(app.requests) == 1


def test_weights_that_a_restart_loses_silently_are_handed_over_again(monkeypatch: pytest.MonkeyPatch) -> None:
    restored = list[str]()

    def script(request: Request) -> Answer:
        return Answer("half", drops=True) if request.question == 2 and not restored else echo(request)

    with serving(script) as app:
        recovery = Recovery(restored.append, is_silent=True)
        # one that was never seen may have been started since
        assert Asking(2).ask(app.url, concurrency=1, recovery=recovery) == expected(2)
        assert len(restored) == 1
        restored.clear()
        monkeypatch.setattr(clients, "_START", float("inf"))
        assert Asking(6).ask(app.url, concurrency=1, recovery=recovery) == expected(6)
    assert restored == [app.url.removesuffix("/v1")]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(status=401, body=json.dumps({"error": {"message": KEY}}).encode()), "set OPENAI_API_KEY"),
        (Answer(status=404, body=b'{"detail": "Not Found"}'), "has no chat endpoint"),
        (Answer(status=400, body=b'{"error": {"message": "too long"}}'), r"refuses a request \(HTTP 400: too long\)"),
        (Answer(status=400, body=json.dumps({"error": {"message": f"bad {KEY}"}}).encode()), r"\(HTTP 400\)"),
    ],
)
def test_refusals_end_at_once(answer: Answer, message: str) -> None:
    with serving(lambda _: answer) as app, pytest.raises(LVLMError, match=message) as caught:
        Asking(1).ask(app.url)
    assert len(app.requests) == 1
    assert KEY not in str(caught.value)


def test_endless_answers_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_LONGEST_ANSWER", 1000)
    with serving(lambda _: Answer(body=b" " * 5000)) as app, pytest.raises(LVLMError, match="sends more than"):
        Asking(1).ask(app.url, retries=0)


def test_a_caller_may_have_an_event_loop() -> None:
    async def inside(url: str) -> dict[int, str]:
        return Asking(2).ask(url)

    with serving(echo) as app:
        assert asyncio.run(inside(app.url)) == expected(2)


def test_what_the_client_calls_for_may_fail() -> None:
    def full(_: str) -> None:
        raise OSError("no space left")

    with serving(echo) as app, pytest.raises(OSError, match="no space left"):
        Asking(3, full).ask(app.url)
