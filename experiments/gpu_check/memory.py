"""A batch that does not fit: the batch size is halved, and the scores stay the same."""

from dataclasses import replace
from typing import Any

import torch

from experiments.gpu_check.checks import Outcome, Setting
from experiments.speed.models import Workload, build_llava
from experiments.speed.shapes import SHAPES
from lightning_c3l.lvlm.base import AnswerTokens, Chats, Images
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.records import exchange
from lightning_c3l.rounds.scoring import Context, score_contexts
from lightning_c3l.selection.scoring_config import ScoringConfig

# images that are tried at once, and that surely fit
_FIRST, _FITS = 32, 2
_TOLERANCE = 1e-3


class LimitedScorer:
    """An LVLM whose memory suffices for so many images; stands in for a GPU's.

    Args:
        lvlm: scores.
        most: number of images.
    """

    def __init__(self, lvlm: Any, most: int) -> None:
        self._lvlm, self._most = lvlm, most

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lvlm, name)

    def score(self, images: list[Images], chats: list[Chats], shuffled: list[Images] | None = None) -> AnswerTokens:
        """Score as the LVLM does, or run out of memory."""
        if len(images) > self._most:
            raise torch.OutOfMemoryError(f"simulated: {len(images)} images")
        scored: AnswerTokens = self._lvlm.score(images, chats, shuffled)
        return scored


def check_halving(setting: Setting) -> Outcome:
    """Score with a batch size that does not fit; on a GPU this process may use but a part of its memory."""
    shape = replace(SHAPES["small" if setting.on_gpu else "tiny"], groups=_FIRST)
    lvlm: Any = build_llava(setting.folder, shape, "float32", torch.device(setting.device))
    load = Workload.random(shape)
    contexts = [Context((str(n),), tuple(exchange(*p) for p in pairs)) for n, pairs in enumerate(load.pairs)]

    def score(scorer: Any, size: BatchSize) -> torch.Tensor:
        found = score_contexts(scorer, contexts, lambda key: load.images[int(key)], size, ScoringConfig())
        return torch.tensor([one.scores.answer for own in found for one in own if one.scores is not None])

    if setting.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    expected, size = score(lvlm, BatchSize(_FITS, "score_batch_size")), BatchSize(_FIRST, "score_batch_size")
    if setting.on_gpu:
        _limit_memory()
        found = score(lvlm, size)
    else:
        found = score(LimitedScorer(lvlm, 5), size)
    count, problems = shape.groups * shape.candidates, []
    if not len(found) == len(expected) == count:
        problems.append(f"{len(found)} and {len(expected)} scores instead of {count}")
    elif (off := float((found - expected).abs().max())) > _TOLERANCE:
        problems.append(f"scores differ by {off:.2g} nats after halving")
    if not _FITS <= size.size < _FIRST:
        problems.append(f"the batch size went from {_FIRST} to {size.size}")
    kind = "real" if setting.on_gpu else "simulated"
    return Outcome(f"{kind}: batch size {_FIRST} became {size.size}", problems, {"kind": kind, "size": size.size})


def _limit_memory() -> None:
    """Leave this process room for about three times the batch that has just run."""
    peak = torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    rest = torch.cuda.memory_reserved()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(min(1.0, (rest + 3 * (peak - rest)) / total))
