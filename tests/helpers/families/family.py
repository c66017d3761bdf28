"""What the tests know of a family, and how one becomes a checkpoint folder."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

# widths and depths of all families' towers and decoders; their heads are of 16 numbers
WIDTH, LAYERS, HEADS, KEY_HEADS = 64, 2, 4, 2
TOWER_WIDTH, TOWER_HEADS = 32, 2
TOWER = {
    "hidden_size": TOWER_WIDTH,
    "intermediate_size": 2 * TOWER_WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": TOWER_HEADS,
}
DECODER = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEY_HEADS,
    "max_position_embeddings": 1024,
}


@dataclass(frozen=True)
class Family:
    """A family of LVLMs at tiny size.

    Attributes:
        build: writes a checkpoint with random weights into a folder.
        model_type: `model_type` of its configuration.
        decoder: name of its decoder in the model, where it is a module of its own.
        tower: name of its vision tower, where it is a module of its own.
        projector: name of what lies between them; it may lie inside the tower.
        end: token that ends a turn.
        closes: whether its template writes that token behind an answer.
        thoughts: what its generation prompt writes for the thoughts that are turned off, and its template not before
            every answer.
        chat_template: template that is supplied for a checkpoint that brings none.
        refused: why the family cannot run, in one line; empty where it runs.
        expected_path: name of the path that `HuggingFaceLVLM` chooses for it; empty where that is not known yet.
        one_image: why a conversation cannot have two images, in one line; empty where it can.
        appends: what its processor writes behind any text, an answer's beginning too, in words; empty if nothing.
        needs_image: why the model's forward cannot do without an image, in one line; empty where it can.
        blank_begins: whether the blank that its tokenizer puts before a word is a token of the answer, since nothing
            but a mark stands before one.
        limit: largest difference from plain forwards; above 1e-4 only with a measured reason.
        flat_images: whether its processor takes one list of images, and not a list for each text.
        sees_prompt: whether a prompt's tokens see each other in both directions, which `token_type_ids` set apart.
    """

    build: Callable[[Path], None]
    model_type: str
    _: KW_ONLY
    decoder: str | None = None
    tower: str | None = None
    projector: str | None = None
    end: str
    closes: bool = True
    thoughts: str = ""
    chat_template: str = ""
    refused: str = ""
    expected_path: str = ""
    one_image: str = ""
    appends: str = ""
    needs_image: str = ""
    blank_begins: bool = False
    limit: float = 1e-4
    flat_images: bool = False
    sees_prompt: bool = False


def token_ids(tokenizer: Any) -> dict[str, int]:
    """The ids that a text configuration wants to know."""
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def write_checkpoint(
    folder: Path, kind: Callable[[Any], Any], config: Any, processor: Any, end: str, stops: Sequence[str] = ()
) -> None:
    """Save a model of that configuration, in which every input counts, and its processor.

    Args:
        folder: where the checkpoint goes.
        kind: the family's model class.
        config: its configuration.
        processor: its processor, chat template included.
        end: token that ends a turn.
        stops: further tokens that its generation configuration names as ends.
    """
    tokenizer = processor.tokenizer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind(config)
        for parameter in model.parameters():
            # fresh weights of this width hardly move the logits, and some begin as zeros
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.2)
            else:
                parameter.data += 0.2 * torch.randn(parameter.shape)
    # half a character decodes to a mark that hides which half it was: the model hardly ever writes one
    broken = [token for token in range(len(tokenizer)) if not tokenizer.decode([token]).isascii()]
    # Nemotron 3 Omni names no head, its decoder does
    parts = [part for part in (model, *model.children()) if hasattr(part, "get_output_embeddings")]
    head = next(head for part in parts if (head := part.get_output_embeddings()) is not None)
    head.weight.data[broken] *= 0.25
    ends = {tokenizer.eos_token_id, *(tokenizer.convert_tokens_to_ids(token) for token in (end, *stops))}
    model.generation_config.eos_token_id = sorted(ends)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
