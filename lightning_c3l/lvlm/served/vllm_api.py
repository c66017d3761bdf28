"""vLLM's endpoints beside generation: its version, adapters, weights, sleep, and log-probabilities of given answers."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import httpx

from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.runs.endpoints import NO_KEY_STATUSES, innermost, mounts, quotable
from lightning_c3l.runs.manifest import UNKNOWN

# bytes of a reply that are read: one entry for each of a hundred thousand prompt tokens
_MOST_BYTES = 32 << 20
# a server that is busy or starts again; 500 is an error of its own
_PASSING = {429, 502, 503, 504}
_LONGEST_PAUSE = 60.0
# seconds until a connection is there
_CONNECT = 10.0
_HOW_TO_START = "start a server with `make serve-vllm MODEL=...`"
_LOADING = (
    "the server must run with --enable-lora, --max-lora-rank of at least lora.rank and "
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and see the folder of generator.handover under the same path"
)
_RELOADING = (
    "for full fine-tuning the server must run with VLLM_SERVER_DEV_MODE=1 and see the folder of generator.handover "
    "under the same path; restart it, since it may have lost its weights"
)


class ServerError(LVLMError):
    """A server cannot be reached, or refuses a request.

    Attributes:
        status: HTTP status; None without a reply.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class PromptLogprobs:
    """What a server says of a conversation that it is given.

    Attributes:
        ids: tokens that it reads, image tokens included.
        logp: log-probability of each of them given those before it; NaN where it gives none.
    """

    ids: tuple[int, ...]
    logp: tuple[float, ...]


class VLLMServer:
    """One server of vLLM.

    Args:
        url: its address, without `/v1`.
        api_key: sent with each request; shown nowhere.
        timeout: seconds that one request may take.
        retries: times that a failed request is sent again.
    """

    def __init__(self, url: str, api_key: str, timeout: float, retries: int) -> None:
        self.url, self._key, self._timeout, self._retries = url, api_key, timeout, retries

    @cached_property
    def _client(self) -> httpx.Client:
        # on first use, so that a module with a generator can be copied and sent to other processes before
        return httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"},
            mounts=mounts(self.url),
            timeout=httpx.Timeout(self._timeout, connect=min(_CONNECT, self._timeout)),
            # after an error of its own, or a restart, vLLM closes connections without saying so
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def version(self) -> str:
        """Version of vLLM.

        Raises:
            ServerError: if the server does not say.
        """
        found = self._send("GET", "/version")
        if isinstance(found, dict) and (version := quotable(found.get("version"), self._key)):
            return version
        raise ServerError(f"{self.url}: is no vLLM (GET /version gives no version); set api: openai for other servers")

    def dtype(self) -> str:
        """Precision of the weights, such as "bfloat16"; `UNKNOWN` if the server does not say.

        vLLM says it in development mode only, and 0.32 only if pip or uv can list the packages of its environment.
        """
        try:
            found = self._send("GET", "/server_info?config_format=json")
        except ServerError:
            return UNKNOWN
        for name in ("vllm_config", "model_config", "dtype"):
            found = found.get(name) if isinstance(found, dict) else None
        return quotable(found, self._key).removeprefix("torch.") or UNKNOWN

    def models(self) -> dict[str, str]:
        """Folder, or name, of each model and adapter that requests can name."""
        found = self._send("GET", "/v1/models")
        entries = found.get("data") if isinstance(found, dict) else None
        if not isinstance(entries, list):
            raise ServerError(f"{self.url}/v1/models: lists no models; is this a vLLM server?")
        return {str(one["id"]): str(one.get("root")) for one in entries if isinstance(one, dict) and "id" in one}

    def load_adapter(self, name: str, folder: Path) -> None:
        """Serve an adapter; nothing happens if one of this name is served already.

        Args:
            name: that requests give as their model.
            folder: the server must see it under the same path.
        """
        if name in self.models():
            return
        body = {"lora_name": name, "lora_path": str(folder)}
        try:
            self._send("POST", "/v1/load_lora_adapter", body)
        except ServerError as error:
            # another process may have been faster
            if error.status != 400 or name not in self.models():
                raise ServerError(f"{error}; {_LOADING}", error.status) from error

    def unload_adapter(self, name: str) -> None:
        """Stop serving an adapter; nothing happens if it is not served."""
        try:
            self._send("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        except ServerError as error:
            if error.status != 404:
                raise

    def reload_weights(self, source: str) -> None:
        """Replace all weights, and forget what was computed with the old ones.

        Args:
            source: folder of a checkpoint in the Hub's layout, which the server sees under the same path, or a name.
        """
        body = {"method": "reload_weights", "kwargs": {"weights_path": source}}
        try:
            self._send("POST", "/collective_rpc", body)
            # the image features too: vLLM 0.32 dies if it is asked for those that the workers have dropped
            for cache in ("encoder", "prefix"):
                self._send("POST", f"/reset_{cache}_cache")
        except ServerError as error:
            raise ServerError(f"{error}; {_RELOADING}", error.status) from error

    def is_sleeping(self) -> bool | None:
        """Whether the server sleeps; None if it cannot."""
        try:
            found = self._send("GET", "/is_sleeping")
        except ServerError as error:
            if error.status not in (404, 405, 501):
                raise
            return None
        return bool(found.get("is_sleeping")) if isinstance(found, dict) else None

    def sleep(self) -> None:
        """Give the GPU's memory back; the weights are kept in the CPU's."""
        self._send("POST", "/sleep?level=1")

    def wake_up(self) -> None:
        """Take the GPU's memory again."""
        self._send("POST", "/wake_up")

    def prompt_logprobs(self, model: str, body: dict[str, Any]) -> PromptLogprobs:
        """Log-probabilities of the tokens of a conversation.

        Args:
            model: name of the base or of an adapter.
            body: the conversation as the chat endpoint takes it.

        Raises:
            ServerError: if the server gives none.
        """
        more = {"max_tokens": 1, "temperature": 0, "prompt_logprobs": 0, "return_token_ids": True}
        reply = self._send("POST", "/v1/chat/completions", {**body, **more, "model": model})
        try:
            ids = tuple(int(token) for token in reply["prompt_token_ids"])
            entries = zip(ids, reply["prompt_logprobs"], strict=True)
            logp = tuple(float(entry[str(token)]["logprob"]) if entry else float("nan") for token, entry in entries)
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise ServerError(
                f"{self.url}: gives no log-probabilities and tokens of a prompt, which the check of the weights needs; "
                "is it vLLM 0.12 or later? set api: openai to generate with the weights that another server has"
            ) from error
        if any(not isfinite(value) for value in logp[1:]):
            raise ServerError(f"{self.url}: gives log-probabilities of a prompt that are no finite numbers")
        return PromptLogprobs(ids, logp)

    def _send(self, method: str, route: str, body: dict[str, Any] | None = None) -> Any:
        """The reply as JSON, or as text where it is none; a failed request is sent again.

        Every request of this class may be sent twice.
        """
        for attempt in range(self._retries + 1):
            if attempt:
                time.sleep(min(2.0 ** (attempt - 1), _LONGEST_PAUSE))
            try:
                return self._send_once(method, route, body)
            except ServerError as error:
                if attempt == self._retries or not (error.status is None or error.status in _PASSING):
                    raise
        raise AssertionError("unreachable")

    def _send_once(self, method: str, route: str, body: dict[str, Any] | None) -> Any:
        where, deadline = f"{self.url}{route.partition('?')[0]}", time.monotonic() + self._timeout
        late = f"{where}: no answer within {self._timeout:g} s (generator.timeout)"
        try:
            with self._client.stream(method, self.url + route, json=body) as reply:
                content = bytearray()
                for piece in reply.iter_bytes():
                    content += piece
                    if len(content) > _MOST_BYTES:
                        raise ServerError(f"{where}: answers with more than {_MOST_BYTES >> 20} MiB")
                    # the client's own limit is for each piece of an answer
                    if time.monotonic() > deadline:
                        raise ServerError(late)
        except httpx.TimeoutException as error:
            raise ServerError(late) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServerError(f"{where}: cannot be reached ({innermost(error, self._key)}); {_HOW_TO_START}") from error
        found, status = _parsed(content), reply.status_code
        if status in NO_KEY_STATUSES:
            # what it says may contain the key
            raise ServerError(f"{where}: refuses the key (HTTP {status}); see generator.api_key_env", status)
        if not reply.is_success:
            raise ServerError(f"{where}: {status} {quotable(_message(found), self._key)}".strip(), status)
        return found


class VLLMServers:
    """The servers that a process asks.

    Args:
        urls: their addresses.
        api_key: sent with each request.
        timeout: seconds that one request may take.
        retries: times that a failed request is sent again.
    """

    def __init__(self, urls: Sequence[str], api_key: str, timeout: float, retries: int = 2) -> None:
        self._servers = {url: VLLMServer(url, api_key, timeout, retries) for url in urls}

    @property
    def urls(self) -> list[str]:
        """Addresses of the servers."""
        return list(self._servers)

    def __iter__(self) -> Iterator[VLLMServer]:
        """The servers, in the order of their addresses."""
        return iter(self._servers.values())

    def __getitem__(self, url: str) -> VLLMServer:
        """The server at an address."""
        return self._servers[url]

    def version(self) -> str:
        """Version of vLLM, the same on all servers.

        Raises:
            LVLMError: if servers differ, since texts would depend on which of them is asked.
        """
        return _agreed("version of vLLM", {server.url: server.version() for server in self})

    def dtype(self) -> str:
        """Precision of the weights, the same on all servers; `UNKNOWN` if one does not say.

        Raises:
            LVLMError: as `version`.
        """
        found = {server.url: server.dtype() for server in self}
        agreed = _agreed("precision", {url: dtype for url, dtype in found.items() if dtype != UNKNOWN} or found)
        return UNKNOWN if UNKNOWN in found.values() else agreed


def _agreed(what: str, found: dict[str, str]) -> str:
    """What all servers say, by their address."""
    if len(set(found.values())) > 1:
        each = ", ".join(f"{url} has {value}" for url, value in found.items())
        raise LVLMError(f"generator.url: servers differ in their {what}: {each}; use one")
    return next(iter(found.values()))


def _parsed(content: bytearray) -> Any:
    """A reply as JSON, or as text."""
    text = content.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _message(found: Any) -> str:
    """What a server says is wrong."""
    inner = found.get("error", found) if isinstance(found, dict) else found
    return str(inner.get("message", inner.get("detail", "")) if isinstance(inner, dict) else inner)
