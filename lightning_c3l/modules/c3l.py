"""`C3LModule`: contrastive pseudo-label training of an LVLM on groups of its own candidates."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from lightning_c3l.functional.losses import ContrastivePseudoLabelLoss, c3l_loss, sequence_nll
from lightning_c3l.lvlm.base import Anchor, Context, GenerationRequest, RoundLVLM, Sampling
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.batches import GroupBatch, GroupStates
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.modules.optimization import Optimization
from lightning_c3l.modules.whole_batch import WholeBatchModule
from lightning_c3l.records import Candidate, ScoredCandidate
from lightning_c3l.rounds.engine import Task, kept_keys, made_with, make_records
from lightning_c3l.rounds.generation import GenerationConfig, ImageChunk, Read, Written, generate_candidates
from lightning_c3l.rounds.scoring import Known, score_candidates

Scorer = Literal["reference", "current"]


@dataclass(frozen=True)
class Loss:
    """L = w (1/2 NLL(write the pair) + 1/2 NLL(answer its question)) * nll_weight + contrastive_weight * L_con.

    Attributes:
        contrastive_weight: lambda; 0 leaves the contrastive term and its candidates out.
        nll_weight: of the likelihood terms; 0 is possible but destroys the writer.
        temperature: tau of the contrastive term.
        projection_size: width of z = mean ReLU(W h + b).
        anchor: what the anchor is read from: the prompt with its image, the instruction alone, or the model's own
            description of the image.
        context: whether candidates are read after image and instruction, or after the instruction alone.
        cross_group: use the texts of other images of the batch (of all ranks) as negatives too.
    """

    contrastive_weight: float = 0.3
    nll_weight: float = 1.0
    temperature: float = 0.2
    projection_size: int = 128
    anchor: Anchor = "prompt"
    context: Context = "image"
    cross_group: bool = False

    def __post_init__(self) -> None:
        """Refuse losses that cannot train, and warn of the one that is known to destroy."""
        for name, weight in (("contrastive_weight", self.contrastive_weight), ("nll_weight", self.nll_weight)):
            if not weight >= 0:
                raise ValueError(f"loss.{name} must be at least 0, not {weight}")
        if self.contrastive_weight == 0 and self.nll_weight == 0:
            raise ValueError("loss: contrastive_weight and nll_weight are both 0, nothing would be trained")
        if self.anchor not in ("prompt", "instruction", "description") or self.context not in ("image", "text"):
            raise ValueError(f"loss: unknown anchor {self.anchor!r} or context {self.context!r}")
        if self.nll_weight == 0:
            rank_zero_warn("loss: nll_weight is 0: the contrastive term alone is known to destroy the writer")


class C3LModule(WholeBatchModule):
    """Trains an LVLM on pseudo-labels and writes candidates with it.

    The objective of an optimizer step is the mean of L over all of its groups: of all micro-batches and processes. With
    `cross_group` the contrastive term of a group depends on which groups share its micro-batch, and so on how the
    step is cut.

    Args:
        lvlm: the model.
        writing: how it is asked to write.
        loss: the objective.
        optimization: learning rate and schedule.
    """

    lvlm: RoundLVLM
    usual_terms = 8

    def __init__(
        self,
        lvlm: RoundLVLM,
        writing: GenerationConfig = GenerationConfig(),  # noqa: B008  # frozen
        loss: Loss = Loss(),
        optimization: Optimization = Optimization(),  # noqa: B008
    ) -> None:
        super().__init__()
        self.lvlm = lvlm
        # `from_pretrained` gives it in eval mode, and Lightning keeps the mode that it finds
        self.network = lvlm.network.train()
        self.writing = writing
        self._sizes = dict[tuple[str, int], BatchSize]()
        self.loss = loss
        self.optimization = optimization
        self.contrastive = ContrastivePseudoLabelLoss(
            lvlm.hidden_size, loss.projection_size, loss.temperature, loss.cross_group
        )
        # a head that no loss reaches would stop DDP, which waits for every gradient
        self.contrastive.requires_grad_(loss.contrastive_weight > 0)

    def write(
        self,
        keys: Sequence[str],
        read: Read,
        seed: int,
        progress: str = "write",
        first: int = 0,
        written: Written | None = None,
    ) -> list[Candidate]:
        """Candidates of the model as it is now, in eval mode; see `generation.generate_candidates`."""
        size = self._fitting("batch_size")
        with self.outside_steps():
            images = ImageChunk(keys, read, first)
            return generate_candidates(self.lvlm, images, self.writing, seed, progress, size, written)

    def score(
        self,
        candidates: Sequence[Candidate],
        read: Read,
        scorer: Scorer,
        seed: int,
        progress: str = "score",
        known: Known | None = None,
    ) -> list[ScoredCandidate]:
        """Scores by the starting model or by the model as it is now, in eval mode; see `scoring.score_candidates`."""
        size = self._fitting("score_batch_size")
        with self.outside_steps(), nullcontext() if scorer == "current" else self.lvlm.reference():
            return score_candidates(self.lvlm, candidates, read, size, seed, progress, known)

    def answers(self, keys: Sequence[str], questions: Sequence[str], read: Read, sampling: Sampling) -> list[str]:
        """One answer to each question about the image of its key, in eval mode."""
        with self.outside_steps():
            requests = [
                GenerationRequest(question, read(key), self.seed + index)
                for index, (key, question) in enumerate(zip(keys, questions, strict=True))
            ]
            texts = self.lvlm.generate(requests, sampling, self.writing.batch_size)
        return [completions[0] for completions in texts]

    def _fitting(self, option: str) -> BatchSize:
        """A batch size of `writing`, halved once for the whole run where memory has run out."""
        value = getattr(self.writing, option)
        return self._sizes.setdefault((option, value), BatchSize(value, f"writing.{option}"))

    @contextmanager
    def outside_steps(self) -> Iterator[None]:
        """What steps have and rounds need too, the trainer's device and precision; and eval mode and whole weights.

        Enter it on all processes together, or inside `whole_weights`, which has to be entered so.
        """
        trainer = self._trainer
        precision = nullcontext() if trainer is None else trainer.precision_plugin.forward_context()
        with self.whole_weights(), evaluating(self), precision:
            yield

    def predict_step(self, keys: Sequence[str], batch_idx: int) -> "Predicted":
        """Candidates for all images, made by all processes and scored by the starting model; for the first process."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        source, _ = data.source("images")
        folder = self.trainer.default_root_dir
        more = {"digests": data.digests("images"), "longest_side": data.longest_side}
        return Predicted(self.final_records(folder, keys, source.read, 15_485_863, **more))

    def final_records(
        self,
        folder: str,
        keys: Sequence[str],
        read: Read,
        stream: int,
        digests: Mapping[str, str] | None = None,
        **more: Any,
    ) -> list[ScoredCandidate]:
        """What the model writes now about the images of a data set; every process must call it.

        Args:
            folder: run folder.
            keys: the images.
            read: gives the picture of a key.
            stream: tells the draws from those of other stages.
            digests: of all images that can be read, so that a set that goes on is about the images it was begun with.
            more: whatever else the records depend on, by name.

        Returns:
            All of it in the first process, nothing in the others.
        """
        with self.outside_steps():
            place = Path(folder) / "rounds" / "final"
            keys = kept_keys(place, keys)
            task = Task(
                name="data set",
                folder=place,
                keys=keys,
                read=read,
                seed=self.seed * 1009 + stream,
                scorer="reference",
                describes=False,
                made_with=made_with(self, keys, stream=stream, **more),
                again="remove that folder",
                digests=digests or {},
            )
            return make_records(self, task, PassThroughProfiler()).candidates

    def encode(self, samples: Sequence[GroupSample]) -> GroupBatch:
        """Collate function that the datamodule is handed."""
        if self.loss.contrastive_weight == 0:
            samples = [GroupSample(**{**sample.__dict__, "texts": sample.texts[:1]}) for sample in samples]
        return self.lvlm.encode_groups(samples, self.loss.anchor, self.loss.context)

    def training_step(self, batch: GroupBatch, batch_idx: int) -> Tensor:
        """Mean loss of one batch of groups."""
        states = self.lvlm.group_states(batch, self.loss.anchor, self.loss.context)
        write = sequence_nll(states.write_logp, states.write_mask)
        answer = sequence_nll(states.answer_logp, states.answer_mask)
        contrastive = torch.zeros_like(write)
        if self.loss.contrastive_weight > 0:
            contrastive = self._contrast(states)
        weights = self.loss.nll_weight, self.loss.contrastive_weight
        loss = c3l_loss(write, answer, contrastive, batch.weights, *weights)
        figures = {"loss": loss, "write_nll": write.mean(), "answer_nll": answer.mean(), "con": contrastive.mean()}
        size = len(batch.weights)
        self.weigh(size, batch_idx)
        self.log_dict({f"train/{k}": v for k, v in figures.items()}, prog_bar=True, batch_size=size)
        return loss

    def _contrast(self, states: GroupStates) -> Tensor:
        """L_con of each group, [G]: rows of candidates put into a table [G, K, D] by group and number."""
        anchor = self.contrastive.project(states.anchor, states.anchor_mask)
        rows = self.contrastive.project(states.candidates, states.candidate_mask)
        groups, most = len(anchor), int(states.role.max()) + 1
        table = rows.new_zeros(groups, most, rows.shape[-1])
        table = table.index_put((states.owner, states.role), rows)
        real = torch.zeros(groups, most, dtype=torch.bool, device=rows.device)
        real[states.owner, states.role] = True
        return self.contrastive(anchor, table, real)  # type: ignore[no-any-return]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW over what is trained."""
        return self.optimization.configure(self.parameters(), lambda: int(self.trainer.estimated_stepping_batches))


class Predicted:
    """What `predict_step` gives: a plain object, since Lightning walks into lists and refuses frozen dataclasses."""

    def __init__(self, candidates: Sequence[ScoredCandidate]) -> None:
        self.candidates = list(candidates)


class evaluating:  # reads as a statement
    """Context in which a module is in eval mode; its mode comes back afterwards."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.modules = {part: part.training for part in module.modules()}
        self.module = module

    def __enter__(self) -> None:
        self.module.eval()

    def __exit__(self, *exception: object) -> None:
        for part, training in self.modules.items():
            part.training = training
