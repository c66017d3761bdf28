"""`HuggingFaceLVLM`: any image-text-to-text model of transformers."""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from peft import PeftModel
from PIL.Image import Image
from torch import Tensor, nn

from lightning_c3l.distributed.fsdp import whole_state
from lightning_c3l.lvlm.base import (
    Anchor,
    AnswerTokens,
    Chats,
    Context,
    GenerationRequest,
    GroupExtras,
    Images,
    LVLMError,
    Sampling,
)
from lightning_c3l.lvlm.batches import ConversationBatch, GroupBatch, GroupLogp, GroupStates
from lightning_c3l.lvlm.external import RequestOptions, ServableLVLM
from lightning_c3l.lvlm.hub import resolve
from lightning_c3l.lvlm.huggingface.adapter_folders import adapter_base, load_adapter, record_base
from lightning_c3l.lvlm.huggingface.adapters import LoRA, adapted_outside_decoder, attach_lora
from lightning_c3l.lvlm.huggingface.batching import TokenIds
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.conversations import images_of
from lightning_c3l.lvlm.huggingface.groups import blind_logp, group_states
from lightning_c3l.lvlm.huggingface.hub_layout import save_model
from lightning_c3l.lvlm.huggingface.images import ImageEncoder
from lightning_c3l.lvlm.huggingface.loading import Precision, Quantize, fingerprint, load_checkpoint
from lightning_c3l.lvlm.huggingface.model_path import ModelPath, PathOption
from lightning_c3l.lvlm.huggingface.output_head import output_embedding
from lightning_c3l.lvlm.huggingface.path_check import choose_path, choose_training_path
from lightning_c3l.lvlm.huggingface.path_choice import PathChoice, once
from lightning_c3l.lvlm.huggingface.placeholders import find_placeholder
from lightning_c3l.lvlm.huggingface.plain_path import PlainPath
from lightning_c3l.lvlm.huggingface.scoring import mean_nll, score_answers
from lightning_c3l.lvlm.huggingface.serving import is_untrained, request_options, save_merged
from lightning_c3l.lvlm.huggingface.template_options import read_template, template_options, use_chat_template
from lightning_c3l.lvlm.huggingface.templates import ChatTemplate
from lightning_c3l.lvlm.samples import GroupSample, TuningSample
from lightning_c3l.records import Turn


@dataclass(frozen=True)
class LVLMOptions:
    """How a checkpoint is loaded and run; flat options of `HuggingFaceLVLM`.

    Attributes:
        dtype: precision of the weights in memory.
        keep_reference: under full fine-tuning, keep a frozen copy of the starting model, which scores in rounds.
        trust_remote_code: run Python code that comes with the checkpoint; only for sources that you trust.
        quantize: keep the frozen weights in 4 bits (`nf4`: QLoRA) or 8 bits (`int8`); needs a CUDA GPU and `lora`.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
        chat_template: file with a Jinja template, for a model that has none or a wrong one; null uses the checkpoint's.
        chat_template_kwargs: values of the chat template's variables; null sets `enable_thinking: false` where the
            template has it, so that answers hold no thoughts.
        path_choice: how the model is run: `fast` shares prefixes under a block mask, `cached` copies each prefix's
            cache, `plain` runs what the processor encodes, `one_by_one` a row at a time; `auto` takes the first that
            agrees with plain forwards, and every choice is checked before it is used.
    """

    dtype: Precision = "float32"
    keep_reference: bool = True
    trust_remote_code: bool = False
    quantize: Quantize | None = None
    gradient_checkpointing: bool = False
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    path_choice: PathOption = "auto"


class HuggingFaceLVLM(ServableLVLM):
    """An LVLM of transformers.

    Args:
        path: checkpoint folder or Hub name; `shipped:scenes` and `shipped:park` are the bases of the embedded worlds.
            An adapter folder, such as the `adapter/` of a run, stands for its base with this adapter, which is not
            trained further.
        lora: adapters to train; null trains every weight.
        options: fields of `LVLMOptions`.

    Raises:
        LVLMError: if the checkpoint cannot be used.
    """

    def __init__(self, path: str, lora: LoRA | None = LoRA(), **options: Any) -> None:  # noqa: B008  # frozen
        self.options = LVLMOptions(**options)
        quantize, variables = self.options.quantize, self.options.chat_template_kwargs
        self.name, self.path = name, path = path, resolve(path)
        base = adapter_base(path)
        if quantize is not None and lora is None and base is None:
            raise LVLMError(f"{path}: quantize: {quantize} keeps weights in a form that cannot be trained; set lora")
        if base is not None and lora is not None:
            raise LVLMError(f"{path}: is an adapter already: set lora: null, or `merge` it first to train another one")
        template = None if self.options.chat_template is None else read_template(self.options.chat_template)
        model, processor = load_checkpoint(base or path, self.options.dtype, self.options.trust_remote_code, quantize)
        if self.options.gradient_checkpointing:
            model.activation_checkpointing_enable()
        self.processor = processor
        use_chat_template(processor, template, (path,) if base is None else (path, base))
        values = template_options(processor, path, variables)
        placeholder = find_placeholder(processor, path, getattr(model.config, "image_token_id", None), values)
        self.images = ImageEncoder(model.config, processor, path, placeholder.text)
        self.encoder = ChatEncoder(
            self.images,
            ChatTemplate(processor, path, values, placeholder, thinks=variables is not None),
            context=getattr(model.config.get_text_config(), "max_position_embeddings", None),
            ends=getattr(getattr(model, "generation_config", None), "eos_token_id", None),
        )
        self._base = name if base is None else base
        self._base_fingerprint = fingerprint(base or path)
        self.fingerprint = self._base_fingerprint if base is None else fingerprint(path, self._base_fingerprint)
        if base is not None:
            self._network: Any = load_adapter(model, path, base)
        else:
            self._network = model if lora is None else attach_lora(model, lora)
        # under full fine-tuning there are no adapters to disable for `reference`
        self._original: Any = None
        if self.options.keep_reference and not isinstance(self._network, PeftModel):
            self._original = copy.deepcopy(self._network).requires_grad_(False).eval()
        self._active: Any = None
        self._inference_path: PathChoice | None = None
        self._training_path: PathChoice | None = None
        self._lora = lora

    def fresh(self) -> Self:
        """A new LVLM with the same options and the weights as they were before training."""
        return type(self)(self.name, self._lora, **vars(self.options))

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.model.dtype  # type: ignore[no-any-return]

    @property
    def chat_template(self) -> str:
        """Template that conversations are rendered with, and the values of its variables."""
        options = self.encoder.template.options
        return f"{self.processor.chat_template}{json.dumps(options, sort_keys=True, default=str) if options else ''}"

    @property
    def saved_as(self) -> str:
        """Name of the folder for `save`: "adapter", or "model" if all weights are trained."""
        return "adapter" if isinstance(self._network, PeftModel) else "model"

    @property
    def network(self) -> nn.Module:
        """The module that is moved, trained and saved."""
        return self._network  # type: ignore[no-any-return]

    def to(self, device: torch.device | str) -> Self:
        """Move the weights to a device; a Trainer does so by itself, and leaves them on the CPU."""
        self._network.to(device)
        return self

    @property
    def model(self) -> Any:
        """The transformers model in use: the trained one, or the original one within `reference()`."""
        if self._active is not None:
            return self._active
        return self._network.get_base_model() if isinstance(self._network, PeftModel) else self._network

    @property
    def decoder_layers(self) -> nn.ModuleList:
        """The decoder's layers, which FSDP shards one by one."""
        return self.model.get_decoder().layers  # type: ignore[no-any-return]

    @property
    def hidden_size(self) -> int:
        """Width of the decoder's hidden states."""
        return int(output_embedding(self.model).in_features)  # type: ignore[arg-type]

    def reference(self) -> AbstractContextManager[None]:
        """Within this context, the LVLM generates and scores with the weights as they were before training."""
        return self._with_reference()

    @contextmanager
    def _with_reference(self) -> Iterator[None]:
        # apart, since the command line compares the annotations of `reference` with those of the protocol
        before, adapted = self._active, isinstance(self._network, PeftModel)
        if not adapted and self._original is None:
            raise LVLMError("full fine-tuning has no adapter to switch off: set keep_reference")
        with self._network.disable_adapter() if adapted else nullcontext():
            self._active = self._network.get_base_model() if adapted else self._original.to(self._network.device)
            try:
                yield
            finally:
                self._active = before

    @property
    def is_reference(self) -> bool:
        """Whether it runs with the weights from before training now."""
        return self._active is not None

    def is_untrained(self) -> bool:
        """Whether its weights are those of the base: fresh adapters, or all weights unchanged."""
        return is_untrained(self._network, self._original)

    @property
    def inference_path(self) -> PathChoice:
        """How the model generates and scores, chosen by the self-check on first use.

        Raises:
            LVLMError: if the model cannot be run, or no path that `path_choice` allows agrees with plain forwards.
        """
        if self._inference_path is None:
            template = (self.chat_template, str(self.options.chat_template_kwargs))
            key = (self.fingerprint, self.dtype, self.model.device.type, self.options.path_choice, *template)
            self._inference_path = once(key, lambda: choose_path(self.model, self.encoder, self.options.path_choice))
        return self._inference_path

    @property
    def training_path(self) -> PathChoice:
        """How training steps run the model, chosen by the self-check on first use.

        Raises:
            LVLMError: as for `inference_path`.
        """
        if self._training_path is None:
            choice = self.inference_path
            key = (self.fingerprint, self.dtype, self.model.device.type, self.name, str(self._lora), str(self.options))
            self._training_path = once(
                key, lambda: choose_training_path(self._network, self.model, self.encoder, choice)
            )
        return self._training_path

    def prepare_training(self) -> None:
        """Choose the path of training steps; before training, while the weights are whole and on their device."""
        self.training_path  # noqa: B018

    def _run(self, choice: PathChoice, images: Sequence[Images] = ()) -> ModelPath:
        """The path of a choice for conversations with these images."""
        return choice.for_images(images).build(self.model, self.encoder)

    def cache_image_features(self) -> AbstractContextManager[None]:
        """Within this context, an image object is encoded once; nothing is cached while the vision tower is trained."""
        if not self._run(self.inference_path).caches_images:
            return nullcontext()
        decoder = {id(p) for p in self.model.get_decoder().parameters()} | {
            id(p) for p in output_embedding(self.model).parameters()
        }
        trained = any(p.requires_grad and id(p) not in decoder for p in self.network.parameters())
        return nullcontext() if trained else self.images.cache_image_features()

    def unsupported_images(self, images: Sequence[Image]) -> list[str]:
        """Error message per image, '' if it is accepted; within `cache_image_features`, features are computed here."""
        return self._run(self.inference_path).unsupported_images(images)

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int | None = None,
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[str]], object] = lambda _, __: None,
    ) -> list[list[str]]:
        """Sample `sampling.samples` completions for each request; see `TextGenerator.generate`."""
        out: list[list[str]] = [[] for _ in requests]

        def decode(index: int, rows: list[TokenIds]) -> None:
            texts = self.processor.tokenizer.batch_decode([list(row) for row in rows], skip_special_tokens=True)
            out[index] = [text.strip() for text in texts]
            finished(index, out[index])

        if requests:
            self._run(self.inference_path).generate(
                requests, sampling, batch_size or len(requests), progress, finished=decode
            )
        return out

    def score(
        self,
        images: Sequence[Images],
        chats: Sequence[Chats],
        shuffled: Sequence[Images] | None = None,
    ) -> AnswerTokens:
        """Statistics of the tokens of every assistant turn; see `AnswerScorer.score`."""
        return score_answers(self._run(self.inference_path, images), images, chats, shuffled)

    def answer_texts(self, chats: Sequence[Chats]) -> list[list[str]]:
        """Text of each token of every assistant turn; see `AnswerScorer.answer_texts`."""
        return [texts for own in chats for chat in own for texts in self.encoder.answer_texts(chat)]

    def mean_nll(self, images: Sequence[Images], chats: Sequence[Chats]) -> list[list[float]]:
        """Mean negative log-likelihood per token of each conversation, in nats; see `AnswerScorer.mean_nll`."""
        return mean_nll(self._run(self.inference_path, images), images, chats)

    def adapted_outside_decoder(self) -> list[str]:
        """Names of the layers with adapters of the vision tower, projector and head."""
        return adapted_outside_decoder(self.model)

    def prompt_ids(self, requests: Sequence[GenerationRequest]) -> list[TokenIds]:
        """Token row of each prompt; see `ServableLVLM.prompt_ids`."""
        return self._run(self.inference_path).prompt_ids(requests)

    def answer_ids(self, image: Image | None, turns: Sequence[Turn]) -> tuple[TokenIds, tuple[bool, ...]]:
        """Token row of a conversation up to the end of its last answer, and which tokens are this answer's."""
        return self._run(self.inference_path).answer_ids(image, turns)

    def request_options(self) -> RequestOptions:
        """What a server must be told so that it generates as `generate` does."""
        return request_options(self.encoder, self._run(self.inference_path).vocab_size)

    def clean(self, text: str) -> str:
        """A text without control tokens and blanks at its ends, as a turn is read."""
        return self.encoder.clean(text).strip()

    def encode_groups(
        self,
        samples: Sequence[GroupSample],
        anchor: Anchor,
        context: Context,
        extras: GroupExtras = GroupExtras(),  # noqa: B008  # frozen
    ) -> GroupBatch:
        """Tokens and pixels of a batch of groups."""
        return self._run(self.training_path).encode_groups(samples, anchor, context, extras)

    def group_states(
        self,
        batch: GroupBatch,
        anchor: Anchor,
        context: Context,
        extras: GroupExtras = GroupExtras(),  # noqa: B008  # frozen
    ) -> GroupStates:
        """Log-probabilities and hidden states of a batch of groups, with gradients."""
        return group_states(self._run(self.training_path), batch, anchor, context, extras)

    def blind_logp(self, batch: GroupBatch) -> GroupLogp:
        """Log-probabilities of the texts of a batch of groups without their image, with gradients."""
        return blind_logp(self._run(self.training_path), batch)

    def encode_conversations(self, samples: Sequence[TuningSample]) -> ConversationBatch:
        """Tokens, pixels and targets of a batch of VLIT records."""
        return self._run(self.training_path, images_of(samples)).encode_conversations(samples)

    def conversation_logp(self, batch: ConversationBatch) -> Tensor:
        """Log-probabilities of the batch's target tokens, [B, L], 0 elsewhere; with gradients."""
        path = self._run(self.training_path)
        # a batch with several images of one record may have been encoded for another path
        return (PlainPath(self.model, self.encoder) if batch.parts else path).conversation_logp(batch)

    def save(self, folder: Path) -> None:
        """Write the adapter, or all weights, and the processor to a folder; the weights must be whole."""
        state = whole_state(self._network)
        self.processor.save_pretrained(folder)
        if isinstance(self._network, PeftModel):
            self._network.save_pretrained(folder, safe_serialization=True, state_dict=state)
            record_base(folder, self._base, self._base_fingerprint)
        else:
            save_model(self._network, folder, state)

    def save_merged(self, folder: Path) -> None:
        """Write all weights, adapters folded in, and the processor to a folder; the weights must be whole."""
        save_merged(self._network, self.processor, folder)
