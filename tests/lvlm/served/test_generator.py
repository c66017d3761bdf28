"""Completions from stand-ins of a server, which are those of our own engine with the same weights."""

from collections import Counter, deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_c3l.lvlm.base import GenerationRequest, LVLMError, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.served import pool as pools
from lightning_c3l.lvlm.served.generator import ServedGenerator
from tests.helpers.tiny import awaken_adapter, load_tiny, pictures, plain
from tests.helpers.vllm_server import Server, serve

CHAT = "/v1/chat/completions"
SAMPLING = Sampling(samples=2, max_new_tokens=8, temperature=1.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_FIRST_WAIT", 0.01)


@pytest.fixture(scope="module")
def trained(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


@pytest.fixture(scope="module")
def requests() -> list[GenerationRequest]:
    images = pictures(3)
    prompts = "Describe the picture.", "Where is the circle?"
    asked = [(prompt, image) for image in (*images, None) for prompt in prompts]
    plain = [GenerationRequest(prompt, image, seed) for seed, (prompt, image) in enumerate(asked)]
    return [*plain, GenerationRequest("Write a question.", images[0], 9, "Question:")]


def generator_for(tmp_path: Path, *servers: Server, **options: Any) -> ServedGenerator:
    urls = [server.url for server in servers]
    return ServedGenerator(urls, "base", handover=str(tmp_path), **options)


def test_texts_are_those_of_our_engine(
    server: Server, trained: HuggingFaceLVLM, requests: list[GenerationRequest], tmp_path: Path
) -> None:
    generator, shown, kept = generator_for(tmp_path, server), list[int](), dict[int, list[str]]()
    own = trained.generate(requests, SAMPLING)
    with generator.serving(trained), generator.serving(trained):
        assert generator.generate(requests, SAMPLING, None, shown.append, kept.__setitem__) == own
        assert generator.fingerprint == trained.fingerprint
    assert kept == dict(enumerate(own))
    assert sum(shown) == 2 * len(requests)
    with trained.reference():
        of_base = trained.generate(requests, SAMPLING)
        with generator.serving(trained):
            assert generator.generate(requests, SAMPLING) == of_base
    assert own != of_base
    sent = [body for body in server.asked(CHAT) if body.get("prompt_logprobs") is None]
    adapters = [body["model"] for body in sent[: len(requests)]]
    assert set(adapters) == {adapters[0]}
    assert adapters[0].startswith("c3l-")
    assert {body["model"] for body in sent[len(requests) :]} == {"base"}
    assert server.is_sleeping


def test_greedy_texts_and_equal_seeds(server: Server, trained: HuggingFaceLVLM, tmp_path: Path) -> None:
    generator, image = generator_for(tmp_path, server), pictures(1)[0]
    same = [GenerationRequest("Where?", image, seed) for seed in (3, 3, 4)]
    with generator.serving(trained):
        greedy = generator.generate(same, Sampling(1, 8, 0.0))
        first, again, other = generator.generate(same, SAMPLING)
    assert greedy == trained.generate(same, Sampling(1, 8, 0.0))
    assert first == again != other


def test_servers_are_told_what_ends_a_completion_and_what_is_never_sampled(
    server: Server, trained: HuggingFaceLVLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, options, image = generator_for(tmp_path, server), trained.request_options(), pictures(1)[0]
    request, greedy = [GenerationRequest("Where?", image)], Sampling(1, 6, 0.0)
    row = plain(trained, "Where?", "a red circle", image)
    first, second = row.logits[row.start - 1].argsort(descending=True)[:2].tolist()
    with generator.serving(trained):
        assert generator.generate(request, greedy) != [[""]]
        # the stand-in itself knows neither of the two
        for ends, forbidden in (((first,), ()), ((second,), (first,))):
            changed = replace(options, end_ids=ends, forbidden_ids=forbidden)
            monkeypatch.setattr(trained, "request_options", lambda changed=changed: changed)
            assert generator.generate(request, greedy) == [[""]]


def test_faults_lose_and_repeat_nothing(
    server: Server, trained: HuggingFaceLVLM, requests: list[GenerationRequest], tmp_path: Path
) -> None:
    generator, count = generator_for(tmp_path, server, concurrency=3, retries=12), Counter[int]()
    with generator.serving(trained):
        server.faults.answers = deque(["ok", "429", "500", "503", "cut", "garbage", "html", "empty", "fewer", "null"])
        texts = generator.generate(requests, SAMPLING, finished=lambda index, _: count.update([index]))
        assert not server.faults.answers
    assert texts == trained.generate(requests, SAMPLING)
    assert count == Counter(range(len(requests)))


def test_a_server_that_was_started_again_gets_the_adapter_again(
    server: Server, trained: HuggingFaceLVLM, requests: list[GenerationRequest], tmp_path: Path
) -> None:
    generator, count = generator_for(tmp_path, server, concurrency=2), Counter[int]()

    def restart(index: int, _: list[str]) -> None:
        count.update([index])
        if sum(count.values()) == 4:
            server.restart()

    with generator.serving(trained):
        assert generator.generate(requests, SAMPLING, finished=restart) == trained.generate(requests, SAMPLING)
        assert len(server.adapters) == 1
    assert count == Counter(range(len(requests)))
    loads = [body["lora_name"] for body in server.asked("/v1/load_lora_adapter")]
    assert len(loads) == 2
    assert loads[0] == loads[1]


def test_a_server_that_was_started_again_gets_all_weights_again(
    server: Server, requests: list[GenerationRequest], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    lvlm, generator = load_tiny(tiny_checkpoint, None), generator_for(tmp_path, server, concurrency=1)
    with torch.no_grad():
        for parameter in lvlm.model.get_decoder().layers.parameters():
            parameter.mul_(1.5)
    finished = list[int]()

    def restart(index: int, _: list[str]) -> None:
        finished.append(index)
        if len(finished) == 4:
            server.die()
            server.revive()
            for one in generator._asked:
                one.seen_at -= 60  # a start takes longer than this one

    own = lvlm.generate(requests, SAMPLING)
    with lvlm.reference():
        assert lvlm.generate(requests, SAMPLING) != own
    with generator.serving(lvlm):
        # a restart gives the base back under the same name
        assert generator.generate(requests, SAMPLING, finished=restart) == own
    assert sorted(finished) == list(range(len(requests)))
    assert {body["model"] for body in server.asked(CHAT)} == {"base"}


def test_several_servers_share_the_work(
    server: Server, trained: HuggingFaceLVLM, requests: list[GenerationRequest], tmp_path: Path, tiny_checkpoint: Path
) -> None:
    with serve(tiny_checkpoint) as second:
        generator = generator_for(tmp_path, server, second, concurrency=4)
        with generator.serving(trained):
            server.requests.clear()
            second.requests.clear()
            assert generator.generate(requests, SAMPLING) == trained.generate(requests, SAMPLING)
        asked = [len(one.asked(CHAT)) for one in (server, second)]
    assert sum(asked) == len(requests)
    assert min(asked) > 0


def test_another_chat_template_is_named(server: Server, trained: HuggingFaceLVLM, tmp_path: Path) -> None:
    generator, kept = generator_for(tmp_path, server), list[int]()
    request = GenerationRequest("Where?", pictures(1)[0])
    with generator.serving(trained):
        server.faults.other_template = True
        with pytest.raises(LVLMError, match=r"other tokens than this process.*chat template"):
            generator.generate([request], SAMPLING, finished=lambda index, _: kept.append(index))
    assert kept == []


def test_plain_chat_generates_with_the_base_alone(
    server: Server, requests: list[GenerationRequest], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    lvlm, generator = load_tiny(tiny_checkpoint, awake=False), generator_for(tmp_path, server, api="openai")
    with generator.serving(lvlm):
        assert generator.generate(requests, SAMPLING) == lvlm.generate(requests, SAMPLING)
    assert {request.path for request in server.requests} == {CHAT}
    assert generator.identity() == {"generator": "openai base", "generator_dtype": "unknown"}
    awaken_adapter(lvlm)
    with pytest.raises(LVLMError, match=r"generator\.api: openai.*has been trained"), generator.serving(lvlm):
        pass
    with lvlm.reference(), generator.serving(lvlm):
        pass


def test_what_else_is_asked_of_a_generator(server: Server, trained: HuggingFaceLVLM, tmp_path: Path) -> None:
    generator = generator_for(tmp_path, server, concurrency=8)
    assert generator.identity() == {"generator": "vllm 0.32.0 base", "generator_dtype": "float32"}
    server.faults.hides_config = True
    assert generator.identity() == {"generator": "vllm 0.32.0 base", "generator_dtype": "unknown"}
    assert generator.requests_at_once == 16
    assert not generator.network.state_dict()
    with pytest.raises(RuntimeError, match="only inside `serving`"):
        generator.generate([GenerationRequest("a")], SAMPLING)
    with (
        generator.serving(trained),
        trained.reference(),
        pytest.raises(RuntimeError, match="serves other weights already"),
        generator.serving(trained),
    ):
        pass
    with generator.serving(trained), generator.cache_image_features():
        assert generator.unsupported_images(pictures(2)) == ["", ""]
        assert (generator.dtype, generator.chat_template) == (trained.dtype, trained.chat_template)
        assert generator.generate([], SAMPLING) == []


def test_mistakes_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LVLMError, match="must begin with http"):
        ServedGenerator("localhost:8000", "base")
    with pytest.raises(LVLMError, match=r"generator\.model: is empty"):
        ServedGenerator("http://localhost:8000", "")
    with pytest.raises(TypeError, match="temperature"):
        ServedGenerator("http://localhost:8000", "base", temperature=1)
    monkeypatch.setenv("OPENAI_API_KEY", "a\nb")
    with pytest.raises(LVLMError, match="OPENAI_API_KEY contains characters"):
        ServedGenerator("http://localhost:8000", "base")
