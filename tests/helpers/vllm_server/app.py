"""The routes of the stand-in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.helpers.vllm_server.chat import BadRequest, ChatEndpoint
from tests.helpers.vllm_server.engine import adapter_problem
from tests.helpers.vllm_server.faulty import Cut, Hang, spoilt
from tests.helpers.vllm_server.state import Request, ServerState

_OTHER_CACHES = ("/reset_encoder_cache", "/reset_mm_cache")
_DEV_ROUTES = (
    "/sleep",
    "/wake_up",
    "/is_sleeping",
    "/reset_prefix_cache",
    "/collective_rpc",
    "/server_info",
    *_OTHER_CACHES,
)


def error(status: int, message: str, kind: str, parameter: str | None = None) -> JSONResponse:
    """An error as vLLM words it."""
    return JSONResponse({"error": {"message": message, "type": kind, "param": parameter, "code": status}}, status)


class Routes:
    """What each route does.

    Args:
        state: of the server.
        drop_connections: breaks all connections.
        die: ends the server.
    """

    def __init__(self, state: ServerState, drop_connections: Callable[[], None], die: Callable[[], None]) -> None:
        self.state, self.drop_connections, self.die = state, drop_connections, die
        self.chat = ChatEndpoint(state)

    def app(self) -> Any:
        """The ASGI application."""
        posts = {
            "/v1/chat/completions": self.completions,
            "/v1/load_lora_adapter": self.load,
            "/v1/unload_lora_adapter": self.unload,
            "/sleep": self.sleep,
            "/wake_up": self.wake_up,
            "/reset_prefix_cache": self.reset,
            **dict.fromkeys(_OTHER_CACHES, self.done),
            "/collective_rpc": self.call,
        }
        gets = {
            "/v1/models": self.models,
            "/version": self.version,
            "/health": self.health,
            "/is_sleeping": self.is_sleeping,
            "/server_info": self.info,
        }
        routes = [
            *(Route(path, self._noted(path, own), methods=["POST"]) for path, own in posts.items()),
            *(Route(path, self._noted(path, own), methods=["GET"]) for path, own in gets.items()),
        ]
        return Starlette(routes=routes, exception_handlers={404: _no_route})

    def _noted(self, path: str, answer: Any) -> Any:
        async def noted(request: HTTPRequest) -> Response:
            body = json.loads(await request.body() or b"{}")
            key = request.headers.get("authorization", "")
            self.state.requests.append(Request(request.method, path, str(request.url.query), body, key))
            faults = self.state.faults
            if faults.api_key is not None and path.startswith("/v1") and key != f"Bearer {faults.api_key}":
                return JSONResponse({"error": "Unauthorized"}, 401)
            if path in _DEV_ROUTES and not faults.dev_mode:
                return _no_route()
            if path.endswith("_lora_adapter") and not faults.loads_adapters:
                return _no_route()
            try:
                return await answer(body if request.method == "POST" else request)  # type: ignore[no-any-return]
            except BadRequest as problem:
                return error(400, str(problem), "BadRequestError", problem.parameter)
            except Exception as problem:
                return error(500, f"{type(problem).__name__}: {problem}", "InternalServerError")

        return noted

    async def completions(self, body: dict[str, Any]) -> Response:
        """Answer a chat request, or do something else, as the faults say."""
        state, kind = self.state, "ok"
        if body.get("prompt_logprobs") is None:
            state.completions += 1
            if self._breaks():
                return Hang()
            kind = state.faults.answers.popleft() if state.faults.answers else "ok"
        if kind == "hang":
            return Hang()
        if kind in ("429", "500", "502", "503"):
            return _refusal(int(kind), state.faults.retry_after)
        model = str(body.get("model"))
        if not state.is_served(model):
            message = f"The model `{model}` does not exist. Valid aliases: {state.name}."
            return error(404, message, "NotFoundError", "model")
        if state.is_sleeping or state.is_lost:
            return error(500, "EngineCore is asleep", "InternalServerError")
        with state.busy(model):
            answer = JSONResponse(await self.chat.answer(body))
        return Cut(answer.body) if kind == "cut" else spoilt(answer, kind)

    def _breaks(self) -> bool:
        """Whether the server dies or restarts now."""
        state, faults = self.state, self.state.faults
        if faults.dies_after is not None and state.completions > faults.dies_after:
            self.die()
            return True
        if faults.restarts_after is not None and state.completions > faults.restarts_after:
            faults.restarts_after = None
            state.forget()
            self.drop_connections()
            return True
        return False

    async def load(self, body: dict[str, Any]) -> Response:
        """Load an adapter."""
        name, folder, state = str(body["lora_name"]), str(body["lora_path"]), self.state
        if name == state.name:
            return error(400, f"The lora adapter '{name}' conflicts with a served base model.", "InvalidUserInput")
        if name in state.adapters and not body.get("load_inplace"):
            text = f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set"
            return error(400, f"{text} 'load_inplace' to True.", "InvalidUserInput")
        if not (Path(folder) / "adapter_config.json").is_file():
            return error(404, f"Loading lora {name} failed: No adapter found for {folder}", "NotFoundError")
        if problem := adapter_problem(Path(folder), state.faults.max_lora_rank):
            return error(500, problem, "InternalServerError")
        state.load(name, folder)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, body: dict[str, Any]) -> Response:
        """Unload an adapter."""
        name = str(body["lora_name"])
        if name not in self.state.adapters:
            return error(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        self.state.unload(name)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def sleep(self, body: dict[str, Any]) -> Response:
        """Give memory back: the prefix cache goes, at level 2 the weights too."""
        level = 2 if "level=2" in self.state.requests[-1].query else 1
        self.state.is_sleeping, self.state.is_lost = True, level == 2
        self.state.cached.clear()
        return JSONResponse({"status": "sleeping", "level": level})

    async def wake_up(self, body: dict[str, Any]) -> Response:
        """Take memory again."""
        self.state.is_sleeping = False
        return JSONResponse({"status": "awake", "tags": None})

    async def reset(self, body: dict[str, Any]) -> Response:
        """Empty the prefix cache, unless requests need it."""
        done = not any(self.state.in_flight.values())
        if done:
            self.state.cached.clear()
        return JSONResponse({"success": done})

    async def done(self, body: dict[str, Any]) -> Response:
        """Nothing: there is no such cache."""
        return Response(status_code=200)

    async def call(self, body: dict[str, Any]) -> Response:
        """Call a method of the workers; they have `reload_weights` alone."""
        if body.get("method") != "reload_weights":
            return error(400, "Missing 'method' in request body", "Bad Request")
        self.state.reload(str((body.get("kwargs") or {})["weights_path"]))
        return JSONResponse({"results": [None]})

    async def models(self, request: HTTPRequest) -> Response:
        """The base and the adapters."""
        state = self.state
        base = {"id": state.name, "root": state.checkpoint, "parent": None}
        loaded = [{"id": name, "root": folder, "parent": state.name} for name, folder in state.adapters.items()]
        lengths = [state.weights.max_model_len, *(None for _ in loaded)]
        cards = [
            {**one, "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": length, "permission": []}
            for one, length in zip([base, *loaded], lengths, strict=True)
        ]
        return JSONResponse({"object": "list", "data": cards})

    async def version(self, request: HTTPRequest) -> Response:
        """Version of vLLM."""
        return JSONResponse({"version": self.state.faults.version})

    async def health(self, request: HTTPRequest) -> Response:
        """Say that the server lives."""
        return Response(status_code=200)

    async def info(self, request: HTTPRequest) -> Response:
        """Its configuration, of which one entry tells a start of the server from another."""
        if self.state.faults.hides_config:
            raise AttributeError("'NoneType' object has no attribute 'splitlines'")
        config = {"instance_id": self.state.instance_id, "model_config": {"dtype": self.state.dtype}}
        return JSONResponse({"vllm_config": config if "config_format=json" in request.url.query else str(config)})

    async def is_sleeping(self, request: HTTPRequest) -> Response:
        """Whether it sleeps."""
        return JSONResponse({"is_sleeping": self.state.is_sleeping})


def _no_route(*_: object) -> Response:
    return JSONResponse({"detail": "Not Found"}, 404)


def _refusal(status: int, retry_after: float) -> Response:
    """A server, or a proxy before it, that is too busy or broken."""
    kind = {429: "RateLimitError", 500: "InternalServerError", 502: "BadGateway", 503: "ServiceUnavailableError"}[
        status
    ]
    response = error(status, f"provoked {status}", kind)
    if status == 429:
        response.headers["retry-after"] = str(retry_after)
    return response
