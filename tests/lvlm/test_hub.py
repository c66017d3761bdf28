"""A checkpoint is found, or refused within seconds, wherever its name points to."""

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from lightning_c3l.lvlm import hub
from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from tests.helpers.commandline import ROOT, environment
from tests.helpers.tiny import load_tiny


@pytest.fixture(autouse=True)
def _asked_anew():
    """A run asks once for each name; each test has its own Hub."""
    hub._answer.cache_clear()
    yield
    hub._answer.cache_clear()


def refusal(path: str) -> str:
    with pytest.raises(LVLMError) as caught:
        HuggingFaceLVLM(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def unreachable(*_: object, **__: object) -> None:
    raise ConnectionError("nobody there")


def hanging(*_: object, **__: object) -> None:
    """As a name server that does not answer."""
    time.sleep(30)


@pytest.fixture
def cached(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache with one checkpoint, `some/tiny`."""
    folder = tmp_path / "models--some--tiny"
    shutil.copytree(tiny_checkpoint, folder / "snapshots" / "0123")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123")
    for module in ("huggingface_hub.constants", "huggingface_hub.file_download.constants"):
        monkeypatch.setattr(f"{module}.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("ask", "why"), [(unreachable, "nobody there"), (hanging, "no answer within 0.1 seconds")], ids=["closed", "silent"]
)
def test_a_hub_that_cannot_be_reached_is_one_line_at_once(ask, why, cached, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "get_hf_file_metadata", ask)
    monkeypatch.setattr(hub, "_HUB_SECONDS", 0.1)
    began = time.perf_counter()
    said = refusal("some/model")
    assert time.perf_counter() - began < 5
    assert said == f"some/model: no such folder, not downloaded before, and {hub.ENDPOINT} cannot be reached: {why}"
    # what was downloaded before is taken, without asking for each of its files
    assert hub.is_cached_only("some/tiny")
    assert (
        HuggingFaceLVLM("some/tiny", lora=None).hidden_size
        == load_tiny(cached / "models--some--tiny" / "snapshots" / "0123", None).hidden_size
    )


def test_without_the_hub_by_choice_the_same(cached, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: pytest.fail("the Hub was asked"))
    assert hub.is_cached_only("some/tiny")
    assert "cannot be reached: HF_HUB_OFFLINE is set" in refusal("some/model")


def test_a_download_that_was_cut_short(cached):
    snapshot = cached / "models--some--tiny" / "snapshots" / "0123"
    (snapshot / "model.safetensors").unlink()
    assert refusal("some/tiny") == (
        "some/tiny: is not downloaded in full, and the Hub cannot be reached; once it can: hf download some/tiny"
    )
    (snapshot / "processor_config.json").unlink()
    assert refusal("some/tiny").endswith("has no processor (such as processor_config.json); hf download some/tiny")


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("GatedRepo", 403, "is gated: accept its terms at {endpoint}/some/model, then `hf auth login`"),
        ("RepoNotFound", 404, "no such folder, and no such model on the Hub; a private one needs `hf auth login`"),
        ("EntryNotFound", 404, "has no config.json on the Hub, so it is no checkpoint of transformers"),
    ],
)
def test_what_the_hub_refuses(code, status, said, cached, monkeypatch):
    """As it answers, with the library's own reading of the answer."""
    with served(code, status, monkeypatch):
        assert said.format(endpoint=hub.ENDPOINT) in refusal("some/model")
        # what was downloaded while it could be had is taken
        assert hub.is_cached_only("some/tiny")


def test_a_server_that_cannot_answer_is_not_asked_again(cached, monkeypatch):
    """A proxy without a way out answers so too."""
    with served("", 503, monkeypatch):
        assert re.search("cannot be reached: .*503 Service Unavailable", refusal("some/model"))
        assert hub.is_cached_only("some/tiny")


@contextmanager
def served(code: str, status: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Hub that gives every request the same answer."""

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            endpoint = f"http://127.0.0.1:{server.server_address[1]}"
            monkeypatch.setattr(hub, "hf_hub_url", lambda name, file: f"{endpoint}/{name}/resolve/main/{file}")
            monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("some/folder/model", ": no such folder, and not a valid name of a model on the Hub"),
        ("https://huggingface.co/some/model", "Hub; a name there is OWNER/NAME alone"),
        ("shipped:parks", "shipped:parks: does not come with the package; known are shipped:scenes, shipped:park"),
        ("{tmp}/Checkpoint", ": no such folder (did you mean {tmp}/checkpoint?), and not a valid name"),
        ("~/chekpoint", "{tmp}/chekpoint: no such folder (did you mean {tmp}/checkpoint?), and not a valid name"),
        ("{tmp}/model.gguf", "is a file; give the folder of a checkpoint, which holds config.json"),
        ("{tmp}/runs", "so it is not a model checkpoint; did you mean {tmp}/runs/version_0/adapter?"),
        ("{tmp}/diffusion", "so it is not a model checkpoint; it is a diffusion pipeline"),
        ("{tmp}/gguf", "so it is not a model checkpoint; it has GGUF weights"),
        ("", "the path of the checkpoint is empty"),
    ],
)
def test_a_name_that_leads_nowhere(name, said, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for file in (
        "checkpoint/config.json",
        "model.gguf",
        "runs/version_0/adapter/adapter_config.json",
        "diffusion/model_index.json",
        "diffusion/unet/config.json",
        "gguf/model.gguf",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("{}")
    with pytest.raises(LVLMError) as caught:
        hub.require_reachable(name.format(tmp=tmp_path))
    assert said.format(tmp=tmp_path) in str(caught.value)


def test_a_checkpoint_below_the_home_folder(tiny_checkpoint, monkeypatch):
    """A shell leaves the ~ of `--model=~/base` and of an experiment file as it is."""
    monkeypatch.setenv("HOME", str(tiny_checkpoint.parent))
    lvlm = HuggingFaceLVLM(f"~/{tiny_checkpoint.name}", lora=None)
    assert lvlm.hidden_size == load_tiny(tiny_checkpoint, None).hidden_size


def test_what_else_the_hub_answers_is_left_to_the_download(cached, monkeypatch):
    with served("", 403, monkeypatch):
        assert not hub.is_cached_only("some/model")
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: None)
    assert not hub.is_cached_only("other/model")


@pytest.mark.slow
def test_a_run_without_a_network_ends_soon(tmp_path):
    """A real port, that refuses connections or takes them and says nothing."""
    words = [sys.executable, "-m", "lightning_c3l", "fit", "--config", str(ROOT / "experiments" / "demo.yaml")]
    words += ["--model.lvlm.path", "some/model", "--run.root", "runs"]
    seconds = list[float]()
    for is_silent in (False, True):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            if is_silent:
                server.listen(8)
            network = {"HF_ENDPOINT": f"http://127.0.0.1:{server.getsockname()[1]}", "HF_HOME": str(tmp_path)}
            env = {k: v for k, v in {**environment(), **network}.items() if k != "HF_HUB_OFFLINE"}
            began = time.perf_counter()
            done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
            seconds.append(time.perf_counter() - began)
        assert done.returncode == 2
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert line.startswith("error: some/model: no such folder, not downloaded before, and http://127.0.0.1:")
        assert not (tmp_path / "runs").exists()
    # the request takes 5 seconds at most, the rest is imports, whose time varies with what else the machine does;
    # transformers would ask again and again, for over two minutes
    assert seconds[1] - seconds[0] < 30
