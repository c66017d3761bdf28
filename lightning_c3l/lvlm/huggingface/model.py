"""`HuggingFaceLVLM`: any image-text-to-text model of transformers, as the method's LVLM."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL.Image import Image
from torch import Tensor, nn

from lightning_c3l.conversations import Conversation
from lightning_c3l.lvlm.base import Anchor, AnswerTokens, Context, GroupBatch, GroupStates, Sampling
from lightning_c3l.lvlm.huggingface import groups
from lightning_c3l.lvlm.huggingface.adapters import LoRA, Reference, attach_lora
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.forward import plain_hidden, token_logp
from lightning_c3l.lvlm.huggingface.generation import encode_prompts, generate
from lightning_c3l.lvlm.huggingface.loading import Precision, fingerprint, load_checkpoint, resolve
from lightning_c3l.lvlm.huggingface.scoring import score_answers
from lightning_c3l.lvlm.huggingface.tuning import TuningBatch, encode_conversations
from lightning_c3l.samples import GroupSample


class HuggingFaceLVLM:
    """An LVLM of transformers.

    Args:
        path: checkpoint folder or Hub name; `shipped:scenes` is the base of the embedded world.
        lora: adapters to train; null trains every weight.
        dtype: precision of the weights in memory.
        keep_reference: under full fine-tuning, keep a frozen copy of the starting model for `scorer: reference`.
        trust_remote_code: run Python code that comes with the checkpoint; only for sources that you trust.

    Raises:
        LVLMError: if the checkpoint cannot be used.
    """

    def __init__(
        self,
        path: str,
        lora: LoRA | None = LoRA(),  # noqa: B008  # frozen
        dtype: Precision = "float32",
        keep_reference: bool = True,
        trust_remote_code: bool = False,
    ) -> None:
        self.path = path = resolve(path)
        model, processor = load_checkpoint(path, dtype, trust_remote_code)
        self.processor = processor
        self.encoder = ChatEncoder(processor, path)
        self.placeholder: int = processor.image_token_id
        self.fingerprint = fingerprint(path)
        self._network: Any = model if lora is None else attach_lora(model, lora)
        self._reference = Reference(self._network, keep_reference)
        self._active: Any = None

        self._options = (path, lora, dtype, keep_reference, trust_remote_code)

    def fresh(self) -> "HuggingFaceLVLM":
        """The same LVLM as it was before training, adapters and all."""
        return HuggingFaceLVLM(*self._options)

    @property
    def saved_as(self) -> str:
        """Name of the folder that `save` fits: adapters, or a whole model."""
        return "adapter" if isinstance(self._network, PeftModel) else "model"

    @property
    def network(self) -> nn.Module:
        """The module that is trained, saved and moved."""
        return self._network  # type: ignore[no-any-return]

    @property
    def model(self) -> Any:
        """The transformers model that answers now: the trained one, or the reference inside `reference()`."""
        if self._active is not None:
            return self._active
        return self._network.get_base_model() if isinstance(self._network, PeftModel) else self._network

    @property
    def hidden_size(self) -> int:
        """Width of the decoder's hidden states."""
        return int(self.model.get_output_embeddings().in_features)

    @contextmanager
    def reference(self) -> Iterator[None]:
        """Inside, the network is the starting model."""
        before = self._active
        with self._reference.active() as model:
            self._active = model
            try:
                yield
            finally:
                self._active = before

    def generate(
        self,
        images: Sequence[Image],
        prompts: Sequence[str],
        sampling: Sampling,
        seed: int,
        begun: Sequence[str] | None = None,
    ) -> list[list[str]]:
        """`sampling.samples` texts for each (image, prompt); texts that are `begun` are continued."""
        chats = encode_prompts(self.encoder, prompts, begun)
        return generate(self.model, self.encoder, self.placeholder, images, chats, sampling, seed)

    def score(
        self,
        images: Sequence[Image],
        pairs: Sequence[Sequence[tuple[str, str]]],
        shuffled: Sequence[Image] | None = None,
    ) -> AnswerTokens:
        """Token statistics of all (question, answer) pairs of all images, image by image."""
        return score_answers(self.model, self.encoder, self.placeholder, images, pairs, shuffled)

    def encode_groups(self, samples: Sequence[GroupSample], anchor: Anchor, context: Context) -> GroupBatch:
        """Tokens and pixels of a batch of groups."""
        return groups.encode_groups(self.encoder, self.placeholder, samples, anchor, context)

    def group_states(self, batch: GroupBatch, anchor: Anchor, context: Context) -> GroupStates:
        """One forward over a batch of groups, with gradients."""
        return groups.group_states(self.model, batch, anchor, context)

    def encode_conversations(self, samples: Sequence[tuple[Conversation, Image | None]]) -> TuningBatch:
        """Tokens, pixels and targets of a batch of VLIT records."""
        return encode_conversations(self.encoder, self.placeholder, samples)

    def conversation_logp(self, batch: TuningBatch) -> Tensor:
        """Log-probabilities of the batch's target tokens, [B, L], 0 elsewhere; with gradients."""
        hidden = plain_hidden(self.model, batch.ids, batch.mask, batch.pixels)
        return token_logp(self.model.get_output_embeddings(), hidden, batch.ids, batch.target)

    def save(self, folder: Path) -> None:
        """Write the adapter (or the whole network) and the processor as a checkpoint folder."""
        self._network.save_pretrained(folder, safe_serialization=True)
        self.processor.save_pretrained(folder)


def merged(path: str, adapter: Path, dtype: Precision = "float32") -> tuple[Any, Any]:
    """Base checkpoint with an adapter's update folded into its weights: (model, processor)."""
    model, processor = load_checkpoint(resolve(path), dtype, trust_remote_code=False)
    with torch.no_grad():
        return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(), processor
