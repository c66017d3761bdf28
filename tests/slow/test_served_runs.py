"""Two processes that generate on two servers: each on its own, and both on both while they are killed."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.commandline import run, tiny_config, write_images
from tests.helpers.killing import Experiment, Moment, nothing_left, same_losses, same_records
from tests.helpers.vllm_server import Server, serve

CHAT = "/v1/chat/completions"
IMAGES, KINDS = 8, 4


def models(server: Server) -> list[str]:
    """Models whose texts a server was asked for, in order."""
    asked = (body["model"] for body in server.asked(CHAT) if "prompt_logprobs" not in body)
    return list(dict.fromkeys(asked))


@pytest.mark.kill
def test_a_killed_run_goes_on_with_servers_that_were_restarted(tmp_path: Path) -> None:
    whole = Experiment(tmp_path / "whole", rounds=2)
    whole.finish(2)
    with serve("shipped:scenes", mixes_batches=True) as one, serve("shipped:scenes", mixes_batches=True) as other:
        options: dict[str, Any] = {"url": [one.url, other.url], "model": "base", "handover": str(tmp_path / "handover")}
        generator = {
            "class_path": "lightning_c3l.lvlm.served.generator.ServedGenerator",
            "init_args": {**options, "concurrency": 4, "retries": 3},
        }
        found = Experiment(tmp_path / "found", rounds=2, model={"init_args": {"generator": generator}})
        kills = found.kill_at([Moment("round 1", 0.3, "all", 2)])
        assert kills == {"round 1": 1}
        one.restart()
        found.finish(2)
        # the base, the second round's adapter, and that of the data set
        assert [len(models(server)) for server in (one, other)] == [3, 3]
        assert [len(server.adapters) for server in (one, other)] == [1, 1]
    same_records(found, whole)
    same_losses(found, whole)
    nothing_left(found)


@contextmanager
def neighbours(checkpoint: Path) -> Iterator[tuple[str, list[Server]]]:
    """Two servers at ports that differ in their last digit, 0 and 1, and their address with `{rank}` in its place."""
    for tens in range(2000, 3200):
        ports = [10 * tens, 10 * tens + 1]
        with ExitStack() as stack, suppress(OSError):
            for port in ports:
                # the stand-in itself would share a port
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            servers = [stack.enter_context(serve(checkpoint, port=port)) for port in ports]
            yield f"http://127.0.0.1:{tens}{{rank}}", servers
            return
    raise AssertionError("all ports are taken")


@pytest.mark.slow
def test_each_process_asks_a_server_of_its_own(tmp_path: Path, tiny_checkpoint: Path) -> None:
    write_images(tmp_path / "images", IMAGES)
    path = tiny_config(tmp_path, tiny_checkpoint)
    config = {**yaml.safe_load(path.read_text()), "guard": {"action": "off"}, "exposure": {"measure": False}}
    with neighbours(tiny_checkpoint) as (url, servers):
        # images are resized without torchvision here
        options = {"url": url, "model": "base", "handover": str(tmp_path / "handover"), "tolerance": 0.01}
        config["model"]["init_args"]["generator"] = {"class_path": "ServedGenerator", "init_args": options}
        path.write_text(yaml.safe_dump(config))
        two = ("--trainer.max_epochs", "1", "--trainer.strategy", "ddp", "--trainer.devices", "2")
        status, printed = run("fit", "--config", str(path), *two, cwd=tmp_path, timeout=600)
        assert status == 0, printed[-3000:]
        loaded = [[body["lora_name"] for body in server.asked("/v1/load_lora_adapter")] for server in servers]
        texts = [[body for body in server.asked(CHAT) if "prompt_logprobs" not in body] for server in servers]
        assert all(server.is_sleeping for server in servers)
    # a trial, and an adapter for the data set
    assert loaded[0] == loaded[1]
    assert len(loaded[0]) == 2
    for model in ("base", loaded[0][1]):
        seeds = [[body["seed"] for body in own if body["model"] == model] for own in texts]
        assert all(seeds)
        assert len({*seeds[0], *seeds[1]}) == len(seeds[0]) + len(seeds[1]) == IMAGES * KINDS
