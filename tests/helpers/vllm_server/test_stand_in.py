"""The stand-in answers with our engine's texts and transformers' log-probabilities, as vLLM words it."""

from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from PIL.Image import Image

from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from tests.helpers.tiny import load_tiny, pictures, plain
from tests.helpers.vllm_server import Server, serve

QUESTION, ANSWER = "What is it?", "a red circle"
SAMPLING = Sampling(samples=3, max_new_tokens=8, temperature=1.0)


@pytest.fixture(scope="module")
def server(tiny_checkpoint: Path) -> Iterator[Server]:
    with serve(tiny_checkpoint) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test begins with a server that has just been started, and leaves it without faults."""
    server: Server = request.getfixturevalue("server")
    server.restart()
    server.requests.clear()
    before = vars(server.faults).copy()
    yield
    vars(server.faults).update(before)
    server.faults.answers.clear()


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    """Trained: its adapter changes what it writes."""
    return load_tiny(tiny_checkpoint)


@pytest.fixture(scope="module")
def adapter(lvlm: HuggingFaceLVLM, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("adapter")
    lvlm.save(folder)
    return str(folder)


def post(server: Server, path: str, body: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
    return httpx.post(server.url + path, json=body or {}, timeout=60, **options)


def body(image: Image | None, model: str = "base", answer: str = "", **more: Any) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": QUESTION}]
    if image is not None:
        file = BytesIO()
        image.save(file, "PNG")
        url = "data:image/png;base64," + b64encode(file.getvalue()).decode()
        content.insert(0, {"type": "image_url", "image_url": {"url": url}})
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    is_open = {}
    if answer:
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        is_open = {"add_generation_prompt": False, "continue_final_message": True}
    return {"model": model, "messages": messages, **is_open, "return_token_ids": True, **more}


def sampled(
    image: Image | None, model: str = "base", answer: str = "", without: HuggingFaceLVLM | None = None
) -> dict[str, Any]:
    """A request for completions, without the image token of an LVLM."""
    bias = {} if without is None else {str(without.images.token): -100}
    return body(image, model, answer, n=3, seed=5, temperature=1.0, max_tokens=8, logit_bias=bias)


def scored(image: Image | None, model: str = "base") -> dict[str, Any]:
    """A request for the log-probabilities of an answer."""
    return body(image, model, ANSWER, max_tokens=1, temperature=0, prompt_logprobs=0)


def texts(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [choice["message"]["content"].strip() for choice in response.json()["choices"]]


def answer_logp(response: httpx.Response, count: int) -> torch.Tensor:
    """Log-probabilities of the last tokens of a prompt."""
    assert response.status_code == 200, response.text
    whole = response.json()
    rows = zip(whole["prompt_token_ids"], whole["prompt_logprobs"], strict=True)
    return torch.tensor([row[str(token)]["logprob"] for token, row in list(rows)[-count:]])


def problem(response: httpx.Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert error["code"] == response.status_code
    return response.status_code, error["type"], error["param"]


@pytest.mark.parametrize("prefix", ["", "a red"])
@pytest.mark.parametrize("has_image", [True, False])
def test_texts_are_those_of_our_engine(server: Server, lvlm: HuggingFaceLVLM, prefix: str, has_image: bool) -> None:
    image = pictures(1)[0] if has_image else None
    request = GenerationRequest(QUESTION, image, 5, prefix)
    with lvlm.reference():
        expected = lvlm.generate([request], SAMPLING)[0]
    assert len(set(expected)) > 1
    assert texts(post(server, "/v1/chat/completions", sampled(image, answer=prefix, without=lvlm))) == expected


def test_an_adapter_is_used_once_loaded(server: Server, lvlm: HuggingFaceLVLM, adapter: str) -> None:
    image = pictures(1)[0]
    assert problem(post(server, "/v1/chat/completions", sampled(image, "tuned"))) == (404, "NotFoundError", "model")
    loaded = post(server, "/v1/load_lora_adapter", {"lora_name": "tuned", "lora_path": adapter})
    assert (loaded.status_code, server.adapters) == (200, {"tuned": adapter})
    cards = httpx.get(server.url + "/v1/models").json()["data"]
    assert [(one["id"], one["parent"]) for one in cards] == [("base", None), ("tuned", "base")]
    expected = lvlm.generate([GenerationRequest(QUESTION, image, 5)], SAMPLING)[0]
    assert texts(post(server, "/v1/chat/completions", sampled(image, "tuned", without=lvlm))) == expected
    with lvlm.reference():
        before = lvlm.generate([GenerationRequest(QUESTION, image, 5)], SAMPLING)[0]
    assert texts(post(server, "/v1/chat/completions", sampled(image, without=lvlm))) == before != expected
    assert post(server, "/v1/unload_lora_adapter", {"lora_name": "tuned"}).status_code == 200
    assert problem(post(server, "/v1/unload_lora_adapter", {"lora_name": "tuned"})) == (404, "NotFoundError", None)


def test_prompt_log_probabilities_are_those_of_a_plain_forward(
    server: Server, lvlm: HuggingFaceLVLM, adapter: str
) -> None:
    image = pictures(1)[0]
    post(server, "/v1/load_lora_adapter", {"lora_name": "tuned", "lora_path": adapter})
    expected = plain(lvlm, QUESTION, ANSWER, image)
    response = post(server, "/v1/chat/completions", scored(image, "tuned"))
    assert response.json()["prompt_token_ids"] == expected.ids[: expected.end].tolist()
    torch.testing.assert_close(answer_logp(response, expected.end - expected.start), expected.logp())


def test_faults_change_what_they_say(server: Server, lvlm: HuggingFaceLVLM, adapter: str) -> None:
    image, path = pictures(1)[0], "/v1/chat/completions"
    post(server, "/v1/load_lora_adapter", {"lora_name": "tuned", "lora_path": adapter})
    base, tuned = (post(server, path, scored(image, model)).json() for model in ("base", "tuned"))
    server.faults.other_pixels = True
    mirrored = post(server, path, scored(image)).json()
    assert mirrored["prompt_token_ids"] == base["prompt_token_ids"]
    assert mirrored["prompt_logprobs"] != base["prompt_logprobs"]
    server.faults.other_pixels, server.faults.other_template = False, True
    assert len(post(server, path, scored(image)).json()["prompt_token_ids"]) > len(base["prompt_token_ids"])
    server.faults.other_template, server.faults.mixes_batches = False, True
    assert post(server, path, scored(image)).json()["prompt_logprobs"] == base["prompt_logprobs"]
    with server.busy("tuned"):
        assert post(server, path, scored(image)).json()["prompt_logprobs"] == tuned["prompt_logprobs"]


def test_a_name_that_is_used_again_serves_cached_prompts(
    server: Server, tiny_checkpoint: Path, adapter: str, tmp_path: Path
) -> None:
    image, path = pictures(1)[0], "/v1/chat/completions"
    base = texts(post(server, path, sampled(image)))
    post(server, "/v1/load_lora_adapter", {"lora_name": "tuned", "lora_path": adapter})
    first = texts(post(server, path, sampled(image, "tuned")))
    assert first != base
    again = {"lora_name": "tuned", "lora_path": adapter}
    assert problem(post(server, "/v1/load_lora_adapter", again)) == (400, "InvalidUserInput", None)
    load_tiny(tiny_checkpoint, awake=False).save(tmp_path)  # computes what the base does
    zeros = {"lora_name": "tuned", "lora_path": str(tmp_path), "load_inplace": True}
    assert post(server, "/v1/load_lora_adapter", zeros).status_code == 200
    assert texts(post(server, path, sampled(image, "tuned"))) == first
    assert post(server, "/reset_prefix_cache").json() == {"success": True}
    assert texts(post(server, path, sampled(image, "tuned"))) == base


def test_only_the_request_says_what_ends_a_completion_and_what_is_left_out(
    server: Server, lvlm: HuggingFaceLVLM
) -> None:
    image, path = pictures(1)[0], "/v1/chat/completions"

    def greedy(**more: Any) -> list[int]:
        answer = post(server, path, body(image, **{"temperature": 0, "max_tokens": 8, **more})).json()
        return answer["choices"][0]["token_ids"]  # type: ignore[no-any-return]

    with lvlm.reference():
        row = plain(lvlm, QUESTION, ANSWER, image)
    likeliest = row.logits[row.start - 1].argsort(descending=True).tolist()
    tokens = greedy()
    assert tokens[0] == likeliest[0]
    end = next(index for index, token in enumerate(tokens) if token not in tokens[:index] and index)
    eos = lvlm.processor.tokenizer.eos_token_id
    assert greedy(stop_token_ids=[tokens[end]]) == [*tokens[:end], eos]
    assert greedy(logit_bias={str(likeliest[0]): -100})[0] == likeliest[1]
    # not even images
    assert greedy(logit_bias={str(lvlm.images.token): 100}, max_tokens=1) == [lvlm.images.token]


def test_weights_are_reloaded(server: Server, lvlm: HuggingFaceLVLM, tiny_checkpoint: Path, tmp_path: Path) -> None:
    image, path = pictures(1)[0], "/v1/chat/completions"
    other = HuggingFaceLVLM(str(tiny_checkpoint), lora=None)
    with torch.no_grad():
        for parameter in other.network.parameters():
            parameter.mul_(1.05)
    other.save(tmp_path)
    before = texts(post(server, path, sampled(image, without=lvlm)))
    expected = other.generate([GenerationRequest(QUESTION, image, 5)], SAMPLING)[0]
    call = {"method": "reload_weights", "kwargs": {"weights_path": str(tmp_path)}}
    assert post(server, "/collective_rpc", call).json() == {"results": [None]}
    assert texts(post(server, path, sampled(image, without=lvlm))) == before != expected
    post(server, "/reset_prefix_cache")
    assert texts(post(server, path, sampled(image, without=lvlm))) == expected
    server.restart()
    assert texts(post(server, path, sampled(image, without=lvlm))) == before


def test_a_sleeping_server_answers_no_prompt(server: Server) -> None:
    assert post(server, "/sleep?level=1").json()["status"] == "sleeping"
    assert httpx.get(server.url + "/is_sleeping").json() == {"is_sleeping": True}
    assert problem(post(server, "/v1/chat/completions", sampled(None)))[0] == 500
    assert post(server, "/wake_up").json()["status"] == "awake"
    assert len(texts(post(server, "/v1/chat/completions", sampled(None)))) == 3
    server.faults.dev_mode = False
    assert post(server, "/sleep").status_code == 404


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"temperature": 2.5}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"logit_bias": {"100000": -100}}, "logit_bias"),
        ({"stop_token_ids": [100000]}, "stop_token_ids"),
        ({"max_tokens": 1000}, "input_tokens"),
    ],
)
def test_wrong_requests_are_refused_as_vllm_does(server: Server, change: dict[str, Any], parameter: str) -> None:
    response = post(server, "/v1/chat/completions", {**sampled(None), **change})
    assert problem(response) == (400, "BadRequestError", parameter)


def test_answers_go_wrong_in_turn(server: Server) -> None:
    server.faults.answers.extend(["429", "503", "cut", "garbage", "html", "fewer", "null", "foreign"])
    path = "/v1/chat/completions"
    busy = post(server, path, sampled(None))
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "0.0")
    assert post(server, path, sampled(None)).status_code == 503
    with pytest.raises(httpx.RemoteProtocolError):
        post(server, path, sampled(None))
    for _ in ("garbage", "html"):
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            post(server, path, sampled(None)).json()
    assert len(texts(post(server, path, sampled(None)))) == 2
    assert post(server, path, sampled(None)).json()["choices"][0]["message"]["content"] is None
    assert post(server, path, sampled(None)).json()["prompt_token_ids"] == [7, 7, 7]
    assert len(texts(post(server, path, sampled(None)))) == 3


def test_a_restart_shows_in_the_instance_alone(server: Server) -> None:
    def start() -> tuple[str, str]:
        info = httpx.get(server.url + "/server_info?config_format=json").json()
        answer = post(server, "/v1/chat/completions", sampled(None)).json()
        return info["vllm_config"]["instance_id"], answer["system_fingerprint"]

    before = start()
    assert start() == before
    server.restart()
    after = start()
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_it_hangs_dies_and_restarts(server: Server, adapter: str) -> None:
    path = "/v1/chat/completions"
    server.faults.answers.append("hang")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(server.url + path, json=sampled(None), timeout=0.2)
    post(server, "/v1/load_lora_adapter", {"lora_name": "tuned", "lora_path": adapter})
    server.faults.restarts_after = server.state.completions
    with pytest.raises(httpx.TransportError):
        post(server, path, sampled(None))
    assert server.adapters == {}
    server.die()
    with pytest.raises(httpx.ConnectError):
        post(server, path, sampled(None))
    server.revive()
    server.faults.dies_after = server.state.completions
    with pytest.raises(httpx.TransportError):
        post(server, path, sampled(None))
    with pytest.raises(httpx.ConnectError):
        post(server, path, sampled(None))
    server.revive()
    assert len(texts(post(server, path, sampled(None)))) == 3


def test_it_wants_its_key(server: Server) -> None:
    server.faults.api_key = "secret"
    assert post(server, "/v1/chat/completions", sampled(None)).status_code == 401
    key = {"Authorization": "Bearer secret"}
    assert len(texts(post(server, "/v1/chat/completions", sampled(None), headers=key))) == 3
    assert httpx.get(server.url + "/version").json() == {"version": "0.32.0"}
