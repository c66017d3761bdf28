"""Two processes that generate on two servers, killed while they do: what they make is what they make alone."""

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.killing import Experiment, Moment, nothing_left, same_losses, same_records
from tests.helpers.vllm_server import Server, serve

CHAT = "/v1/chat/completions"


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
