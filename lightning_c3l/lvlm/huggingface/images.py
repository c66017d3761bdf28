"""Images as a model takes them: the tokens that stand for one, and the features that take those tokens' place."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import ConversationError, ImageError, LVLMError

Pixels = dict[str, Tensor]


@dataclass(frozen=True)
class ImageTokens:
    """What a processor writes for one image.

    Attributes:
        text: the text, each run of image tokens as one.
        runs: number of image tokens in each run.
    """

    text: str
    runs: tuple[int, ...]

    @property
    def count(self) -> int:
        """Image tokens in all."""
        return sum(self.runs)


@dataclass(frozen=True)
class Seen:
    """An image after the vision tower.

    Attributes:
        tokens: what stands for it in a prompt.
        features: one vector for each of its image tokens, [M, H].
        grid: the tensors that are no pixels, such as the grid of patches that positions are computed from.
    """

    tokens: ImageTokens
    features: Tensor
    grid: Pixels


class ImageEncoder:
    """Runs a processor and a vision tower on images alone, so that each is seen once whatever is said about it.

    Raises:
        LVLMError: if the processor names no image token.
    """

    def __init__(self, config: Any, processor: Any, name: str) -> None:
        self.processor, self.name = processor, name
        # Gemma's templates write the token that begins an image; its processor puts the image's own tokens behind it
        text = getattr(processor, "boi_token", None) or getattr(processor, "image_token", None)
        token = getattr(config, "image_token_id", None)
        if text is None or token is None:
            raise LVLMError(f"{name}: the processor has no image token, so prompts with an image cannot be built")
        self.placeholder: str = str(text)
        self.token: int = int(token)
        self._as_text = lru_cache(maxsize=4096)(self._decode)
        self._remembered: dict[int, tuple[Image, Seen]] | None = None

    def encode(self, images: Sequence[Image]) -> tuple[list[ImageTokens], Pixels]:
        """Tokens of each image, and the pixel tensors of all.

        Raises:
            ImageError: if the processor cannot take an image.
        """
        try:
            out = self.processor(
                text=[self.placeholder] * len(images),
                # one list for each text: some processors refuse a flat list
                images=[[image] for image in images],
                return_tensors="pt",
                padding=True,
                add_special_tokens=False,
            )
        except torch.OutOfMemoryError:
            raise
        except (ValueError, RuntimeError, OSError, IndexError, ZeroDivisionError) as error:
            sizes = ", ".join(f"{image.width}x{image.height}" for image in images[:4])
            raise ImageError(f"{self.name}: the processor cannot take an image ({sizes} pixels): {error}") from error
        mask, ids = out.pop("attention_mask").bool(), out.pop("input_ids")
        rows = [tuple(row[keep].tolist()) for row, keep in zip(ids, mask, strict=True)]
        pixels = {k: v for k, v in out.items() if isinstance(v, Tensor) and not k.endswith("token_type_ids")}
        return [self._collapse(row) for row in rows], pixels

    def _collapse(self, ids: tuple[int, ...]) -> ImageTokens:
        runs, kept = list[int](), list[int]()
        for token, run in groupby(ids):
            length = len(list(run))
            if token == self.token:
                runs.append(length)
                kept.append(token)
            else:
                kept += [token] * length
        return ImageTokens(self._as_text(tuple(kept)), tuple(runs))

    def _decode(self, ids: tuple[int, ...]) -> str:
        return str(self.processor.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def features(self, model: Any, pixels: Mapping[str, Tensor]) -> Tensor:
        """Features of all images, [M, H], in the order of their tokens."""
        out = model.get_image_features(**pixels, return_dict=True).pooler_output
        parts = [out] if isinstance(out, Tensor) else list(out)
        return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])

    def check(self, tokens: int, features: int) -> None:
        """Refuse a number of image tokens that is not the number of image features, naming both."""
        if tokens != features:
            raise LVLMError(
                f"{self.name}: {tokens} image tokens in the prompt for {features} image features: processor and model "
                "do not belong together (patch size, number of tiles or feature selection)"
            )

    def tokens(self, model: Any, images: Sequence[Image]) -> list[ImageTokens]:
        """Tokens of each image; where images are remembered, by way of their features, which are needed anyway."""
        if self._remembered is None:
            return self.encode(images)[0]
        return [one.tokens for one in self.see(model, images)]

    @contextmanager
    def cache_image_features(self) -> Iterator[None]:
        """Inside, the features of an image object are computed once, until the outermost block is left."""
        outer, self._remembered = self._remembered, {} if self._remembered is None else self._remembered
        try:
            yield
        finally:
            self._remembered = outer

    def require_apart(self, images: Sequence[Image]) -> None:
        """Refuse several images of one conversation where the processor makes less of each than of one alone.

        LLaVA-OneVision leaves out the tiles of images that come together; features of each alone would not be its own.

        Raises:
            ConversationError: if it does.
        """
        if len(images) < 2:
            return
        together = self.processor(text=[self.placeholder * len(images)], images=[list(images)], return_tensors="pt")
        alone = sum(one.count for one in self.encode(images)[0])
        if int((together["input_ids"] == self.token).sum()) != alone:
            raise ConversationError(
                "the model reads several images of one conversation in another way than one alone; not supported"
            )

    @torch.no_grad()
    def see(self, model: Any, images: Sequence[Image]) -> list[Seen]:
        """Each image after the tower; one that comes several times, or is remembered, runs through it once."""
        known = {} if self._remembered is None else self._remembered
        new = {id(image): image for image in images if id(image) not in known}
        encoded = [(image, *self.encode([image])) for image in new.values()]
        # images of one size go through the tower together
        by_shape = dict[Any, list[tuple[Image, list[ImageTokens], Pixels]]]()
        for one in encoded:
            shape = tuple((name, *value.shape) for name, value in one[2].items())
            by_shape.setdefault(shape, []).append(one)
        for same in by_shape.values():
            known |= self._run(model, same)
        return [known[id(image)][1] for image in images]

    def _run(
        self, model: Any, encoded: Sequence[tuple[Image, list[ImageTokens], Pixels]]
    ) -> dict[int, tuple[Image, Seen]]:
        names = encoded[0][2]
        pixels = {name: torch.cat([one[2][name] for one in encoded]).to(model.device) for name in names}
        counts = [one[1][0].count for one in encoded]
        whole = self.features(model, pixels)
        self.check(sum(counts), len(whole))
        features = torch.split(whole, counts)
        out = dict[int, tuple[Image, Seen]]()
        for (image, (own,), tensors), vectors in zip(encoded, features, strict=True):
            out[id(image)] = (image, Seen(own, vectors.clone(), grid_of(tensors)))
        return out


def grid_of(pixels: Mapping[str, Tensor]) -> Pixels:
    """The tensors that positions are computed from."""
    return {name: value for name, value in pixels.items() if name == "image_grid_thw"}
