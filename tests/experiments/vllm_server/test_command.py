"""The command of a server, for environments that a script stands in for."""

import json
import sys
from pathlib import Path

import pytest

from experiments.vllm_server.command import ServerSettings, inspect_vllm, python_of_vllm, server_command
from lightning_c3l.cli.main import main
from lightning_c3l.cli.options import parse_options
from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.scenes.recipe import BASES

# of the command line of vLLM 0.32, as far as they are used
FLAGS = [
    *("--model", "--served-model-name", "--dtype", "--generation-config", "--max-model-len", "--enforce-eager"),
    *("--enable-lora", "--max-lora-rank", "--max-loras", "--max-cpu-loras", "--lora-target-modules"),
    *("--enable-chunked-prefill", "--enable-sleep-mode"),
]


@pytest.fixture
def environment(tmp_path):
    """Makes the python of an environment, which says what vLLM it has whatever it is asked."""

    def build(version: str = "0.32.0", cuda: bool = False, flags: list[str] = FLAGS) -> Path:
        python = tmp_path / "python"
        answer = json.dumps([version, cuda, flags])
        python.write_text(
            f"#!{sys.executable}\nimport sys\nprint({answer!r} if sys.argv[1] == '-c' else sys.argv[1:])\n"
        )
        python.chmod(0o755)
        return python

    return build


def command(python: Path, **options):
    return server_command(inspect_vllm(python), ServerSettings("shipped:scenes", **options))


def value(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_a_server_on_a_cpu_leaves_out_what_fails_there(environment):
    made = command(environment())
    assert made.words[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]
    assert (value(made.words, "--model"), value(made.words, "--served-model-name")) == (
        str(BASES["corners"].folder),
        "shipped:scenes",
    )
    assert value(made.words, "--dtype") == "float32"
    assert "--no-enable-chunked-prefill" in made.words
    assert "lm_head" not in made.words[made.words.index("--lora-target-modules") :]
    assert "--enable-sleep-mode" not in made.words
    assert made.environment["VLLM_CPU_KVCACHE_SPACE"] == "4"
    assert made.environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == made.environment["VLLM_SERVER_DEV_MODE"] == "1"


def test_a_server_on_a_gpu_can_sleep(environment):
    made = command(environment(cuda=True))
    assert "--enable-sleep-mode" in made.words
    assert value(made.words, "--dtype") == "bfloat16"
    assert not {"--enforce-eager", "--no-enable-chunked-prefill", "--lora-target-modules"} & {*made.words}
    assert not [name for name in made.environment if "CPU" in name]


@pytest.mark.parametrize(("rank", "room"), [(4, "8"), (16, "16"), (17, "32"), (512, "512")])
def test_room_for_the_rank_is_of_a_size_that_vllm_has(environment, rank, room):
    assert value(command(environment(), rank=rank).words, "--max-lora-rank") == room


def test_what_cannot_be_served_is_refused(environment):
    with pytest.raises(LVLMError, match="rank 513: vLLM takes adapters up to rank 512"):
        command(environment(), rank=513)
    with pytest.raises(LVLMError, match=r"vLLM 0\.9\.0 has no option --lora-target-modules"):
        command(environment("0.9.0", flags=[flag for flag in FLAGS if flag != "--lora-target-modules"]))
    with pytest.raises(LVLMError, match="vLLM is not installed there"):
        command(environment(""))
    with pytest.raises(LVLMError, match="VLLM_PYTHON: nowhere is no file"):
        python_of_vllm({"VLLM_PYTHON": "nowhere"})


def test_the_verb_prints_a_line_that_a_shell_takes(environment, monkeypatch, capsys):
    monkeypatch.setenv("VLLM_PYTHON", str(environment()))
    words = ["shipped:scenes", "--options=--max-num-seqs 8", "--max-model-len", "512"]
    assert main(["serve-vllm", *words]) == 0
    line = capsys.readouterr().out
    assert line.startswith("VLLM_SERVER_DEV_MODE=1 ")
    assert line.endswith("--max-num-seqs 8\n")
    assert "--max-model-len 512" in line


def test_the_verb_runs_the_command_with_its_environment(environment, monkeypatch):
    from lightning_c3l.cli import serve_vllm

    ran = []
    monkeypatch.setenv("VLLM_PYTHON", str(environment()))
    monkeypatch.setenv("VLLM_API_KEY", "of the user")
    monkeypatch.setattr("os.execve", lambda *call: ran.append(call))
    options = parse_options("serve-vllm", serve_vllm.ServeOptions, ["shipped:scenes", "--run"])
    assert options.run
    serve_vllm.main(["shipped:scenes", "--run"])
    (path, words, variables) = ran[0]
    assert path == words[0] == str(environment())
    assert (variables["VLLM_API_KEY"], variables["VLLM_SERVER_DEV_MODE"]) == ("of the user", "1")


def test_without_vllm_the_verb_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VLLM_PYTHON", raising=False)
    assert main(["serve-vllm", "shipped:scenes"]) != 0
    assert "make .vllm/installed" in capsys.readouterr().err
