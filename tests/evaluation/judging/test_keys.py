"""A key is written nowhere, and addresses and options that cannot be are refused."""

import base64
import json
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.evaluation.judging.base import JudgeError
from lightning_c3l.evaluation.judging.endpoint import Endpoint, EndpointResponder
from lightning_c3l.evaluation.judging.prompted import PromptedJudge
from tests.evaluation.judging.client import AT_ONCE, KEY, judge, known, review
from tests.evaluation.judging.samples import pairs
from tests.evaluation.judging.server import Answer, Request, serving


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
    with serving(known) as app, pytest.raises(JudgeError, match="OPENAI_API_KEY contains characters") as caught:
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
        PromptedJudge(EndpointResponder(Endpoint("small")), None).review(pairs(1))


def test_the_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(known) as app:
        monkeypatch.setenv("OPENAI_BASE_URL", app.url)
        replies = EndpointResponder(Endpoint("small"))
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
        ({"base_url": "http://judge.example/\x1b[31m"}, "characters that no URL has"),
        ({"base_url": "http://judge.example/a b"}, "characters that no URL has"),
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
    with pytest.raises(JudgeError, match=r"pip install .*\[judge\]'"):
        review("http://127.0.0.1:9/v1", 1)
