"""What servers may answer to the requests beside generation, and what is said of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.lvlm.served import vllm_api
from lightning_c3l.lvlm.served.vllm_api import ServerError, VLLMServer, VLLMServers
from tests.helpers.vllm_server import Server

URL = "http://here:8000"
KEY = "sk-0123456789abcdef"
Handler = Callable[[httpx.Request], httpx.Response]


def server(handler: Handler, retries: int = 0) -> VLLMServer:
    one = VLLMServer(URL, KEY, 30, retries)
    client = httpx.Client(transport=httpx.MockTransport(handler), headers=one._client.headers)
    vars(one)["_client"] = client
    return one


def saying(status: int, body: Any) -> VLLMServer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server(lambda _: httpx.Response(status, content=content))


def reply(**changes: Any) -> dict[str, Any]:
    logp = [None, {"8": {"logprob": -0.5, "rank": 1}}, {"9": {"logprob": -1.5, "rank": 2}}]
    return {"prompt_token_ids": [7, 8, 9], "prompt_logprobs": logp, **changes}


def test_log_probabilities_are_those_of_the_tokens_that_were_read() -> None:
    bodies = list[dict[str, Any]]()

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        assert request.headers["authorization"] == f"Bearer {KEY}"
        return httpx.Response(200, json=reply())

    found = server(answer).prompt_logprobs("c3l-1", {"messages": []})
    assert found.ids == (7, 8, 9)
    assert found.logp[1:] == (-0.5, -1.5)
    assert bodies == [
        {
            "messages": [],
            "model": "c3l-1",
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 0,
            "return_token_ids": True,
        }
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        b"<html>",
        b"[" * 100_000,
        reply(prompt_token_ids=None),
        reply(prompt_token_ids=[7, 8]),
        reply(prompt_logprobs=[None, {"5": {"logprob": -1}}, {"9": {"logprob": -1}}]),
        reply(prompt_logprobs=[None, None, {"9": {"logprob": -1}}]),
        b'{"prompt_token_ids": [7, 8], "prompt_logprobs": [null, {"8": {"logprob": NaN}}]}',
        b'{"prompt_token_ids": [7, Infinity], "prompt_logprobs": [null, {"8": {"logprob": -1}}]}',
    ],
)
def test_answers_without_log_probabilities_are_refused(body: Any) -> None:
    with pytest.raises(ServerError, match=rf"^{URL}: gives (no )?log-probabilities") as caught:
        saying(200, body).prompt_logprobs("base", {})
    assert "\n" not in str(caught.value)


def test_endless_answers_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_api, "_MOST_BYTES", 1 << 20)
    with pytest.raises(ServerError, match="more than 1 MiB"):
        saying(200, b" " * (1 << 20) + b"{}").version()


def test_an_answer_may_not_trickle_in(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(vllm_api.time, "monotonic", lambda: next(clock))
    # a byte each ten seconds
    slow = httpx.Response(200, content=(b" " for _ in range(50)))
    with pytest.raises(ServerError, match=r"no answer within 30 s \(generator.timeout\)"):
        server(lambda _: slow).version()
    assert next(clock) < 100


def test_what_a_server_says_is_shown_in_one_line() -> None:
    error = {"error": {"message": "a\nb \x1b[31m" + 500 * "x", "code": 400}}
    with pytest.raises(ServerError) as caught:
        saying(400, error).sleep()
    assert caught.value.status == 400
    assert str(caught.value).startswith(f"{URL}/sleep: 400 a b [31mxxx")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("status", "asked"), [(503, 3), (429, 3), (500, 1), (401, 1)])
def test_servers_that_are_busy_are_asked_again(status: int, asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, requests = list[float](), list[str]()
    monkeypatch.setattr(vllm_api.time, "sleep", pauses.append)

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(str(request.url))
        return httpx.Response(status)

    with pytest.raises(ServerError, match=str(status)):
        server(answer, retries=2).wake_up()
    assert requests == [f"{URL}/wake_up"] * asked
    assert pauses == [1.0, 2.0][: asked - 1]


def test_a_server_that_is_gone_is_named_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_api.time, "sleep", lambda _: None)

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"{KEY} refused", request=request)

    with pytest.raises(ServerError, match=r"cannot be reached \(ConnectError\)") as caught:
        server(refuse, retries=1).version()
    assert caught.value.status is None


@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_a_key_that_a_server_repeats_is_not_shown(status: int) -> None:
    with pytest.raises(ServerError, match=f"{status}") as caught:
        saying(status, {"error": {"message": f"Incorrect API key provided: {KEY[:12]}***"}}).models()
    assert KEY[:8] not in str(caught.value)
    assert ("generator.api_key_env" in str(caught.value)) == (status in (401, 403))


def test_servers_of_this_machine_are_asked_without_a_proxy(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert VLLMServer(running.url, KEY, 30, 0).version() == running.faults.version


def test_versions_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerError, match="is no vLLM"):
        saying(200, {"ollama": 1}).version()
    servers = VLLMServers(["http://a", "http://b"], "", 1)
    versions = {"http://a": "0.32.0", "http://b": "0.32.0"}
    monkeypatch.setattr(VLLMServer, "version", lambda one: versions[one.url])
    assert servers.version() == "0.32.0"
    versions["http://b"] = "0.33.0"
    with pytest.raises(LVLMError, match=r"version of vLLM: http://a has 0.32.0, http://b has 0.33.0"):
        servers.version()


@pytest.mark.parametrize(
    ("status", "body", "dtype"),
    [
        (200, {"vllm_config": {"model_config": {"dtype": "torch.bfloat16"}}}, "bfloat16"),
        (200, {"vllm_config": "VllmConfig(dtype=torch.bfloat16)"}, "unknown"),
        (200, {"vllm_config": {"model_config": {"dtype": 16}}}, "unknown"),
        (200, [], "unknown"),
        (404, {"detail": "Not Found"}, "unknown"),
        (500, b"Internal Server Error", "unknown"),
    ],
)
def test_servers_may_say_their_precision(status: int, body: Any, dtype: str) -> None:
    assert saying(status, body).dtype() == dtype


@pytest.mark.parametrize(
    ("found", "dtype"),
    [(("float32", "float32"), "float32"), (("float32", "unknown"), "unknown"), (("unknown", "unknown"), "unknown")],
)
def test_a_precision_is_known_if_all_servers_say_it(
    found: tuple[str, str], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = dict(zip(("http://a", "http://b"), found, strict=True))
    monkeypatch.setattr(VLLMServer, "dtype", lambda one: each[one.url])
    assert VLLMServers(["http://a", "http://b"], "", 1).dtype() == dtype


def test_precisions_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    each = {"http://a": "float32", "http://b": "unknown", "http://c": "bfloat16"}
    monkeypatch.setattr(VLLMServer, "dtype", lambda one: each[one.url])
    with pytest.raises(LVLMError, match=r"precision: http://a has float32, http://c has bfloat16"):
        VLLMServers(list(each), "", 1).dtype()


def test_a_server_without_sleep_mode_cannot_sleep() -> None:
    assert saying(404, {"detail": "Not Found"}).is_sleeping() is None
    assert saying(200, {"is_sleeping": True}).is_sleeping() is True
    assert saying(200, {"is_sleeping": False}).is_sleeping() is False


def test_an_adapter_that_another_process_has_loaded_is_used() -> None:
    loaded = list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": one, "root": "/x"} for one in ["base", *loaded]]})
        loaded.append("c3l-1")  # by the other, just before
        return httpx.Response(400, json={"error": {"message": "has already been loaded"}})

    server(answer).load_adapter("c3l-1", Path("/folder"))
    server(answer).load_adapter("c3l-1", Path("/folder"))
    assert loaded == ["c3l-1"]
