"""Endpoints over real HTTP: scores, faults, keys, the cache."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lightning_c3l.evaluation.judging.base import JudgeError
from tests.evaluation.judging.client import AT_ONCE, KEY, judge, known, review
from tests.evaluation.judging.samples import pairs
from tests.evaluation.judging.server import Answer, Request, serving
from tests.helpers.commandline import ROOT


def test_known_scores() -> None:
    with serving(known) as app:
        reviews = review(app.url, 12)
    # 2 ... 12 and the marks below 1 that are none
    assert [one.candidate for one in reviews] == [-1, *(n / 2 for n in range(2, 13))]
    assert [one.reference for one in reviews] == [-1, *[8] * 11]
    parsed = [one for one in reviews if one.parsed]
    # 100 * mean(1, 1.5 ... 6) / 8 = 100 * 3.5 / 8
    assert 100 * sum(one.candidate for one in parsed) / sum(one.reference for one in parsed) == 43.75
    assert {one.judge for one in reviews} == {f"small ({app.url.removeprefix('http://')})"}


def test_what_is_sent() -> None:
    with serving(known) as app:
        review(app.url + "/", 2)  # a slash at the end is no other address
    for request in app.requests:
        assert request.body.keys() == {"model", "messages", "temperature", "max_tokens"}
        assert (request.body["model"], request.body["temperature"]) == ("small", 0)
        assert [message["role"] for message in request.body["messages"]] == ["user"]
        assert request.headers["authorization"] == f"Bearer {KEY}"


def test_both_orders_are_turned_back() -> None:
    def longer(request: Request) -> Answer:
        # 9 for the answer `a cat`, wherever it stands
        first = "]\na cat\n[END ASSISTANT 1" in request.prompt
        return Answer("9 2" if first else "2 9")

    with serving(longer) as app:
        reviews = judge(app.url).review(pairs(3), both_orders=True)
    assert len(app.requests) == len(reviews) == 6
    assert {(one.reference, one.candidate) for one in reviews} == {(2, 9)}


@pytest.mark.parametrize("limit", [1, 3])
def test_requests_at_once(limit: int) -> None:
    full = asyncio.Event()

    async def script(request: Request) -> Answer:
        if app.at_once == limit:
            full.set()
        await asyncio.wait_for(full.wait(), 60)  # nobody is answered before as many are there as may be
        await asyncio.sleep(0.02)  # one more would come now
        return known(request)

    with serving(script) as app:
        review(app.url, 9, concurrency=limit)
    assert app.most_at_once == limit


def fails_once(answer: Answer) -> Callable[[Request], Answer]:
    """The first time that each question is asked, `answer`."""
    return lambda request: answer if request.time == 0 else Answer("8 4")


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_a_busy_endpoint_is_asked_again(status: int) -> None:
    with serving(fails_once(Answer(status=status, headers=AT_ONCE, body=b'{"error": {"message": "busy"}}'))) as app:
        reviews = review(app.url, 3, retries=1)
    assert [one.candidate for one in reviews] == [4, 4, 4]
    assert sorted(app.questions) == [1, 1, 2, 2, 3, 3]


def test_retry_after_is_obeyed() -> None:
    times: list[float] = []

    async def script(request: Request) -> Answer:
        times.append(asyncio.get_running_loop().time())
        return Answer(status=429, headers={"retry-after": "1"}) if request.time == 0 else Answer("8 4")

    with serving(script) as app:
        review(app.url, 1)
    # the client's own first pause is half a second at most
    assert times[1] - times[0] >= 0.99


def test_a_hanging_and_a_broken_connection_are_asked_again() -> None:
    def script(request: Request) -> Answer:
        broken = Answer("8 4", drops=True) if request.question == 1 else Answer(hangs=True)
        return broken if request.time == 0 else Answer("8 4")

    with serving(script) as app:
        # on a busy machine, good answers may come too late as well: they have many tries
        reviews = review(app.url, 2, timeout=0.3, retries=20)
    assert [one.candidate for one in reviews] == [4, 4]
    assert app.questions.count(1) >= 2
    assert app.questions.count(2) >= 2


@pytest.mark.parametrize(
    "garbage",
    [
        Answer("Both are good.\n8 9"),
        Answer(""),
        Answer(body=b"{broken"),
        Answer(body=b'{"choices": []}'),
        Answer(body=b'{"choices": [{"message": {"content": null}}]}'),
        Answer(body=b"<html>8 9</html>", headers={"content-type": "text/html"}),
    ],
)
def test_what_cannot_be_read_is_asked_again(garbage: Answer) -> None:
    with serving(fails_once(garbage)) as app:
        assert [one.candidate for one in review(app.url, 2)] == [4, 4]
    assert sorted(app.questions) == [1, 1, 2, 2]


def test_what_can_never_be_read_counts_as_unparsed(tmp_path: Path) -> None:
    def script(request: Request) -> Answer:
        return Answer("no marks" if request.question == 2 else "8 4")

    with serving(script) as app:
        reviews = review(app.url, 3, tmp_path)
        assert [(one.reference, one.candidate, one.text) for one in reviews] == [
            (8, 4, "8 4"),
            (-1, -1, "no marks"),
            (8, 4, "8 4"),
        ]
        assert sorted(app.questions) == [1, 2, 2, 2, 3]
        assert review(app.url, 3, tmp_path) == reviews
        assert len(app.requests) == 5


def test_a_question_that_never_gets_a_reply_loses_no_other(tmp_path: Path) -> None:
    def script(request: Request) -> Answer:
        return Answer(status=500, headers=AT_ONCE) if request.question == 3 else Answer("8 4")

    with serving(script) as app, pytest.raises(JudgeError) as caught:
        review(app.url, 6, tmp_path, retries=2, concurrency=1)
    assert str(caught.value).startswith("question q3: judge small (127.0.0.1:")
    assert "HTTP 500; 1 of 6 reviews are missing" in str(caught.value)
    assert app.questions == [1, 2, 3, 3, 3, 4, 5, 6]


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    with serving(known) as app:
        first = review(app.url, 6, tmp_path)
        asked = len(app.requests)
        assert review(app.url, 6, tmp_path) == first
    assert len(app.requests) == asked


@pytest.mark.parametrize(
    ("answer", "said", "most"),
    [
        (Answer(status=401), "HTTP 401); set OPENAI_API_KEY", 1),
        (Answer(status=403), "HTTP 403); set OPENAI_API_KEY", 1),
        (Answer(status=404), "--judge-url", 1),
        (Answer(status=400, body=b'{"error": {"message": "too\\u001b[31m\\nlong"}}'), "HTTP 400: too [31m long", 3),
        (Answer(status=400, body=b'{"error": {"message": "no", "param": ["temperature"]}}'), "HTTP 400: no", 3),
        (Answer(status=422), "refuses the request (HTTP 422)", 3),
        (Answer(status=500, headers=AT_ONCE), "HTTP 500", 6),
        (Answer(body=b"{broken"), "OpenAI-compatible API?", 9),
    ],
)
def test_what_waiting_cannot_mend_ends_at_once(tmp_path: Path, answer: Answer, said: str, most: int) -> None:
    with serving(lambda _: answer) as app, pytest.raises(JudgeError) as caught:
        review(app.url, 60, tmp_path, concurrency=1, retries=1)
    message = str(caught.value)
    assert said in message
    assert "small" in message
    assert app.url.removeprefix("http://") in message
    assert "60 of 60 reviews are missing" in message
    assert "\n" not in message
    assert len(app.requests) == most


def test_one_request_that_is_refused_ends_nothing_where_others_are_answered(tmp_path: Path) -> None:
    def script(request: Request) -> Answer:
        return Answer(status=400) if request.question > 6 else Answer("8 4")

    with serving(script) as app, pytest.raises(JudgeError, match="4 of 10 reviews are missing"):
        review(app.url, 10, tmp_path, concurrency=1)
    assert app.questions == list(range(1, 11))


def test_an_endpoint_of_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(known) as app:
        assert len(review(app.url, 3, retries=0)) == 3


def test_nobody_there(tmp_path: Path) -> None:
    with serving(known) as app:
        pass
    with pytest.raises(JudgeError, match=r"cannot be reached \(.*[Cc]onnect.*\); see --judge-url"):
        review(app.url, 60, tmp_path, retries=0)


def test_models_that_think_first() -> None:
    def script(request: Request) -> Answer:
        for name in ("temperature", "max_tokens"):
            if name in request.body:
                error = {"message": "no such option", "param": name, "code": "unsupported_parameter"}
                return Answer(status=400, body=json.dumps({"error": error}).encode())
        return Answer("8 4") if request.body["max_completion_tokens"] > 1024 else Answer()

    with serving(script) as app:
        assert [one.candidate for one in review(app.url, 8)] == [4] * 8
    # the first ones at once may each meet both refusals, no later one
    assert len(app.requests) <= 8 + 2 * 4


RUN = """
import sys
from pathlib import Path
from lightning_c3l.evaluation.judging.endpoint import EndpointResponder
from lightning_c3l.evaluation.judging.endpoint import Endpoint
from lightning_c3l.evaluation.judging.prompted import PromptedJudge
from tests.evaluation.judging.samples import pairs
PromptedJudge(EndpointResponder(Endpoint("small", sys.argv[1], concurrency=2)), Path(sys.argv[2])).review(pairs(8))
"""


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    def script(request: Request) -> Answer:
        if request.question == 5 and request.time == 0:
            process.send_signal(signal.SIGKILL)
            return Answer(hangs=True)
        return known(request)

    with serving(script) as app:
        process = subprocess.Popen([sys.executable, "-c", RUN, app.url, str(tmp_path)], cwd=ROOT)
        try:
            assert process.wait(120) == -signal.SIGKILL
        finally:
            process.kill()
        before = set(app.questions)
        reviews = review(app.url, 8, tmp_path)
    assert [one.candidate for one in reviews] == [-1, 1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert 5 in before
    # of what was asked before, only what was under way at the kill was asked again
    again = [number for number in before - {1} if app.questions.count(number) > 1]
    assert 5 in again
    assert len(again) <= 2


def test_the_cache_is_shared_by_runs_that_write_at_once(tmp_path: Path) -> None:
    async def slowly(request: Request) -> Answer:
        await asyncio.sleep(0.01)
        return known(request)

    answers: Callable[[Request], Awaitable[Answer]] = slowly
    with serving(answers) as app:
        one, two = (subprocess.Popen([sys.executable, "-c", RUN, app.url, str(tmp_path)], cwd=ROOT) for _ in range(2))
        assert (one.wait(120), two.wait(120)) == (0, 0)
        asked = len(app.requests)
        assert [each.candidate for each in review(app.url, 8, tmp_path)][1:] == [n / 2 for n in range(2, 9)]
    assert len(app.requests) == asked
