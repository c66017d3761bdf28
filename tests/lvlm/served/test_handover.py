"""Weights on their way to stand-ins of vLLM's server, and what the check says of servers that do not take them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.served.handover import HandOver
from lightning_c3l.lvlm.served.options import ServedOptions
from lightning_c3l.lvlm.served.vllm_api import VLLMServers
from tests.helpers.ranks import run_ranks
from tests.helpers.tiny import build_lookalike, load_tiny
from tests.helpers.vllm_server import Server, serve


@pytest.fixture(scope="module")
def loaded(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint, awake=False)


@pytest.fixture
def lvlm(loaded: HuggingFaceLVLM) -> HuggingFaceLVLM:
    """With a fresh adapter, which changes nothing."""
    train(loaded, 0.0)
    return loaded


def train(lvlm: HuggingFaceLVLM, scale: float, seed: int = 5, names: str = "lora_B") -> None:
    """Set trained weights as a training would; adapters of scale 0 change nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in lvlm.network.named_parameters():
            if names in name:
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))


def hand_over(tmp_path: Path, *servers: Server, **options: Any) -> HandOver:
    urls = [server.url for server in servers]
    return HandOver(VLLMServers(urls, "key", 60, 0), ServedOptions(handover=str(tmp_path), **options), "base")


def serve_weights(hand: HandOver, lvlm: HuggingFaceLVLM) -> str:
    """What a generator does before it generates."""
    hand.wake()
    name = hand.model_for(lvlm)
    hand.check(lvlm, name)
    return name


def paths(server: Server) -> list[str]:
    """Routes that were asked in turn, each once a row; probes are asked at the same time."""
    found = [f"{one.path} {one.body.get('model', '')}".strip() for one in server.requests if one.path != "/v1/models"]
    return [path for index, path in enumerate(found) if path != found[index - 1] or not index]


def test_each_round_is_served_under_a_name_of_its_own(server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    hand = hand_over(tmp_path, server)
    assert serve_weights(hand, lvlm) == "base"
    hand.sleep()
    assert server.is_sleeping
    assert not list(tmp_path.iterdir())
    train(lvlm, 0.2)
    first = serve_weights(hand, lvlm)
    hand.sleep()
    train(lvlm, 0.2, seed=6)
    with lvlm.reference():
        assert serve_weights(hand, lvlm) == "base"
    second = serve_weights(hand, lvlm)
    assert first.startswith("c3l-")
    assert second.startswith("c3l-")
    assert first != second
    # the last one is loaded, and its folder is there
    assert server.adapters == {second: str(tmp_path / second)}
    assert [folder.name for folder in tmp_path.iterdir()] == [second]
    chat, load, unload = "/v1/chat/completions", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
    assert paths(server) == [
        # an adapter on trial
        *("/is_sleeping", load, unload, f"{chat} base", "/is_sleeping", "/sleep"),
        *("/is_sleeping", "/wake_up", load, f"{chat} {first}", "/is_sleeping", "/sleep"),
        *("/is_sleeping", "/wake_up", f"{chat} base", "/is_sleeping", unload, load, f"{chat} {second}"),
    ]


def test_the_base_is_checked_once_for_each_start(server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    hand = hand_over(tmp_path, server, sleep=False)
    train(lvlm, 0.2)
    name = serve_weights(hand, lvlm)
    serve_weights(hand, lvlm)
    chat = "/v1/chat/completions"
    # the same weights are loaded once
    assert paths(server) == [
        *("/is_sleeping", f"{chat} base", "/v1/load_lora_adapter", f"{chat} {name}"),
        *("/is_sleeping", f"{chat} {name}"),
    ]
    assert len(server.asked(chat)) == 24
    server.restart()
    server.requests.clear()
    assert serve_weights(hand, lvlm) == name
    assert paths(server) == ["/is_sleeping", f"{chat} base", "/v1/load_lora_adapter", f"{chat} {name}"]
    assert server.adapters == {name: str(tmp_path / name)}


def test_adapters_of_others_are_left_alone(server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    train(lvlm, 0.2, seed=7)
    dead = serve_weights(hand_over(tmp_path, server), lvlm)
    server.requests.clear()
    # the same weights: used after the check, and not loaded again
    assert serve_weights(hand_over(tmp_path, server), lvlm) == dead
    assert not server.asked("/v1/load_lora_adapter")
    train(lvlm, 0.2, seed=8)
    other = serve_weights(hand_over(tmp_path, server), lvlm)
    assert set(server.adapters) == {dead, other}
    assert (tmp_path / dead).is_dir()


def test_a_restarted_server_is_given_its_adapter_again(server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    hand = hand_over(tmp_path, server)
    train(lvlm, 0.2)
    name = serve_weights(hand, lvlm)
    server.restart()
    assert not server.adapters
    hand.restore(server.url)
    assert server.adapters == {name: str(tmp_path / name)}
    assert not hand.forgets_weights


def test_two_servers_get_the_same_adapter(
    server: Server, lvlm: HuggingFaceLVLM, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    train(lvlm, 0.2)
    with serve(tiny_checkpoint) as second:
        name = serve_weights(hand_over(tmp_path, server, second), lvlm)
        assert set(server.adapters) == set(second.adapters) == {name}
        second.faults.other_template = True
        with pytest.raises(LVLMError, match=f"{second.url}: base: reads a probe answer as"):
            serve_weights(hand_over(tmp_path, server, second), lvlm)


def test_what_adapters_need_is_found_before_the_first_one_is_trained(
    server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path
) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.touch()
    assert f"generator.handover: cannot write to {file} (File exists)" in refusal(hand_over(file, server), lvlm)
    assert f"cannot write to {file / 'below'} (Not a directory)" in refusal(hand_over(file / "below", server), lvlm)
    server.faults.loads_adapters = False
    assert "see the folder of generator.handover under the same path" in refusal(hand_over(folder, server), lvlm)
    assert not list(folder.iterdir())
    server.faults.loads_adapters = True
    addresses = [server.url, server.url.replace("127.0.0.1", "localhost")]
    hand = HandOver(VLLMServers(addresses, "key", 60, 0), ServedOptions(handover=str(folder)), "base")
    assert serve_weights(hand, lvlm) == "base"
    assert not server.adapters
    assert not list(folder.iterdir())
    server.faults.loads_adapters = False
    trained = [value for value in lvlm.network.parameters() if value.requires_grad]
    lvlm.network.requires_grad_(False)
    try:
        assert serve_weights(hand_over(folder, server), lvlm) == "base"
    finally:
        for value in trained:
            value.requires_grad_(True)


def test_one_model_at_a_time_is_in_flight(tmp_path: Path) -> None:
    hand = hand_over(tmp_path)
    with hand.in_flight("base"), hand.in_flight("base"):
        pass
    with hand.in_flight("base"), pytest.raises(AssertionError, match="c3l-1 is asked"), hand.in_flight("c3l-1"):
        pass
    with hand.in_flight("c3l-1"):
        pass


def refusal(hand: HandOver, lvlm: HuggingFaceLVLM) -> str:
    with pytest.raises(LVLMError) as caught:
        serve_weights(hand, lvlm)
    return str(caught.value)


def test_a_stale_adapter_is_found(server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    hand = hand_over(tmp_path, server)
    train(lvlm, 0.2)
    first = serve_weights(hand, lvlm)
    train(lvlm, 0.2, seed=6)
    # the server keeps the first weights under the name of the second
    server.faults.keeps_stale = True
    weights = server.state.weights
    second = hand_over(tmp_path / "elsewhere", server).model_for(lvlm)
    weights.adapters[second] = weights.adapters[first]
    assert "those of the adapter before" in refusal(hand, lvlm)
    # a run that knows of no adapter before
    assert "another adapter under this name" in refusal(hand_over(tmp_path / "third", server), lvlm)


def test_an_ignored_adapter_is_found(server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    train(lvlm, 0.2)
    hand = hand_over(tmp_path, server)
    name = hand.model_for(lvlm)
    server.state.weights.adapters[name] = server.state.weights.base
    with pytest.raises(LVLMError, match="those of the base"):
        hand.check(lvlm, name)


def test_an_ignored_tower_adapter_is_found(
    server: Server, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vision = load_tiny(tiny_checkpoint, LoRA(rank=2, alpha=4, vision=True), awake=False)
    hand = hand_over(tmp_path, server)
    assert "lora.vision: servers ignore adapters outside of the decoder" in refusal(hand, vision)
    assert not server.adapters
    # where it is not refused, the check finds it
    monkeypatch.setattr(vision, "adapted_outside_decoder", list)
    train(vision, 0.2)
    server.faults.ignores_tower = True
    assert "vision tower or projector is ignored" in refusal(hand, vision)


def test_a_mixed_batch_is_found(server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    train(lvlm, 0.2)
    other = serve_weights(hand_over(tmp_path, server), lvlm)
    server.faults.mixes_batches = True
    # another run's requests for the adapter run while this one checks the base
    with server.busy(other):
        assert "mixes the base and adapters" in refusal(hand_over(tmp_path, server), lvlm)
    assert serve_weights(hand_over(tmp_path, server), lvlm) == other


def test_another_tokenization_is_found(server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    server.faults.other_template = True
    assert "another tokenizer or chat template" in refusal(hand_over(tmp_path, server), lvlm)


def test_another_image_preprocessing_is_found(server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    server.faults.other_pixels = True
    message = refusal(hand_over(tmp_path, server), lvlm)
    assert "preprocesses images in another way" in message
    assert "\n" not in message
    train(lvlm, 0.2)
    assert "preprocesses images in another way" in refusal(hand_over(tmp_path, server), lvlm)


def test_another_base_is_found(lvlm: HuggingFaceLVLM, tiny_checkpoint: Path, tmp_path: Path) -> None:
    with serve(build_lookalike(tiny_checkpoint, tmp_path / "base")) as other:
        assert "another base" in refusal(hand_over(tmp_path, other), lvlm)
        train(lvlm, 0.2)
        assert "another base" in refusal(hand_over(tmp_path, other), lvlm)
        assert not other.adapters


def test_a_base_of_another_name_is_refused(server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    hand = HandOver(VLLMServers([server.url], "key", 60), ServedOptions(handover=str(tmp_path)), "llava")
    assert refusal(hand, lvlm) == f"{server.url}: serves base, not generator.model llava; name its base"


def test_a_server_that_loads_no_adapters_says_what_it_needs(
    server: Server, lvlm: HuggingFaceLVLM, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    train(lvlm, 0.2)
    server.faults.max_lora_rank = 1
    message = refusal(hand_over(tmp_path, server), lvlm)
    assert "LoRA rank 2 is greater than max_lora_rank 1" in message
    assert "--max-lora-rank" in message
    server.faults.loads_adapters = False
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in refusal(hand_over(tmp_path, server), lvlm)
    # a half-written adapter is left nowhere
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith("c3l-")]


@pytest.fixture
def full(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    """All weights are trained."""
    return load_tiny(tiny_checkpoint, lora=None)


def test_full_fine_tuning_reloads_all_weights(server: Server, full: HuggingFaceLVLM, tmp_path: Path) -> None:
    hand, routes = hand_over(tmp_path, server), ["/collective_rpc", "/reset_encoder_cache", "/reset_prefix_cache"]
    assert serve_weights(hand, full) == "base"
    assert not server.asked("/collective_rpc")
    before = {name: value.clone() for name, value in full.network.state_dict().items()}
    for seed in (1, 2):
        train(full, 0.5, seed, "q_proj")
        server.requests.clear()
        assert serve_weights(hand, full) == "base"
        assert [path for path in paths(server) if path in routes] == routes
        assert len(list(tmp_path.iterdir())) == 1
        assert hand.forgets_weights
        hand.sleep()
    server.requests.clear()
    serve_weights(hand, full)
    assert not server.asked("/collective_rpc")
    with full.reference():
        serve_weights(hand, full)
    assert server.asked("/collective_rpc")[-1]["kwargs"] == {"weights_path": server.state.checkpoint}
    serve_weights(hand, full)
    # a connection may break without a restart
    server.requests.clear()
    hand.restore(server.url)
    assert not server.asked("/collective_rpc")
    # a restart brings the base back under the same name
    server.restart()
    hand.restore(server.url)
    hand.check(full, "base")
    server.restart()
    serve_weights(hand, full)
    # another run finds the weights of this one, and begins with its base
    full.network.load_state_dict(before)
    assert serve_weights(hand_over(tmp_path, server), full) == "base"


def test_full_fine_tuning_needs_the_routes_of_developers(server: Server, full: HuggingFaceLVLM, tmp_path: Path) -> None:
    train(full, 0.5, names="q_proj")
    server.faults.dev_mode = False
    assert "VLLM_SERVER_DEV_MODE=1" in refusal(hand_over(tmp_path, server), full)


def test_an_adapter_folder_is_served_as_it_is(server: Server, lvlm: HuggingFaceLVLM, tmp_path: Path) -> None:
    """As `test` on a trained adapter has it, where nothing is trained."""
    train(lvlm, 0.2)
    lvlm.save(tmp_path / "adapter")
    again = HuggingFaceLVLM(str(tmp_path / "adapter"), lora=None)
    hand = hand_over(tmp_path / "shared", server)
    assert serve_weights(hand, again) in server.adapters


def two_processes(rank: int, argument: str) -> None:
    """Both ask the first server, and the second rank one of its own."""
    checkpoint, folder, shared, own = argument.split("|")
    torch.manual_seed(0)  # of fresh adapters
    lvlm = load_tiny(Path(checkpoint), awake=False)
    train(lvlm, 0.2)
    servers = VLLMServers([shared, own] if rank else [shared], "key", 60, 0)
    # images are resized without torchvision here
    options = ServedOptions(handover=folder, tolerance=0.01)
    hand = HandOver(servers, options, "base")
    name = serve_weights(hand, lvlm)
    assert [one.url for one in hand._led()] == [own if rank else shared]
    assert all(name in one.models() for one in servers)
    hand.sleep()
    hand = HandOver(servers, options, "no name")
    # rank zero has the message, also where only the other one fails
    with pytest.raises(SystemExit if rank else LVLMError):
        serve_weights(hand, lvlm)


@pytest.mark.slow
def test_a_server_of_two_processes_is_looked_after_by_one(
    server: Server, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with serve(tiny_checkpoint) as second:
        run_ranks(two_processes, f"{tiny_checkpoint}|{tmp_path}|{server.url}|{second.url}")
        for one in (server, second):
            assert len(one.asked("/v1/load_lora_adapter")) == 1
            assert len(one.asked("/v1/chat/completions")) == 16
            assert len(one.asked("/sleep")) == 1
