"""Where a checkpoint is: in a folder, in the Hub's cache, or on the Hub, which answers within seconds or not at all.

Nothing here imports PyTorch or transformers, so that a wrong path is told at once.
"""

import os
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
)

from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.lvlm.load_errors import one_line

# timeout of the Hub's first answer; HF_HUB_ETAG_TIMEOUT allows for slower connections
_HUB_SECONDS = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or 5)
# HTTP status from which on a server, or a proxy before it, cannot answer; transformers would ask again and again
_SERVER_ERROR = 500
_SCENES = Path(__file__).resolve().parents[1] / "scenes"
# checkpoints that come with this package, by their name in experiment files
_SHIPPED = {"shipped:scenes": _SCENES / "base", "shipped:park": _SCENES / "park" / "base"}
GGUF = "GGUF weights, which are quantised for llama.cpp; take the checkpoint that they were made from"


def resolve(path: str) -> str:
    """Folder or Hub name of a checkpoint, given one of these or a `shipped:` name; `~` is the home folder."""
    return str(_SHIPPED.get(path) or os.path.expanduser(path))


def require_reachable(path: str) -> None:
    """Check within seconds that there is such a checkpoint; what it is, and the base of an adapter, show on loading.

    Args:
        path: folder of a checkpoint or of an adapter, Hub name, or `shipped:` name.

    Raises:
        LVLMError: if it is neither on this disk nor on the Hub.
    """
    path = resolve(path)
    if not (Path(path) / "adapter_config.json").is_file():
        is_cached_only(path)


def is_cached_only(path: str) -> bool:
    """Whether a checkpoint has been downloaded before, while the Hub cannot be reached now or does not give it.

    transformers requests each file from the Hub, with retries, and takes minutes to notice that there is no answer. One
    request with a short timeout decides here; downloads keep their own timeouts.

    Args:
        path: folder or Hub name.

    Raises:
        LVLMError: if there is no such checkpoint on this disk, and the Hub has none, does not give it to this user, or
            cannot be reached.
    """
    if not path:
        raise LVLMError("the path of the checkpoint is empty; give a folder or a name on the Hub")
    if Path(path).exists():
        _require_folder(Path(path))
        return False
    try:
        cached = try_to_load_from_cache(path, "config.json")
    except HFValidationError as error:
        hint = "; a name there is OWNER/NAME alone" if "://" in path else ""
        if path.startswith("shipped:"):
            raise LVLMError(f"{path}: does not come with the package; known are {', '.join(_SHIPPED)}") from error
        raise LVLMError(
            f"{path}: no such folder{_alike(path)}, and not a valid name of a model on the Hub{hint}"
        ) from error
    problem = _answer(path)
    refusal = _refusal(path, problem)
    # a download goes on after other answers, such as that of a name that has moved
    is_answered = isinstance(problem, HfHubHTTPError) and problem.response.status_code < _SERVER_ERROR
    if problem is None or (is_answered and not refusal):
        return False
    if isinstance(cached, str):
        return True
    if refusal:
        raise LVLMError(f"{path}: {refusal}") from problem
    raise LVLMError(
        f"{path}: no such folder{_alike(path)}, not downloaded before, and {ENDPOINT} cannot be reached: "
        f"{one_line(problem)}"
    )


def _require_folder(path: Path) -> None:
    """Refuse what is no folder with a configuration, and say what it is instead, as far as that shows."""
    if (path / "config.json").is_file():
        return
    if not path.is_dir():
        raise LVLMError(f"{path}: is a file; give the folder of a checkpoint, which holds config.json")
    problem = "no config.json in this folder, so it is not a model checkpoint"
    # of a run, of the Hub's cache, or one level too high
    inner = [file.parent for name in ("*", "*/*") for file in sorted(path.glob(f"{name}/*config.json"))]
    inner = [one for one in inner if (one / "config.json").is_file() or (one / "adapter_config.json").is_file()]
    if (path / "model_index.json").is_file():
        problem += "; it is a diffusion pipeline"
    elif any(path.glob("*.gguf")):
        problem += f"; it has {GGUF}"
    elif inner:
        problem += f"; did you mean {inner[0]}?"
    raise LVLMError(f"{path}: {problem}")


@cache
def _answer(name: str) -> Exception | None:
    """Why the Hub does not give a checkpoint's configuration; None if it does. A run asks once."""
    if HF_HUB_OFFLINE:
        return OSError("HF_HUB_OFFLINE is set")
    url = hf_hub_url(name, "config.json")
    return _within(_HUB_SECONDS, lambda: get_hf_file_metadata(url, timeout=_HUB_SECONDS))


def _refusal(path: str, answer: Exception | None) -> str:
    """What the Hub's answer means where it has no such checkpoint for this user; empty where it has one."""
    if isinstance(answer, GatedRepoError):
        return f"is gated: accept its terms at {ENDPOINT}/{path}, then `hf auth login`"
    if isinstance(answer, RepositoryNotFoundError):
        return f"no such folder{_alike(path)}, and no such model on the Hub; a private one needs `hf auth login`"
    if isinstance(answer, EntryNotFoundError):
        return (
            "has no config.json on the Hub, so it is no checkpoint of transformers; an adapter is downloaded first "
            f"(hf download {path} --local-dir FOLDER) and given as a folder"
        )
    return ""


def _alike(path: str) -> str:
    """A hint at a folder beside it with nearly the same name."""
    folder = Path(path)
    if not folder.parent.is_dir():
        return ""
    try:
        names = {one.name.lower(): one.name for one in folder.parent.iterdir() if one.is_dir()}
    except OSError:
        return ""
    close = get_close_matches(folder.name.lower(), names, 1, 0.8)
    return f" (did you mean {folder.parent / names[close[0]]}?)" if close else ""


def _within(seconds: float, request: Callable[[], object]) -> Exception | None:
    """The error of a request, None if it succeeds; a silent name server would outlast the request's own timeout."""
    ended = SimpleQueue[Exception | None]()

    def attempt() -> None:
        try:
            request()
            ended.put(None)
        except Exception as error:
            ended.put(error)

    Thread(target=attempt, daemon=True).start()
    try:
        return ended.get(timeout=seconds + 0.5)
    except Empty:
        return TimeoutError(f"no answer within {seconds:g} seconds")
