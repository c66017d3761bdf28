"""Endpoints over real HTTP: scores, faults, keys, the cache."""

import asyncio
import base64
import json
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.judging.api import APIReplies
from lightning_c3l.judging.base import JudgeError, Review
from lightning_c3l.judging.endpoint import Endpoint
from lightning_c3l.judging.prompted import PromptedJudge
from tests.commandline import ROOT
from tests.judging.samples import pairs
from tests.judging.server import Answer, Request, serving

KEY = "sk-proj-N0bodyMayReadThis+/=0123456789"
# the client waits as long as the header says: no test waits for its own half second
AT_ONCE = {"retry-after": "0.01"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, and no proxy in between."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def judge(url: str, cache: Path | None = None, **options: Any) -> PromptedJudge:
    return PromptedJudge(APIReplies(Endpoint("small", url, **{"timeout": 60.0, **options})), cache)


def review(url: str, count: int, cache: Path | None = None, **options: Any) -> list[Review]:
    return judge(url, cache, **options).review(pairs(count))


def known(request: Request) -> Answer:
    """Question N gets 8 for the reference and N / 2 for the candidate."""
    return Answer(f"8 {request.question / 2}\nBecause.")


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


def test_nobody_there(tmp_path: Path) -> None:
    with serving(known) as app:
        pass
    with pytest.raises(JudgeError, match="cannot be reached; see --judge-url"):
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


def echoing(request: Request) -> Answer:
    """Says the key in every way that an endpoint might."""
    sent = request.headers["authorization"]
    known_as = [sent, sent.upper(), json.dumps({"authorization": sent}), KEY[:12] + "*****" + KEY[-10:]]
    status = [200, 400, 401, 404, 500][request.question % 5]
    error = {"error": {"message": " ".join(known_as), "code": sent, "param": sent}}
    headers = {**AT_ONCE, "x-request-id": sent}
    if status == 200:
        return Answer(f"8 4\nYou sent {sent}", headers=headers)
    return Answer(status=status, headers=headers, body=json.dumps(error).encode())


def parts(key: str) -> set[str]:
    """What nobody may read: pieces of the key, also in base64."""
    letters = key.lower()
    return {letters[n : n + 8] for n in range(len(key) - 7)} | {base64.b64encode(key.encode()).decode().lower()[:12]}


@pytest.mark.parametrize("first", [0, 1, 2, 3, 4])
def test_no_key_anywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], first: int
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    with serving(echoing) as app:
        one = judge(app.url, tmp_path, concurrency=1, retries=1)
        said += [repr(one), repr(vars(one)), repr(Endpoint("small", app.url))]
        try:
            reviews = one.review(pairs(5)[first - 1 :] if first else pairs(5)[4:])
        except JudgeError as error:
            said += traceback.format_exception(error)
            context: BaseException | None = error
            while context is not None:
                said.append(f"{context!r} {vars(context)}")
                context = context.__cause__ or context.__context__
        else:
            said += map(repr, reviews)
            assert reviews[0].candidate == 4
    assert app.requests[0].headers["authorization"] == f"Bearer {KEY}"
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert files or first
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    everything = "\n".join([*said, *files, *logged, *capfd.readouterr()]).lower()
    assert not [part for part in parts(KEY) if part in everything]


@pytest.mark.parametrize("key", [f"{KEY}\n", f"  {KEY} "])
def test_white_space_around_a_key(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serving(known) as app:
        review(app.url, 2)
    assert app.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("key", ["sk-first\nsk-second", "sk-\u201cquoted\u201d", "two words"])
def test_what_is_no_key_is_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serving(known) as app, pytest.raises(JudgeError, match="OPENAI_API_KEY holds characters") as caught:
        review(app.url, 2)
    assert key[:5] not in str(caught.value)
    assert app.requests == []


def test_local_servers_need_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with serving(known) as app:
        review(app.url, 2)
    assert "sk-" not in app.requests[0].headers["authorization"]


def test_openai_itself_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(JudgeError, match="needs a key: set OPENAI_API_KEY"):
        PromptedJudge(APIReplies(Endpoint("small")), None).review(pairs(1))


def test_the_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(known) as app:
        monkeypatch.setenv("OPENAI_BASE_URL", app.url)
        replies = APIReplies(Endpoint("small"))
        assert PromptedJudge(replies, None).review(pairs(2))[1].candidate == 1
    assert replies.name == f"small ({app.url.removeprefix('http://')})"


@pytest.mark.parametrize(
    "url",
    [
        "https://somebody:s3cret@judge.example/v1",
        "https://s3cret@judge.example/v1",
        "https://judge.example/v1?api-key=s3cret",
        "https://judge.example/v1#s3cret",
        "https://somebody:s3cret/@judge.example/v1",
        "https://judge.example:s3cret/v1",
        "https://[s3cret/v1",
    ],
)
def test_addresses_with_secrets_are_refused_without_showing_them(url: str) -> None:
    with pytest.raises(JudgeError, match="--judge-url") as caught:
        Endpoint("small", url)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "judge.example/v1"}, "http://"),
        ({"base_url": "ftp://judge.example/v1"}, "http://"),
        ({"model": ""}, "--judge-model"),
        ({"concurrency": 0}, "--concurrency"),
        ({"retries": -1}, "--retries"),
        ({"timeout": 0.0}, "--timeout"),
        ({"timeout": float("nan")}, "--timeout"),
    ],
)
def test_endpoints_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(JudgeError, match=said):
        Endpoint(**{"model": "small", "base_url": "http://judge.example/v1", **options})


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(JudgeError, match=r"pip install 'lightning_c3l\[judge\]'"):
        review("http://127.0.0.1:9/v1", 1)


RUN = """
import sys
from pathlib import Path
from lightning_c3l.judging.api import APIReplies
from lightning_c3l.judging.endpoint import Endpoint
from lightning_c3l.judging.prompted import PromptedJudge
from tests.judging.samples import pairs
PromptedJudge(APIReplies(Endpoint("small", sys.argv[1], concurrency=2)), Path(sys.argv[2])).review(pairs(8))
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
