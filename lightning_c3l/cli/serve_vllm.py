"""`serve-vllm`: the command of a vLLM server that generates for rounds; `--run` runs it."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from experiments.vllm_server.command import (
    Precision,
    ServerSettings,
    inspect_vllm,
    python_of_vllm,
    server_command,
)
from lightning_c3l.cli.options import parse_options
from lightning_c3l.lvlm.hub import require_reachable


@dataclass(frozen=True)
class ServeOptions:
    """Print the command of a vLLM server for rounds of a checkpoint, for the vLLM that is installed; or run it.

    That vLLM is in an environment of its own, whose python `VLLM_PYTHON` names; by default `.vllm/`, which
    `make .vllm/installed` builds for a CPU. The server takes its key, if it has one, from `VLLM_API_KEY`.

    Example:
        c3l serve-vllm llava-hf/llava-1.5-7b-hf --dtype bfloat16 --rank 16

    Attributes:
        model: checkpoint folder, Hub name or `shipped:` name, as the experiment's `lvlm.path`.
        run: run the server instead of printing its command.
        dtype: precision of the weights, as in the experiment; by default bfloat16 on a GPU and float32 on a CPU.
        rank: largest rank of adapters, `lora.rank` of the experiment.
        max_model_len: maximum length of a conversation, in tokens; by default what the checkpoint says.
        chat_template: file with a Jinja template, where the experiment has one.
        host: address to listen on; vLLM protects some routes by no key, so that a public address needs a firewall.
        port: port to listen on.
        cache_gib: size of the key-value cache on a CPU, in GiB.
        options: further options of vLLM, such as "--tensor-parallel-size 2".
    """

    model: str
    run: bool = False
    dtype: Precision | None = None
    rank: int = 16
    max_model_len: int | None = None
    chat_template: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    cache_gib: int = 4
    options: str = ""


def main(arguments: list[str]) -> int:
    """Run the verb `serve-vllm`; returns its exit status."""
    options = parse_options("serve-vllm", ServeOptions, arguments)
    if options.chat_template is not None and not options.chat_template.is_file():
        raise ValueError(f"--chat-template: {options.chat_template} is no file")
    require_reachable(options.model)
    python = python_of_vllm()
    if python is None:
        raise ValueError(
            "no vLLM: name the python of an environment that has it as VLLM_PYTHON, or let `make .vllm/installed` make "
            "one for a CPU"
        )
    given = {name: value for name, value in vars(options).items() if name != "run"}
    settings = ServerSettings(**given | {"options": shlex.split(options.options)})
    command = server_command(inspect_vllm(python), settings)
    if options.run:
        os.execve(command.words[0], command.words, {**os.environ, **command.environment})
    print(command)
    return 0
