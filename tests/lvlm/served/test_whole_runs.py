"""Runs of the real command line that generate on a stand-in of vLLM's server, which does wrong what servers do."""

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from lightning_c3l.cli import preflight
from lightning_c3l.cli.main import main
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from tests.helpers.commandline import tiny_config, write_images
from tests.helpers.tiny import build_lookalike, load_tiny
from tests.helpers.vllm_server import Request, Server, serve
from tests.helpers.vllm_server.faults import Answer

IMAGES, KINDS, SAMPLES = 4, 4, 3
PROMPTS = IMAGES * KINDS
CHAT = "/v1/chat/completions"
KEY = "sk-whole-runs-0123456789"
OK: Answer = "ok"


@dataclass(frozen=True)
class Run:
    """A run on the stand-in that was interrupted by its server's death in the second round, and resumed.

    Attributes:
        folder: of the run.
        checkpoint: of the base.
        server: still running.
        before: what it was asked until it died.
        after: what it was asked by the resumed run.
        finished: image and prompt of the texts of the second round that were on the disk in between.
        died: status and print of the first start.
        refused: status and print of starts that found a server that was not to be used, by what was wrong with it.
        kept: texts of the second round that were on the disk after each of these starts.
    """

    folder: Path
    checkpoint: Path
    server: Server
    before: list[Request]
    after: list[Request]
    finished: set[tuple[str, int]]
    died: tuple[int, str]
    refused: dict[str, tuple[int, str]]
    kept: dict[str, set[tuple[str, int]]]


def configuration(work: Path, checkpoint: Path, url: str | None, lvlm: dict[str, Any] | None = None) -> Path:
    """Two small rounds whose texts come from a server; without one, from our own engine."""
    write_images(work / "images", IMAGES)
    path = tiny_config(work, checkpoint)
    # looks at each state would ask the server too
    config = {**yaml.safe_load(path.read_text()), "guard": {"action": "off"}, "exposure": {"measure": False}}
    model = config["model"]["init_args"]
    model["lvlm"]["init_args"].update(lvlm or {})
    if url is not None:
        options = {
            "url": url,
            "model": "base",
            "handover": str(work / "handover"),
            "retries": 2,
            "concurrency": 4,
            "timeout": 120,
        }
        model["generator"] = {"class_path": "ServedGenerator", "init_args": options}
    path.write_text(yaml.safe_dump(config))
    return path


def fit(config: Path, *more: str) -> tuple[int, str]:
    """Exit status, and everything that was printed."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        status = main(["fit", "--config", str(config), *more])
    return status, printed.getvalue()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def completions(requests: list[Request]) -> list[dict[str, Any]]:
    """Bodies of the requests for texts of a round; those of probes and of measurements are left out."""
    bodies = [one.body for one in requests if one.path == CHAT and "prompt_logprobs" not in one.body]
    return [body for body in bodies if body["n"] == SAMPLES]


def finished_texts(folder: Path) -> set[tuple[str, int]]:
    """Image and prompt of the texts of an unfinished round."""
    files = (folder / "parts").glob("*.jsonl")
    return {(row["image"], row["prompt"]) for file in files for row in rows(file) if "texts" in row}


@contextmanager
def another_version(server: Server, adapter: Path) -> Iterator[None]:
    """The server was updated meanwhile."""
    server.faults.version = "0.33.0"
    yield
    server.faults.version = "0.32.0"


@contextmanager
def stale_adapter(server: Server, adapter: Path) -> Iterator[None]:
    """The server keeps other weights under the name of an adapter."""
    other = shutil.copytree(adapter, adapter.parent / "other")
    weights = load_file(other / "adapter_model.safetensors")
    random = torch.Generator().manual_seed(1)
    noise = {name: 0.2 * torch.randn(value.shape, generator=random) for name, value in weights.items()}
    save_file(noise, other / "adapter_model.safetensors", {"format": "pt"})
    server.state.weights.load_adapter(adapter.name, other)
    server.faults.keeps_stale = True
    yield
    server.faults.keeps_stale = False
    server.restart()


@contextmanager
def mixed_batch(server: Server, adapter: Path) -> Iterator[None]:
    """Another run's requests for an adapter are in flight all the time."""
    server.state.load("theirs", str(adapter))
    with server.busy("theirs"):
        yield
    server.restart()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """The folder of the same run on our own engine."""
    work = tmp_path_factory.mktemp("alone")
    status, printed = fit(configuration(work, tiny_checkpoint, None))
    assert status == 0, printed
    return work / "runs/tiny/version_0"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[Run]:
    """Answers of the first round go wrong; in the second the server forgets its adapter, and later dies.

    Then it is started again and cannot be used, for one reason after the other, until it is as it should be.
    """
    work = tmp_path_factory.mktemp("served")
    folder = work / "runs/tiny/version_0"
    with serve(tiny_checkpoint, mixes_batches=True, api_key=KEY) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        config = configuration(work, tiny_checkpoint, server.url)
        # a request that is sent again meets no other fault
        server.faults.answers.extend(["429", *[OK] * 4, "cut", *[OK] * 4, "garbage"])
        server.faults.restarts_after = PROMPTS + 3 + 3
        server.faults.dies_after = PROMPTS + 3 + 10
        died = fit(config)
        before, finished = list(server.requests), finished_texts(folder / "rounds/1")
        server.revive()
        (adapter,) = (work / "handover").iterdir()
        refused, kept = dict[str, tuple[int, str]](), dict[str, set[tuple[str, int]]]()
        for fault in (another_version, stale_adapter, mixed_batch):
            with fault(server, adapter):
                refused[fault.__name__] = fit(config, "--ckpt_path", "last")
            kept[fault.__name__] = finished_texts(folder / "rounds/1")
        # what was known of the server when a round was begun may not be known any more
        server.faults.hides_config = True
        count = len(server.requests)
        status, printed = fit(config, "--ckpt_path", "last")
        assert status == 0, printed
        yield Run(folder, tiny_checkpoint, server, before, server.requests[count:], finished, died, refused, kept)


def same_rows(found: Path, expected: Path) -> None:
    """The same texts with the same status, and the same scores."""
    ours, theirs = rows(found), rows(expected)
    assert len(ours) == IMAGES * KINDS * SAMPLES
    assert [(row["candidate"], row["fate"]) for row in ours] == [(row["candidate"], row["fate"]) for row in theirs]
    for row, other in zip(ours, theirs, strict=True):
        for name, value in (other["scores"] or {}).items():
            assert row["scores"][name] == pytest.approx(value, abs=1e-5)


def test_records_are_those_of_our_engine(made: Run, alone: Path) -> None:
    for name in ("rounds/0/candidates-00000.jsonl", "rounds/1/candidates-00000.jsonl", "vlit-candidates.jsonl"):
        same_rows(made.folder / name, alone / name)
    pairs, expected = (json.loads((folder / "vlit.json").read_text()) for folder in (made.folder, alone))
    assert [one["conversations"] for one in pairs] == [one["conversations"] for one in expected]
    assert pairs


def test_manifests_name_the_generator(made: Run, alone: Path) -> None:
    for number in (0, 1):
        with_server, without = (
            json.loads((folder / f"rounds/{number}/manifest.json").read_text()) for folder in (made.folder, alone)
        )
        assert with_server.pop("generator") == "vllm 0.32.0 base"
        assert with_server.pop("generator_dtype") == "float32"
        assert with_server.keys() == without.keys()
    data_set = json.loads((made.folder / "rounds/final/manifest.json").read_text())
    assert data_set["generator_dtype"] == "unknown"


def test_each_round_is_asked_with_its_own_weights(made: Run) -> None:
    models = list(dict.fromkeys(body["model"] for body in completions([*made.before, *made.after])))
    # before training, after it for the second round, and for the data set
    assert models[0] == "base"
    assert len(models) == 3
    loaded = set[str]()
    for one in [*made.before, *made.after]:
        if one.path == "/v1/load_lora_adapter":
            # after a restart or a death nothing is loaded any more
            loaded = {one.body["lora_name"]} if one.body["lora_name"] in loaded else loaded | {one.body["lora_name"]}
            assert len(loaded) == 1
        elif one.path == "/v1/unload_lora_adapter":
            loaded.remove(one.body["lora_name"])
    assert set(made.server.adapters) == {models[-1]}
    assert made.server.is_sleeping


def test_a_restarted_server_gets_its_adapter_again(made: Run) -> None:
    loads = [one.body["lora_name"] for one in made.before if one.path == "/v1/load_lora_adapter"]
    trial, *loads = loads
    assert trial.startswith("c3l-trial-")
    assert len(loads) == 2
    assert len(set(loads)) == 1


def error_of(ended: tuple[int, str]) -> str:
    """The one line that a run has ended with."""
    status, printed = ended
    said = [line for line in printed.splitlines() if line.startswith("error:")]
    assert status == 2
    assert len(said) == 1
    assert "Traceback" not in printed
    return said[0]


def test_a_dead_server_ends_the_run_with_one_line(made: Run) -> None:
    said = error_of(made.died)
    assert made.server.url in said
    assert "resume" in said


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("stale_adapter", "another adapter under this name"), ("mixed_batch", "mixes the base and adapters")],
)
def test_nothing_is_kept_of_a_server_that_does_not_use_the_weights(made: Run, fault: str, cause: str) -> None:
    said = error_of(made.refused[fault])
    assert made.server.url in said
    assert cause in said
    assert made.kept[fault] == made.finished


def test_finished_texts_are_not_asked_again(made: Run) -> None:
    assert 0 < len(made.finished) < PROMPTS
    second = next(body for body in completions(made.before) if body["model"] != "base")["model"]
    seeds = [body["seed"] for body in completions(made.after) if body["model"] == second]
    assert len(set(seeds)) == len(seeds) == PROMPTS - len(made.finished)
    asked = {body["seed"] for body in completions(made.before) if body["model"] == second}
    assert len(asked | set(seeds)) == PROMPTS


def test_another_version_is_refused_like_any_changed_setting(made: Run) -> None:
    said = error_of(made.refused["another_version"])
    assert "generator='vllm 0.32.0 base'" in said
    assert "generator='vllm 0.33.0 base'" in said
    assert "--i2c.restart_round true" in said


def test_the_key_is_sent_and_shown_nowhere(made: Run) -> None:
    asked = [one.key for one in [*made.before, *made.after] if one.path.startswith("/v1")]
    assert set(asked) == {f"Bearer {KEY}"}
    assert all(KEY not in printed for _, printed in [made.died, *made.refused.values()])
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_requests_say_how_to_end_and_what_not_to_write(made: Run) -> None:
    lvlm = load_tiny(made.checkpoint, lora=None)
    for body in completions(made.before):
        assert body["stop_token_ids"] == lvlm.encoder.end_of_turn_ids()
        assert body["logit_bias"] == {str(lvlm.images.token): -100}
        assert (body["temperature"], body["max_tokens"]) == (1.0, 6)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("other_template", "chat template"), ("other_pixels", "preprocesses images"), ("base", "has another base")],
)
def test_a_server_that_was_set_up_otherwise_is_refused(
    tmp_path: Path, tiny_checkpoint: Path, fault: str, cause: str
) -> None:
    checkpoint = build_lookalike(tiny_checkpoint, tmp_path / "other") if fault == "base" else tiny_checkpoint
    faults = {} if fault == "base" else {fault: True}
    with serve(checkpoint, **faults) as server:
        status, printed = fit(configuration(tmp_path, tiny_checkpoint, server.url))
        assert completions(server.requests) == []
    assert cause in error_of((status, printed))


def test_adapters_of_the_vision_tower_are_refused_at_once(tmp_path: Path, tiny_checkpoint: Path) -> None:
    with serve(tiny_checkpoint) as server:
        lora = {"lora": {"rank": 2, "alpha": 4, "vision": True}}
        status, printed = fit(configuration(tmp_path, tiny_checkpoint, server.url, lora))
        assert server.asked(CHAT) == []
    assert status == 2
    assert "lora.vision" in printed


def test_an_ignored_adapter_of_the_tower_ends_the_run(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is not refused at once."""
    monkeypatch.setattr(preflight, "_check_generator", lambda *_: None)
    monkeypatch.setattr(HuggingFaceLVLM, "adapted_outside_decoder", lambda _: [])
    folder = tmp_path / "runs/tiny/version_0"
    with serve(tiny_checkpoint, ignores_tower=True) as server:
        lora = {"lora": {"rank": 2, "alpha": 4, "vision": True}}
        config = configuration(tmp_path, tiny_checkpoint, server.url, lora)
        training = ("--trainer.max_epochs", "1", "--model.optimization.learning_rate", "0.05")
        assert "vision tower or projector is ignored" in error_of(fit(config, *training))
        assert finished_texts(folder / "rounds/final") == set()
        server.faults.ignores_tower = False
        server.restart()
        status, printed = fit(config, *training, "--ckpt_path", "last")
    assert status == 0, printed
    assert len(rows(folder / "vlit-candidates.jsonl")) == PROMPTS * SAMPLES
