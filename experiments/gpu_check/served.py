"""Rounds of a model of the real size whose texts come from a vLLM server that shares the GPU."""

import math
import shutil
import time
from typing import Any

import torch

from experiments.gpu_check.checks import Outcome, Setting
from experiments.gpu_check.large_models import LLAVA, LargeModel, build_lvlm
from experiments.gpu_check.rounds import ROUNDS, MeasuredRounds, RoundSizes
from experiments.speed.timing import synchronize
from experiments.vllm_server.command import InstalledVLLM, ServerSettings, inspect_vllm, python_of_vllm
from experiments.vllm_server.process import RunningServer, running_server
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.served.generator import ServedGenerator

# the same for both engines; the server is given all prompts at once
_SIZES = RoundSizes(images=64, candidates=4, batch=16)
_FEW = RoundSizes(images=4, candidates=2, question=2, answer=3, new_tokens=8, batch=2, groups=1)
# the tiny model with heads that vLLM can run on a CPU
_TINY = LargeModel("llava-1.5", {"text_config": {"num_attention_heads": 2, "head_dim": 32}})
_CONTEXT = 1024
# of the GPU, for the server's weights and cache: this process has weights of the same size
_SHARE = 0.4
# of the disk, for weights that must be read by another process
_WEIGHTS_GB = 16
_START_SECONDS = 240


def check_served(setting: Setting) -> Outcome:
    """Two rounds of LLaVA-1.5-7B's sizes: wake, hand over, check, generate, sleep, score, train."""
    python = python_of_vllm()
    if python is None:
        return Outcome(not_run="needs vLLM: name the python of an environment that has it as VLLM_PYTHON")
    vllm = inspect_vllm(python)
    if reason := _lacking(setting, vllm):
        return Outcome(not_run=reason)
    model, sizes = (LLAVA, _SIZES) if setting.on_gpu else (_TINY, _FEW)
    lvlm, folder = _checkpoint(setting, model), setting.folder / "model"
    options = ("--gpu-memory-utilization", str(_SHARE)) if setting.on_gpu else ()
    settings = ServerSettings(str(folder), "bfloat16", LoRA().rank, _CONTEXT, port=0, options=options)
    log = setting.folder / "vllm.log"
    try:
        with running_server(vllm, settings, log, _START_SECONDS) as server:
            work = MeasuredRounds(lvlm, sizes, model.side)
            figures = _rounds(work, server, str(folder), setting)
    except Exception as error:
        # the folder is removed with the log in it
        end = log.read_text(encoding="utf-8", errors="replace")[-600:] if log.exists() else ""
        return Outcome("", [f"{type(error).__name__}: {str(error).strip()[:500]}", end.strip()])
    figures |= {"vllm": vllm.version, "start_seconds": server.start_seconds}
    problems = [] if all(map(math.isfinite, work.numbers)) else ["a loss or a score is not a finite number"]
    summary = (
        "texts/s: server {served_texts_per_second:.3g}, here {own_texts_per_second:.3g}; wake, hand-over and check "
        "{enter_seconds:.2f} s, sleep {leave_seconds:.2f} s".format(**figures)
    )
    return Outcome(summary, problems, figures)


def _lacking(setting: Setting, vllm: InstalledVLLM) -> str:
    """What this machine lacks; empty if nothing."""
    if setting.on_gpu and not vllm.cuda:
        return f"the vLLM of {vllm.python} sees no GPU; install its build for CUDA"
    free = shutil.disk_usage(setting.folder).free / 1e9
    if setting.on_gpu and free < _WEIGHTS_GB:
        return f"needs {_WEIGHTS_GB} GB for weights, {free:.0f} are free in {setting.folder.parent}; set TMPDIR"
    return ""


def _checkpoint(setting: Setting, model: LargeModel) -> HuggingFaceLVLM:
    """An LVLM with new adapters, and its weights in the folder `model`, where the server finds them."""
    lvlm = build_lvlm(model, setting.folder / "drawn", setting.device, LoRA())
    lvlm.save_merged(setting.folder / "model")
    shutil.rmtree(setting.folder / "drawn")
    return lvlm


def _rounds(work: MeasuredRounds, server: RunningServer, model: str, setting: Setting) -> dict[str, Any]:
    """Seconds of each stage of each round; rates and the costs of the hand-over from the last one."""
    generator = ServedGenerator(server.url, model, handover=str(setting.folder / "handover"))
    seconds = list[dict[str, float]]()
    for _ in range(ROUNDS):
        marks = {"begin": _now()}
        with generator.serving(work.lvlm):
            marks["enter"] = _now()
            generator.generate(work.requests, work.sampling)
            marks["served"] = _now()
        marks["leave"] = _now()
        # the server sleeps: its memory is there for these
        for name, run in {"own": work.generate, "score": work.score, "train": work.train}.items():
            run()
            marks[name] = _now()
        seconds.append({name: marks[name] - before for before, name in zip(marks.values(), [*marks][1:], strict=False)})
    texts, last = work.sizes.images * work.sizes.candidates, seconds[-1]
    return {
        "seconds": seconds,
        "served_texts_per_second": texts / last["served"],
        "own_texts_per_second": texts / last["own"],
        "pairs_per_second": texts / last["score"],
        "enter_seconds": last["enter"],
        "leave_seconds": last["leave"],
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if setting.on_gpu else None,
    }


def _now() -> float:
    """Seconds on a clock, once the GPU has done all that it was given."""
    synchronize()
    return time.perf_counter()
