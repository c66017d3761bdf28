"""What transformers alone says of one sequence: its processor, one unpadded forward, its own `generate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from tests.helpers.families.family import Family
from tests.helpers.tiny import messages

Turns = Sequence[tuple[str, str]]
# inputs with a number for each token
_ROWS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")


@dataclass(frozen=True)
class Alone:
    """One question and its answer, run alone: tokens [L], logits [L, V], last hidden layer [L, H].

    The answer's tokens lie in [start, end); its end of turn is at `end`.
    """

    ids: Tensor
    logits: Tensor
    hidden: Tensor
    start: int
    end: int

    def logp(self, closed: bool = False) -> Tensor:
        """Log-probabilities of the answer's tokens, with the end of turn if `closed`."""
        stop = self.end + closed
        table = self.logits[self.start - 1 : stop - 1].log_softmax(-1)
        return table[torch.arange(len(table)), self.ids[self.start : stop]]


@dataclass(frozen=True)
class Reference:
    """A family's model and processor, used as its documentation says.

    Attributes:
        family: which one.
        processor: the checkpoint's processor.
        model: the transformers model.
    """

    family: Family
    processor: Any
    model: Any

    def inputs(self, turns: Turns, image: Image | None) -> dict[str, Tensor]:
        """Model inputs [1, L] of one conversation."""
        said = messages(turns, image)
        text = self.processor.apply_chat_template(
            said, tokenize=False, add_generation_prompt=turns[-1][0] != "assistant"
        )
        if not self.family.closes:
            for role, words in turns:
                if role == "assistant":
                    text = text.replace(f"ASSISTANT: {words} ", f"ASSISTANT: {words}{self.family.end}")
        bos = self.processor.tokenizer.bos_token
        options = {"add_special_tokens": not (bos and text.startswith(bos)), "return_tensors": "pt"}
        if image is None:
            return dict(self.processor.tokenizer(text, **options))
        return dict(self.processor(text=[text], images=[[image]], **options))

    def answer(self, question: str, answer: str, image: Image | None) -> Alone:
        """A plain forward of a question and its answer."""
        inputs = self.inputs([("user", question), ("assistant", answer)], image)
        ids = inputs["input_ids"][0]
        tokenizer, end = self.processor.tokenizer, self._end(ids)
        # the last token from which on the text is the answer: a blank that the template wrote before it stays outside
        start = max(n for n in range(end) if tokenizer.decode(ids[n:end]).strip() == answer)
        out = self.model(**inputs, output_hidden_states=True)
        return Alone(ids, out.logits[0], out.hidden_states[-1][0], start, end)

    def writes(self, prompt: str, image: Image, ends: Sequence[int], tokens: int) -> list[int]:
        """What `generate` writes, likeliest token after likeliest token, the end included."""
        return self._generate(self.inputs([("user", prompt)], image), ends, tokens)

    def goes_on(self, prompt: str, begun: str, image: Image, ends: Sequence[int], tokens: int) -> list[int]:
        """What it writes after the beginning of an answer."""
        inputs = self.inputs([("user", prompt), ("assistant", begun)], image)
        length = self._end(inputs["input_ids"][0])
        whole = {key: value[:, :length] if key in _ROWS else value for key, value in inputs.items()}
        return self._generate(whole, ends, tokens)

    def _end(self, ids: Tensor) -> int:
        (ends,) = torch.nonzero(ids == self.processor.tokenizer.convert_tokens_to_ids(self.family.end), as_tuple=True)
        return int(ends[-1])

    @torch.no_grad()
    def _generate(self, inputs: dict[str, Tensor], ends: Sequence[int], tokens: int) -> list[int]:
        # a token for an image in the middle of a text stands for no image
        never = [self.model.config.image_token_id]
        out = self.model.generate(
            **inputs, do_sample=False, max_new_tokens=tokens, suppress_tokens=never, eos_token_id=list(ends)
        )
        return out[0, inputs["input_ids"].shape[1] :].tolist()  # type: ignore[no-any-return]

    def decode(self, ids: Sequence[int]) -> str:
        """Tokens as text."""
        return str(self.processor.tokenizer.decode(ids, skip_special_tokens=True)).strip()
