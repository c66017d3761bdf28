"""What is no LVLM is refused in one line that names it."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, loading
from lightning_c3l.lvlm.huggingface.loading import fingerprint, load_checkpoint
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.commandline import ROOT, environment
from tests.helpers.tiny import build_lookalike, load_tiny, pictures


def refusal(path: Path) -> str:
    with pytest.raises(LVLMError) as caught:
        HuggingFaceLVLM(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def copy(tiny_checkpoint: Path, tmp_path: Path, *without: str) -> Path:
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    for name in without:
        (tmp_path / "copy" / name).unlink()
    return tmp_path / "copy"


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "no config.json" in refusal(tmp_path)


def test_a_folder_without_processor(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert "processor" in refusal(copy(tiny_checkpoint, tmp_path, "processor_config.json"))


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("operator torchvision::nms does not exist", r"torchvision 9\.9 does not fit torch .* or uninstall it"),
        ("something else", "no usable processor: something else"),
    ],
)
def test_a_processor_that_cannot_be_imported(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, problem: str, said: str
) -> None:
    """torchvision's ordinary wheel beside a CPU build of torch has no operators."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(problem)

    monkeypatch.setattr(loading.AutoProcessor, "from_pretrained", broken)
    monkeypatch.setattr("lightning_c3l.lvlm.installation.version", lambda _: "9.9")
    assert re.search(said, refusal(tiny_checkpoint))


def test_a_folder_without_weights(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert "no vision-language model" in refusal(copy(tiny_checkpoint, tmp_path, "model.safetensors"))


def test_a_weight_that_is_missing_is_named(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """It would be random."""
    folder = copy(tiny_checkpoint, tmp_path)
    weights = load_file(folder / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("multi_modal_projector.linear_2.weight"))
    del weights[name]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "lacks 1 weights of its model, among them model.multi_modal_projector.linear_2.weight" in refusal(folder)


def test_a_weight_of_another_shape_is_one_line(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = copy(tiny_checkpoint, tmp_path)
    weights = load_file(folder / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("multi_modal_projector.linear_2.weight"))
    weights[name] = weights[name][:-1]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "no vision-language model could be loaded" in refusal(folder)


def test_a_folder_without_chat_template(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert "no chat template" in refusal(copy(tiny_checkpoint, tmp_path, "chat_template.jinja"))


def test_precision_is_that_of_the_weights_in_memory(tiny_checkpoint: Path) -> None:
    model, _ = load_checkpoint(str(tiny_checkpoint), "bfloat16", trust_remote_code=False)
    assert {str(p.dtype) for p in model.parameters()} == {"torch.bfloat16"}
    assert not model.training


def test_a_tokenizer_without_pad_token_is_used_as_one_that_has_one(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Images of different sizes are padded to one length, under a mask."""
    folder = copy(tiny_checkpoint, tmp_path)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text())
    assert config.pop("pad_token") == "<pad>"
    file.write_text(json.dumps(config))
    assert AutoTokenizer.from_pretrained(folder).pad_token is None
    pairs = [[("What color are the rings?", "red")], [("Where are the crosses?", "top left corner")]]
    scores = [score_pairs(load_tiny(one, None), pictures(2), pairs).logp_image for one in (folder, tiny_checkpoint)]
    assert torch.equal(*scores)


def test_a_fingerprint_sees_what_lies_between_the_ends_of_a_file(tiny_checkpoint: Path, tmp_path: Path) -> None:
    other = build_lookalike(tiny_checkpoint, tmp_path / "other")
    assert fingerprint(str(other)) != fingerprint(str(tiny_checkpoint))


def test_a_fingerprint_is_the_same_in_one_file_or_several(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model, _ = load_checkpoint(str(tiny_checkpoint), "float32", trust_remote_code=False)
    model.save_pretrained(tmp_path, max_shard_size="100kB")
    # files that transformers does not read do not count
    (tmp_path / "consolidated.safetensors").write_bytes(b"")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert fingerprint(str(tmp_path)) == fingerprint(str(tiny_checkpoint))


def test_a_downloaded_checkpoint_has_the_fingerprint_of_its_folder(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--some--name" / "snapshots" / ("0" * 40)
    shutil.copytree(tiny_checkpoint, snapshot)
    (tmp_path / "models--some--name" / "refs").mkdir()
    (tmp_path / "models--some--name" / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert fingerprint("some/name") == fingerprint(str(tiny_checkpoint))


def test_fingerprints_tell_weights_apart(tiny_checkpoint: Path, tmp_path: Path) -> None:
    same = copy(tiny_checkpoint, tmp_path)
    assert fingerprint(str(same)) == fingerprint(str(tiny_checkpoint))
    weights = same / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert fingerprint(str(same)) != fingerprint(str(tiny_checkpoint))
    assert fingerprint("some/name") != fingerprint("other/name")


def unreachable(*_: object, **__: object) -> None:
    raise ConnectionError("nobody there")


def hanging(*_: object, **__: object) -> None:
    """As a name server that does not answer."""
    time.sleep(30)


def answering(kind: type[HfHubHTTPError], monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(url: str, timeout: float) -> None:
        raise kind("no", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr(loading, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(loading, "get_hf_file_metadata", ask)


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
    monkeypatch.setattr(loading, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(loading, "get_hf_file_metadata", ask)
    monkeypatch.setattr(loading, "_HUB_SECONDS", 0.1)
    began = time.perf_counter()
    said = refusal(Path("some/model"))
    assert time.perf_counter() - began < 5
    assert said == f"some/model: no such folder, not downloaded before, and {loading.ENDPOINT} cannot be reached: {why}"
    # what was downloaded before is taken, without asking for each of its files
    assert loading.is_cached_only("some/tiny")
    assert (
        HuggingFaceLVLM("some/tiny", lora=None).hidden_size
        == load_tiny(cached / "models--some--tiny" / "snapshots" / "0123", None).hidden_size
    )


def test_without_the_hub_by_choice_the_same(cached, monkeypatch):
    monkeypatch.setattr(loading, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(loading, "get_hf_file_metadata", lambda *_, **__: pytest.fail("the Hub was asked"))
    assert loading.is_cached_only("some/tiny")
    assert "cannot be reached: HF_HUB_OFFLINE is set" in refusal(Path("some/model"))


def test_a_name_that_the_hub_does_not_know(cached, monkeypatch):
    answering(RepositoryNotFoundError, monkeypatch)
    assert "no such folder, and no such model on the Hub" in refusal(Path("some/model"))
    assert "not a valid name of a model on the Hub" in refusal(Path("some/folder/model"))


def test_what_else_the_hub_answers_is_left_to_the_download(cached, monkeypatch):
    for kind in (GatedRepoError, HfHubHTTPError):
        answering(kind, monkeypatch)
        assert not loading.is_cached_only("some/model")
    monkeypatch.setattr(loading, "get_hf_file_metadata", lambda *_, **__: None)
    assert not loading.is_cached_only("some/model")


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
