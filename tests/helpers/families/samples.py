"""Pictures, conversations and groups that the tests of all families share."""

from collections.abc import Sequence
from random import Random
from typing import Any

from PIL.Image import Image, Resampling, new

from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.samples import GroupSample

CLOSE: dict[str, Any] = {"atol": 1e-4, "rtol": 1e-4}
# (width, height): they cut into different numbers of tiles
SIZES = ((48, 48), (120, 50), (60, 130), (48, 48), (90, 80))
ASKED = (("user", "What color are the rings?"),)
CHAT = (*ASKED, ("assistant", "red"), ("user", "Where are they, then?"))
SYSTEM = (("system", "Be brief."), *CHAT)
CLOSED = (*SYSTEM, ("assistant", "Top left,\nça va 🙂."))
PROMPTS = ("Describe the picture.", "Write a question about the picture, with its answer.", "Where?", "Why so?", "How?")
GREEDY = Sampling(samples=1, max_new_tokens=10, temperature=0.0)
PAIRS = [
    [("What color are the rings?", "red"), ("How many circles are there?", "there are three of them, I think")],
    [("Where are the crosses?", "top left")],
    [("Are there any squares?", "no"), ("Are there any squares?", "yes"), ("Q", "A long answer, word by word. 🙂")],
]


def pictures() -> list[Image]:
    """Coloured fields at different sizes."""
    out = list[Image]()
    for number, size in enumerate(SIZES):
        random = Random(number)
        field = new("RGB", (4, 4))
        field.putdata([tuple(random.randrange(256) for _ in range(3)) for _ in range(16)])
        out.append(field.resize(size, Resampling.BICUBIC))
    return out


def group_samples(images: Sequence[Image]) -> list[GroupSample]:
    """Two groups of different sizes, over images of different sizes."""
    texts = ("Question: What color are the rings?\nAnswer: red", "Question: Where?\nAnswer: top left", "rings")
    return [
        GroupSample(images[1], "Write a color question.", texts, "What color are the rings?", "red", "two rings"),
        GroupSample(images[2], "Write a question, with its answer.", ("Q: How many?",), "How many?", "four", "none."),
    ]
