"""Answers that are none."""

import json
from typing import Any

from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send


class Hang(Response):
    """No answer, until the client goes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


class Cut(Response):
    """A connection that ends in the middle of the answer.

    Args:
        body: the whole answer.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__(body, media_type="application/json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        # uvicorn closes a connection whose answer is shorter than was said
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})


def spoilt(answer: Response, kind: str) -> Response:
    """An answer with a fault in it; as it is for "ok"."""
    whole: dict[str, Any] = json.loads(answer.body)
    if kind == "garbage":
        return Response(answer.body[: len(answer.body) // 2], media_type="application/json")
    if kind == "html":
        return HTMLResponse("<html><body>Welcome</body></html>")
    if kind == "empty":
        whole = {}
    elif kind == "fewer":
        whole["choices"].pop()
    elif kind == "null":
        whole["choices"][0]["message"]["content"] = None
    elif kind == "foreign":
        whole["prompt_token_ids"] = [7, 7, 7]
    else:
        return answer
    return Response(json.dumps(whole), media_type="application/json")
