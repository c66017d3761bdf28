"""Tokenizers of the tiny families: byte-level BPE with each family's own control tokens."""

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

CORPUS = (
    "What color are the rings? The rings are red.",
    "How many circles are there? There are three circles.",
    "Where are the crosses? The crosses are in the top left corner.",
    "Describe the picture. Two red rings in the top left, three blue squares below them.",
    "Write a question about the picture, with its answer. Question: Where? Answer: below",
    "User Assistant user assistant system model You are a helpful assistant.",
)
SIZE = 400


def build_tokenizer(
    specials: Sequence[str],
    *,
    eos: str,
    pad: str,
    bos: str | None = None,
    begins: bool = False,
    **named: str,
) -> PreTrainedTokenizerFast:
    """A tokenizer of at most `SIZE` tokens.

    Args:
        specials: all control tokens, which get the first ids.
        eos: end of sequence.
        pad: padding.
        bos: beginning of sequence, where the family has one.
        begins: put it before every text.
        named: tokens that the family's processor asks for by name, such as `boi_token`.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if bos is not None and begins:
        tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, pad_token=pad, padding_side="left", **named
    )
