"""The command that starts a vLLM server for rounds of a checkpoint, for the vLLM that is installed."""

import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.lvlm.hub import resolve

Precision = Literal["float32", "bfloat16", "float16"]
# of the environment that `make test-vllm` builds
_OWN = Path(".vllm/bin/python")
# ranks that vLLM reserves room for
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
# linear layers of the usual decoders
_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# options of its HTTP server, which are declared elsewhere than those of the engine
_HTTP_FLAGS = frozenset({"--host", "--port", "--chat-template"})
# prints one line of JSON; importing vLLM itself takes half a minute
_PROBE = """
import importlib.util, json, re, torch
from importlib.metadata import packages_distributions, version
spec = importlib.util.find_spec("vllm")
known = open(f"{spec.submodule_search_locations[0]}/engine/arg_utils.py", encoding="utf-8").read() if spec else ""
release = version(packages_distributions()["vllm"][0]) if spec else ""
print(json.dumps([release, torch.cuda.is_available(), sorted(set(re.findall(r'"(--[a-z-]+)"', known)))]))
"""


@dataclass(frozen=True)
class InstalledVLLM:
    """An environment with vLLM.

    Attributes:
        python: of the environment.
        version: of vLLM.
        cuda: whether it sees a CUDA GPU.
        flags: options that its command line has.
    """

    python: Path
    version: str
    cuda: bool
    flags: frozenset[str]


@dataclass(frozen=True)
class ServerSettings:
    """How a server is started.

    Attributes:
        model: checkpoint folder, Hub name or `shipped:` name; requests name it so too.
        dtype: of the weights, as in the experiment; null is bfloat16 on a GPU and float32 on a CPU.
        rank: rank of the adapters (`lora.rank`).
        max_model_len: longest conversation in tokens; null takes what the checkpoint says.
        chat_template: file with a Jinja template, where the experiment has one.
        host: address that it listens on.
        port: of that address.
        cache_gib: room for keys and values on a CPU.
        options: further options of vLLM's command line.
    """

    model: str
    dtype: Precision | None = None
    rank: int = 16
    max_model_len: int | None = None
    chat_template: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    cache_gib: int = 4
    options: Sequence[str] = ()


@dataclass(frozen=True)
class Command:
    """Words of a command, and environment variables beside those that are set."""

    words: list[str]
    environment: dict[str, str]

    def __str__(self) -> str:
        """As a line for a shell."""
        before = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*before, shlex.join(self.words)])


def python_of_vllm(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Python of an environment with vLLM: VLLM_PYTHON, or that of `.vllm/`; None if there is neither.

    Raises:
        LVLMError: if VLLM_PYTHON names no file.
    """
    named = environment.get("VLLM_PYTHON")
    if named and not Path(named).is_file():
        raise LVLMError(f"VLLM_PYTHON: {named} is no file; name the python of an environment with vLLM")
    return Path(named) if named else _OWN if _OWN.is_file() else None


def inspect_vllm(python: Path) -> InstalledVLLM:
    """Version, device and options of an environment's vLLM.

    Raises:
        LVLMError: if it has none.
    """
    done = subprocess.run([str(python), "-c", _PROBE], capture_output=True, text=True, check=False)
    version, cuda, flags = json.loads(done.stdout) if done.returncode == 0 else ("", False, [])
    if not version:
        raise LVLMError(f"{python}: vLLM is not installed there; name an environment that has it as VLLM_PYTHON")
    return InstalledVLLM(python, version, cuda, frozenset(flags))


def server_command(vllm: InstalledVLLM, settings: ServerSettings) -> Command:
    """The command of a server that takes adapters and whole checkpoints from the rounds.

    Raises:
        LVLMError: if the rank is above what vLLM supports, or the installed vLLM lacks an option.
    """
    room = next((rank for rank in _RANKS if rank >= settings.rank), None)
    if room is None:
        raise LVLMError(f"rank {settings.rank}: vLLM takes adapters up to rank {_RANKS[-1]}")
    # the `vllm` command does not start on every CPU; this is what it runs
    words = [str(vllm.python), "-m", "vllm.entrypoints.openai.api_server", "--model", resolve(settings.model)]
    words += ["--served-model-name", settings.model, "--host", settings.host, "--port", str(settings.port)]
    words += ["--dtype", settings.dtype or ("bfloat16" if vllm.cuda else "float32")]
    # sampling as the requests say, without defaults of the checkpoint
    words += ["--generation-config", "vllm"]
    words += ["--enable-lora", "--max-lora-rank", str(room), "--max-loras", "1", "--max-cpu-loras", "2"]
    if settings.max_model_len is not None:
        words += ["--max-model-len", str(settings.max_model_len)]
    if settings.chat_template is not None:
        words += ["--chat-template", str(settings.chat_template)]
    # a seed with chunked prefill ends the engine on a CPU, and so do prompt log-probabilities with an adapted head
    cpu = ["--enforce-eager", "--no-enable-chunked-prefill", "--lora-target-modules", *_LINEARS]
    words += ["--enable-sleep-mode"] if vllm.cuda else cpu
    named = {word.replace("--no-", "--", 1) for word in words if word.startswith("--")}
    if unknown := sorted(named - vllm.flags - _HTTP_FLAGS):
        raise LVLMError(f"{vllm.python}: vLLM {vllm.version} has no option {unknown[0]}; install 0.32 or newer")
    return Command([*words, *settings.options], _environment(vllm, settings))


def _environment(vllm: InstalledVLLM, settings: ServerSettings) -> dict[str, str]:
    """Routes for sleep and weights (development mode) and for adapters; on a CPU threads as OMP_NUM_THREADS says."""
    found = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_NO_USAGE_STATS": "1"}
    if not vllm.cuda:
        found |= {"VLLM_CPU_KVCACHE_SPACE": str(settings.cache_gib), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return found
