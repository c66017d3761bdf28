"""Two rounds of models of the real sizes, with random weights: generate, score, train."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from experiments.gpu_check.arithmetic import (
    FORWARD,
    FROZEN_STEP,
    Passes,
    generation_passes,
    operations,
    scoring_passes,
    share,
    training_passes,
)
from experiments.gpu_check.checks import Outcome, Setting
from experiments.gpu_check.large_models import LLAVA, QWEN, LargeModel, build_lvlm, parameters_of
from experiments.gpu_check.machine import peak
from experiments.speed.models import PlainLVLM, Workload
from experiments.speed.shapes import Shape
from experiments.speed.timing import process_memory, synchronize
from experiments.speed.training import loss_of_states
from lightning_c3l.functional.losses import ContrastivePseudoLabelLoss
from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.report.progress import stage
from lightning_c3l.rounds.scoring import score_pairs

ROUNDS = 2
_INSTRUCTION = "Write a question about the picture, with its answer."


@dataclass(frozen=True)
class RoundSizes:
    """How much a round does.

    Attributes:
        images: number of images.
        candidates: texts for each.
        question: words of a question.
        answer: words of an answer.
        new_tokens: tokens of a text that is written.
        batch: images that are written about and scored at the same time.
        groups: groups of a training batch.
    """

    images: int = 16
    candidates: int = 5
    question: int = 6
    answer: int = 12
    new_tokens: int = 60
    batch: int = 8
    groups: int = 2


TINY = RoundSizes(images=2, candidates=2, question=2, answer=3, new_tokens=5, batch=2, groups=1)


class MeasuredRounds:
    """The stages of a round, on texts and images that are drawn once.

    Args:
        lvlm: with adapters to train.
        sizes: how much is done.
        side: pixels of the images.
    """

    def __init__(self, lvlm: HuggingFaceLVLM, sizes: RoundSizes, side: int) -> None:
        self.lvlm, self.sizes = lvlm, sizes
        shape = Shape(
            side=side,
            groups=sizes.images,
            candidates=sizes.candidates,
            question=sizes.question,
            answer=sizes.answer,
        )
        self.load = Workload.random(shape)
        trained = [parameter for parameter in lvlm.network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4)
        self.head = ContrastivePseudoLabelLoss(lvlm.hidden_size, 128, 0.2, False).to(lvlm.model.device)
        self.numbers = list[float]()
        self.requests = [GenerationRequest(_INSTRUCTION, image, seed) for seed, image in enumerate(self.load.images)]
        self.sampling = Sampling(sizes.candidates, sizes.new_tokens, temperature=1.0)

    def generate(self) -> None:
        """Write texts about every image."""
        self.lvlm.generate(self.requests, self.sampling, self.sizes.batch)

    def score(self) -> None:
        """Score the pairs of every image."""
        for start in range(0, self.sizes.images, self.sizes.batch):
            part = slice(start, start + self.sizes.batch)
            scored = score_pairs(self.lvlm, self.load.images[part], self.load.pairs[part])
            self.numbers.append(float(scored.kl[scored.mask].sum()))

    def train(self) -> None:
        """A training step for every few groups."""
        self.lvlm.network.train()
        samples = [
            GroupSample(image, _INSTRUCTION, tuple(f"{q} {a}" for q, a in pairs), *pairs[0])
            for image, pairs in zip(self.load.images, self.load.pairs, strict=True)
        ]
        for start in range(0, len(samples), self.sizes.groups):
            batch = self.lvlm.encode_groups(samples[start : start + self.sizes.groups], "prompt", "image")
            batch = batch.to(self.lvlm.model.device)
            loss = loss_of_states(self.lvlm.group_states(batch, "prompt", "image"), batch.weights, self.head)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.numbers.append(float(loss.detach()))
        self.lvlm.network.eval()

    def passes(self) -> dict[str, tuple[Passes, int]]:
        """Tokens of each stage, and how often a token's products are computed; templates are left out."""
        sizes, plain = self.sizes, PlainLVLM(self.lvlm)
        tokenize = plain.processor.tokenizer

        def count(*texts: str) -> int:
            return sum(len(tokenize(text, add_special_tokens=False)["input_ids"]) for text in texts)

        ids = plain.inputs(self.load.images[:1], [plain.render("What?")])["input_ids"]
        one = int((ids == plain.model.config.image_token_id).sum())
        pairs = [pair for own in self.load.pairs for pair in own]
        firsts = [own[0] for own in self.load.pairs]
        answers = [answer for _, answer in pairs]
        text = count(*(question for question, _ in pairs)) + count(*answers)
        positives = count(*(f"{question} {answer}" for question, answer in firsts))
        written = generation_passes(sizes.images, one, count(_INSTRUCTION), sizes.candidates, sizes.new_tokens)
        trained = training_passes(sizes.images, one, text, positives, count(*(answer for _, answer in firsts)))
        return {
            "generate": (written, FORWARD),
            "score": (scoring_passes(sizes.images, one, text, count(*answers)), FORWARD),
            "train": (trained, FROZEN_STEP),
        }


def check_llava(setting: Setting) -> Outcome:
    """Two rounds of LLaVA-1.5-7B's sizes."""
    return _check(setting, LLAVA)


def check_qwen(setting: Setting) -> Outcome:
    """Two rounds of Qwen3-VL-8B's sizes."""
    return _check(setting, QWEN)


def _check(setting: Setting, model: LargeModel) -> Outcome:
    start, sizes = time.perf_counter(), RoundSizes() if setting.on_gpu else TINY
    model = model if setting.on_gpu else model.tiny()
    lvlm = build_lvlm(model, setting.folder, setting.device, LoRA(rank=16))
    loaded = time.perf_counter() - start
    work = MeasuredRounds(lvlm, sizes, model.side)
    figures = run_rounds(work, setting.device)
    figures |= {"load_seconds": loaded, "minutes": (time.perf_counter() - start) / 60}
    figures |= {"path": lvlm.inference_path.name, "training_path": lvlm.training_path.name}
    problems = [] if all(map(math.isfinite, work.numbers)) else ["a loss or a score is not a finite number"]
    shares = ", ".join(f"{stage} {value:.1%}" for stage, value in figures["share"].items())
    summary = (
        "{minutes:.1f} min, {memory_gib:.1f} GiB, {pairs_per_second:.3g} pairs/s, {tokens_per_second:.3g} tokens/s, "
        "{rows_per_second:.3g} training rows/s on the {path} path".format(**figures)
    )
    return Outcome(f"{summary}; of {figures['peak']}: {shares}", problems, figures)


def run_rounds(work: MeasuredRounds, device: str) -> dict[str, Any]:
    """Run the rounds and compute the figures, all rates from the last one.

    Args:
        work: the stages.
        device: where they run.

    Returns:
        `seconds` of each stage of each round; `memory_gib`, the peak: on a GPU what was allocated there, on a CPU the
        process; `pairs_per_second`, `tokens_per_second` (a text that ends early counts in full), `rows_per_second`
        (candidates in training); `share` of the peak for each stage, and `peak`, in words.
    """
    stages: dict[str, Callable[[], None]] = {"generate": work.generate, "score": work.score, "train": work.train}
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = list[dict[str, float]]()
    with stage("rounds", "stages", ROUNDS * len(stages)) as progress:
        for _ in range(ROUNDS):
            seconds.append({})
            for name, run in stages.items():
                synchronize()
                start = time.perf_counter()
                run()
                synchronize()
                seconds[-1][name] = time.perf_counter() - start
                progress.update()
    memory = torch.cuda.max_memory_allocated() if device == "cuda" else process_memory("VmHWM")
    parameters, last, sizes = parameters_of(work.lvlm), seconds[-1], work.sizes
    rate, named = peak(device)
    counts = {stage: operations(parameters, *passes) for stage, passes in work.passes().items()}
    rows = sizes.images * sizes.candidates
    return {
        "seconds": seconds,
        "memory_gib": memory / 2**30,
        "pairs_per_second": rows / last["score"],
        "tokens_per_second": rows * sizes.new_tokens / last["generate"],
        "rows_per_second": rows / last["train"],
        "operations": counts,
        "share": {stage: share(counts[stage], last[stage], rate) for stage in stages},
        "peak": named,
    }
