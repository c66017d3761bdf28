"""Images of a run that has ended, from where its configuration says."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from data_modules.images.sources import open_images, own_source
from data_modules.scenes import is_own_world, is_scenes, parse_scenes
from lightning_c3l.report.figures import nested

if TYPE_CHECKING:  # the protocols bring torch along
    from lightning_c3l.rounds.protocols import ImageSource

# options of every source
_SIZES = ("limit", "longest_side")


class RunImages:
    """Reads images by their keys, of the rounds and of the data set; sources are opened when one is asked for.

    Args:
        config: configuration of the run.
        folder: of the run, where archives were unpacked.
        verb: of the run.

    Attributes:
        problems: why sources cannot be opened, a sentence each.
    """

    def __init__(self, config: Mapping[str, Any], folder: Path, verb: str) -> None:
        self._data, self._folder = nested(nested(config, "data"), "init_args"), folder
        self._is_predict = verb == "predict"
        self._sources: dict[str, ImageSource | None] = {}
        self.problems: list[str] = []

    def read(self, key: str, source: str = "images") -> Image | None:
        """The image of a key; None if it has gone, or lies outside of the source.

        Args:
            key: of the image.
            source: `images` of the rounds, or `fresh` of the data set.
        """
        if PurePosixPath(key).is_absolute() or ".." in PurePosixPath(key).parts:
            return None
        # without images of its own, a data set is about those of the rounds; that of `predict` always is
        name = "images" if self._is_predict or self._data.get(source) is None else source
        try:
            opened = self._source(name)
            return None if opened is None else opened.read(key)
        except (ValueError, OSError):
            return None

    def _source(self, name: str) -> "ImageSource | None":
        """A source of the run, None if it cannot be opened."""
        spec = self._data.get(name)
        if not isinstance(spec, str):
            return None
        if spec not in self._sources:
            try:
                self._sources[spec] = self._open(name, spec)
            except (ValueError, OSError) as error:
                self._sources[spec] = None
                self.problems.append(f"data.{name}: {error}; its images are shown as missing.")
        return self._sources[spec]

    def _open(self, name: str, spec: str) -> "ImageSource":
        if "pipe:" in spec:
            # a file of a run folder must not decide which command or which code runs
            raise ValueError("comes from a command, which is not run again")
        if own_source(spec) or is_own_world(spec):
            raise ValueError(f"{spec}: comes from code of your own, which only a run imports")
        if is_scenes(spec):
            return parse_scenes(spec)
        limit, longest = (value if isinstance(value, int) else None for value in map(self._data.get, _SIZES))
        return open_images(spec, self._folder / "unpacked" / name, limit, longest)
