"""An endpoint that speaks `/v1/chat/completions` on loopback and does what a script says."""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    """One answer: a chat completion with `text`, or what the other fields say.

    Attributes:
        text: what the judge says.
        status: of HTTP.
        headers: beside those that are needed.
        body: in place of a chat completion.
        hangs: no answer comes.
        drops: the connection ends in the middle of the answer.
    """

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    hangs: bool = False
    drops: bool = False


@dataclass(frozen=True)
class Request:
    """What was asked.

    Attributes:
        question: number of the question, by `question N?` in the prompt.
        time: how often it has been asked before.
        prompt: the whole message.
        body: the request.
        headers: its headers, names in small letters.
    """

    question: int
    time: int
    prompt: str
    body: dict[str, Any]
    headers: dict[str, str]


class Endpoint:
    """A bare ASGI application.

    Args:
        script: the answer to a request; may wait.
    """

    def __init__(self, script: Callable[[Request], Answer] | Callable[[Request], Awaitable[Answer]]) -> None:
        self._script = script
        self.requests: list[Request] = []
        self.at_once = self.most_at_once = 0
        self.url = ""

    @property
    def questions(self) -> list[int]:
        """Numbers of the questions that were asked."""
        return [request.question for request in self.requests]

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send
    ) -> None:
        assert scope["type"] == "http"
        assert (scope["method"], scope["path"]) == ("POST", "/v1/chat/completions")
        data, more = b"", True
        while more:
            part = await receive()
            data, more = data + part.get("body", b""), part.get("more_body", False)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = self._script(self._note(scope, json.loads(data)))
            answer = await answer if isinstance(answer, Awaitable) else answer
            if answer.hangs:
                while (await receive())["type"] != "http.disconnect":
                    pass
            else:
                await _send(answer, send)
        finally:
            self.at_once -= 1

    def _note(self, scope: dict[str, Any], body: dict[str, Any]) -> Request:
        [message] = body["messages"]
        number = int(re.findall(r"question (\d+)\?", message["content"])[0])
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        request = Request(number, self.questions.count(number), message["content"], body, headers)
        self.requests.append(request)
        return request


async def _send(answer: Answer, send: Send) -> None:
    body = completion(answer.text) if answer.body is None else answer.body
    headers = {"content-type": "application/json", "content-length": str(len(body)), **answer.headers}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    # uvicorn closes a connection whose answer is shorter than was said
    half = body[: len(body) // 2] if answer.drops else body
    await send({"type": "http.response.body", "body": half, "more_body": answer.drops})


def completion(text: str) -> bytes:
    """A chat completion as the protocol has it."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "any", "choices": [choice]}
    return json.dumps(whole).encode()


@contextmanager
def serving(script: Callable[[Request], Answer] | Callable[[Request], Awaitable[Answer]]) -> Iterator[Endpoint]:
    """Serve on a free port, in a thread, until the block ends."""
    app = Endpoint(script)
    listener = socket.create_server(("127.0.0.1", 0))
    app.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield app
    finally:
        server.should_exit = server.force_exit = True
        thread.join(60)
        listener.close()
