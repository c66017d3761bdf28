"""Image tokens and image features: what a processor and a vision tower make of an image."""

import sys
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
from lightning_c3l.lvlm.huggingface.image_features import ImageFeatures

Pixels = dict[str, Tensor]
# what a processor or a vision tower raises for an image that it does not take
_REFUSALS = (ValueError, RuntimeError, OSError, IndexError, ZeroDivisionError)


@dataclass(frozen=True)
class ImageTokens:
    """The part of a prompt that a processor puts for one image.

    Attributes:
        text: the text, with one image token for each run of them.
        runs: number of image tokens in each run.
    """

    text: str
    runs: tuple[int, ...]

    @property
    def count(self) -> int:
        """Total number of image tokens."""
        return sum(self.runs)


@dataclass(frozen=True)
class EncodedImage:
    """An image after the vision tower.

    Attributes:
        tokens: its part of a prompt.
        features: of its M image tokens.
        grid: tensors that positions are computed from, such as the grid of its patches.
    """

    tokens: ImageTokens
    features: ImageFeatures
    grid: Pixels


class ImageEncoder:
    """Runs the processor and the vision tower on single images, so that each is encoded once for all of its prompts.

    Args:
        config: the model's.
        processor: the model's.
        name: of the model, for messages.
        placeholder: what stands for an image in a text; see `find_placeholder`.

    Raises:
        LVLMError: if the model has no image token.
    """

    def __init__(self, config: Any, processor: Any, name: str, placeholder: str) -> None:
        self.processor, self.name, self.placeholder = processor, name, placeholder
        token = getattr(config, "image_token_id", None)
        if token is None:  # some configurations, such as Kosmos-2's, do not have it
            vocabulary = processor.tokenizer.get_vocab()
            texts = placeholder, *(str(getattr(processor, own, "")) for own in ("image_token", "boi_token"))
            token = next((vocabulary[text] for text in texts if text in vocabulary), None)
        if token is None:
            raise LVLMError(f"{name}: the model has no image token, so prompts with an image cannot be built")
        self.token: int = int(token)
        as_written = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        self._as_text = lru_cache(maxsize=4096)(lambda ids: str(processor.tokenizer.decode(ids, **as_written)))
        self._feature_cache: dict[int, tuple[Image, EncodedImage]] | None = None

    def encode(self, images: Sequence[Image]) -> tuple[list[ImageTokens], Pixels]:
        """Tokens of each image, and the pixel tensors of all images.

        Raises:
            ImageError: if the processor does not accept an image.
        """
        try:
            out = self.processor(
                text=[self.placeholder] * len(images),
                # a list per text: some processors do not accept a flat list
                images=[[image] for image in images],
                return_tensors="pt",
                padding=True,
                add_special_tokens=False,
            )
        except torch.OutOfMemoryError:
            raise
        except _REFUSALS as error:
            sizes = ", ".join(f"{image.width}x{image.height}" for image in images[:4])
            raise ImageError(
                f"{self.name}: the processor does not accept an image ({sizes} pixels): {error}"
            ) from error
        mask, ids = out.pop("attention_mask").bool(), out.pop("input_ids")
        tokens = list[ImageTokens]()
        for padded, keep in zip(ids, mask, strict=True):
            row = padded[keep].tolist()
            runs = tuple(len(list(run)) for token, run in groupby(row) if token == self.token)
            # one image token for each run
            kept = tuple(
                token
                for token, before in zip(row, [None, *row[:-1]], strict=True)
                if token != self.token or token != before
            )
            tokens.append(ImageTokens(self._as_text(kept), runs))
        pixels = {k: v for k, v in out.items() if isinstance(v, Tensor) and not k.endswith("token_type_ids")}
        return tokens, pixels

    def features(self, model: Any, pixels: Mapping[str, Tensor]) -> ImageFeatures:
        """Features of all images, in the order of their tokens."""
        # not every family repeats the method of its base model
        encode = getattr(model, "get_image_features", None) or model.base_model.get_image_features
        return ImageFeatures.from_output(encode(**pixels, return_dict=True))

    def check(self, tokens: int, features: int) -> None:
        """Raise an LVLMError if the numbers of image tokens and image features differ."""
        if tokens != features:
            raise LVLMError(
                f"{self.name}: {tokens} image tokens in the prompt for {features} image features: processor and model "
                "do not belong together (patch size, number of tiles or feature selection)"
            )

    def tokens(self, model: Any, images: Sequence[Image]) -> list[ImageTokens]:
        """Tokens of each image. If features are cached, they are computed here: they are needed anyway."""
        if self._feature_cache is None:
            return self.encode(images)[0]
        return [one.tokens for one in self.encode_features(model, images)]

    def unsupported(self, model: Any, images: Sequence[Image], context: int | None) -> list[str]:
        """Error message per image, '' if the processor accepts it and its tokens fit into the context."""
        try:
            tokens = self.tokens(model, images)
        except ImageError as error:
            if len(images) == 1:
                return [str(error)]
            return [self.unsupported(model, [image], context)[0] for image in images]
        limit = sys.maxsize if context is None else context
        return [
            f"its {one.count} image tokens do not fit into the model's context of {limit}" if one.count >= limit else ""
            for one in tokens
        ]

    @contextmanager
    def cache_image_features(self) -> Iterator[None]:
        """Within this context, the features of an image object are computed once; the outermost one owns the cache."""
        outer, self._feature_cache = self._feature_cache, {} if self._feature_cache is None else self._feature_cache
        try:
            yield
        finally:
            self._feature_cache = outer

    def require_independent(self, images: Sequence[Image]) -> None:
        """Check that the processor treats several images of one conversation as it treats each of them alone.

        LLaVA-OneVision, for instance, leaves out the tiles of images that come together, so that the features of an
        image alone would be other ones.

        Raises:
            ConversationError: if the numbers of image tokens differ.
        """
        if len(images) < 2:
            return
        try:
            together = self.processor(text=[self.placeholder * len(images)], images=[list(images)], return_tensors="pt")
        except torch.OutOfMemoryError:
            raise
        except _REFUSALS as error:
            raise ConversationError(
                f"the processor does not accept these images in one conversation: {error}"
            ) from error
        alone = sum(one.count for one in self.encode(images)[0])
        if int((together["input_ids"] == self.token).sum()) != alone:
            raise ConversationError(
                "the model encodes several images of one conversation in another way than a single one; not supported"
            )

    @torch.no_grad()
    def encode_features(self, model: Any, images: Sequence[Image]) -> list[EncodedImage]:
        """Each image after the vision tower, which runs once for an image object that occurs twice or is cached."""
        known = {} if self._feature_cache is None else self._feature_cache
        new = {id(image): image for image in images if id(image) not in known}
        # images of one size go through the vision tower together
        by_shape = dict[Any, list[tuple[Image, list[ImageTokens], Pixels]]]()
        for image in new.values():
            encoded = self.encode([image])
            shape = tuple((name, *value.shape) for name, value in encoded[1].items())
            by_shape.setdefault(shape, []).append((image, *encoded))
        for group in by_shape.values():
            pixels = {name: torch.cat([one[2][name] for one in group]).to(model.device) for name in group[0][2]}
            counts = [tokens.count for _, (tokens,), _ in group]
            try:
                whole = self.features(model, pixels)
            except torch.OutOfMemoryError:
                raise
            except _REFUSALS as error:
                # a tower may not take a shape that its processor makes, such as that of a very narrow image
                sizes = ", ".join(f"{image.width}x{image.height}" for image, _, _ in group[:4])
                reason = f"the vision tower does not accept an image ({sizes} pixels): {error}"
                raise ImageError(f"{self.name}: {reason}") from error
            self.check(sum(counts), len(whole))
            for (image, (tokens,), own), features in zip(group, whole.split(counts), strict=True):
                known[id(image)] = (image, EncodedImage(tokens, features.clone(), grid_of(own)))
        return [known[id(image)][1] for image in images]


def grid_of(pixels: Mapping[str, Tensor]) -> Pixels:
    """The tensors that positions are computed from, among those of an image."""
    return {name: value for name, value in pixels.items() if name == "image_grid_thw"}
