"""The requests of one call, answered by a server that is played here."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.lvlm.base import GenerationRequest, LVLMError, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.served import batch as batches
from lightning_c3l.lvlm.served.batch import RequestBatch
from lightning_c3l.lvlm.served.client import ChatJob
from tests.helpers.tiny import load_tiny, model_inputs, pictures

SAMPLING = Sampling(samples=2, max_new_tokens=8)


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


def body_of(job: ChatJob) -> dict[str, Any]:
    return asyncio.run(job.body())  # type: ignore[arg-type]


def answer(row: tuple[int, ...], *texts: str) -> dict[str, Any]:
    choices = [
        {"index": index, "message": {"content": text}, "finish_reason": "stop"} for index, text in enumerate(texts)
    ]
    return {"prompt_token_ids": list(row), "choices": choices}


def processor_row(lvlm: HuggingFaceLVLM, request: GenerationRequest) -> tuple[int, ...]:
    ids = model_inputs(lvlm.processor, [("user", request.prompt)], request.image)["input_ids"]
    return tuple(ids[0].tolist())


def test_bodies_and_answers(lvlm: HuggingFaceLVLM) -> None:
    image = pictures(1)[0]
    requests = [GenerationRequest("Where?", image, seed=5), GenerationRequest("What?", seed=6)]
    shown, kept = list[int](), dict[int, list[str]]()
    batch = RequestBatch(lvlm, requests, SAMPLING, True, shown.append, kept.__setitem__)
    jobs = batch.jobs("adapter")
    bodies = [body_of(job) for job in jobs]
    assert [(body["model"], body["seed"], body["n"], body["return_token_ids"]) for body in bodies] == [
        ("adapter", 5, 2, True),
        ("adapter", 6, 2, True),
    ]
    assert [len(body["messages"][0]["content"]) for body in bodies] == [2, 1]
    jobs[1].accept("u", answer(processor_row(lvlm, requests[1]), "c", "d"))
    assert (shown, kept) == ([2], {1: ["c", "d"]})
    with pytest.raises(LVLMError, match="other tokens than this process"):
        jobs[0].accept("u", answer(processor_row(lvlm, requests[1]), "a", "b"))
    jobs[0].accept("u", answer(processor_row(lvlm, requests[0]), "a", "b"))
    assert (shown, kept) == ([2, 2], {0: ["a", "b"], 1: ["c", "d"]})
    assert batch.completions == kept


def test_images_are_encoded_and_preprocessed_once(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, preprocessed = list[Any](), list[Any]()
    url, encode = batches.data_url, lvlm.images.encode
    monkeypatch.setattr(batches, "data_url", lambda image: encoded.append(id(image)) or url(image))
    monkeypatch.setattr(lvlm.images, "encode", lambda images: preprocessed.extend(map(id, images)) or encode(images))
    images = pictures(2)
    requests = [GenerationRequest(prompt, image) for image in images for prompt in ("Where?", "What?", "Who?")]
    batch = RequestBatch(lvlm, requests, SAMPLING, True, print, print)
    for job in batch.jobs("m"):
        body_of(job)
    for job in batch.jobs("m"):
        body_of(job)
    assert encoded == preprocessed == [id(image) for image in images]


def test_plain_chat_compares_nothing(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lvlm.images, "encode", None)
    batch = RequestBatch(lvlm, [GenerationRequest("Where?", pictures(1)[0])], SAMPLING, False, print, print)
    (job,) = batch.jobs("m")
    assert "return_token_ids" not in body_of(job)
    job.accept("u", {"choices": answer((), "a", "b")["choices"]})
    assert batch.completions == {0: ["a", "b"]}
