"""How answers are scored: pooling of the values of their tokens, and whole answers or sentences."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from lightning_c3l.extensions import is_path
from lightning_c3l.functional.i2c import reading_function
from lightning_c3l.records import POOLINGS, READINGS, Pooling

Unit = Literal["answer", "sentence"]
# readings whose sign says whether the image speaks for a sentence or against it
SIGNED = ("answer", "gap")


@dataclass(frozen=True)
class ScoringConfig:
    """How answers are scored.

    Attributes:
        shuffle_seed: seed of the shuffled-image control, which scores each answer with the images of another context
            too, if there is one with as many images; None leaves the control out.
        pooling: how the values of the tokens become those of the answer in the readings `answer`, `vocabulary` and
            `gap`, and in the control. `positions` is of the whole answer, mean log-probabilities are means.
        unit: `sentence` scores each answer without the sentences that the image does not support, too.
        by: reading by which a sentence is judged: `answer`, `gap`, or one of the user's own whose sign says whether the
            image speaks for it.
        sentence_min: least value of a supported sentence, pooled over its tokens. At 0 the image makes it no less
            likely than it is without.
        readings: dotted paths of readings of the user's own, which are computed beside the four.
        token_values: keep the values of each token, too.

    Raises:
        ValueError: an option is unknown, or two do not go together.
    """

    shuffle_seed: int | None = None
    pooling: Pooling = "mean"
    unit: Unit = "answer"
    by: str = "answer"
    sentence_min: float = 0.0
    readings: tuple[str, ...] = ()
    token_values: bool = False

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, not {self.pooling!r}")
        if self.unit not in ("answer", "sentence"):
            raise ValueError(f"unit must be answer or sentence, not {self.unit!r}")
        if self.unit == "sentence" and self.by not in SIGNED and not is_path(self.by):
            raise ValueError(f"unit sentence needs the reading {' or '.join(SIGNED)}, whose sign judges a sentence")
        if isinstance(self.readings, str):
            raise ValueError(f"readings must be a list of names, not {self.readings!r}")
        for name in self.readings:
            if name in READINGS:
                raise ValueError(f"readings {name}: is always computed; name readings of your own")
            reading_function("readings", name)
        if not math.isfinite(self.sentence_min):
            raise ValueError(f"sentence_min must be a finite number, not {self.sentence_min}")
        if self.sentence_min and self.unit != "sentence":
            raise ValueError(f"sentence_min {self.sentence_min} needs the unit sentence, not {self.unit}")

    @property
    def needs_sentences(self) -> bool:
        """Whether the sentence of each token is needed."""
        return self.pooling == "min_sentence" or self.unit == "sentence"

    @property
    def needs_texts(self) -> bool:
        """Whether the texts of tokens are needed."""
        return self.needs_sentences or self.token_values

    def made_with(self) -> dict[str, Any]:
        """What scores depend on beside the LVLM and the seed, by name; empty for the defaults."""
        pooled: dict[str, Any] = {} if self.pooling == "mean" else {"pooling": self.pooling}
        pooled |= {"readings": list(self.readings)} if self.readings else {}
        if self.unit == "answer":
            return pooled
        return pooled | {"unit": self.unit, "sentences_by": self.by, "sentence_min": self.sentence_min}


def own_readings(reading: str) -> tuple[str, ...]:
    """The readings beside the four that a reading asks for: itself, if it is one of the user's own."""
    return (reading,) if is_path(reading) else ()
