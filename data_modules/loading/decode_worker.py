"""The process that decodes for a `DecodePool`: requests on its standard input, answers on its standard output.

The bytes of files and images go through shared memory, since pipes would copy them in small pieces. Imports as little
as possible: it is started for every pool and again after every crash.
"""

import json
import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from data_modules.loading.decoding import UnreadableImage

# parent to worker: which memory; the length of the path that follows, or 0; bytes of the file in the memory
REQUEST = struct.Struct("!BIQ")
# worker to parent: width and height of the image in the memory; or 0 and the length of the reason that follows
ANSWER = struct.Struct("!II")
READY = b"r"
# Pillow stores RGB in four bytes per pixel; passed on like that, nothing has to be regrouped on either side
RAW_MODE, PIXEL_BYTES = "RGBX", 4

# bytes of shared memory that are kept for the next image: those of 4 million pixels
_KEPT = 16 << 20

Decode = Callable[[bytes | Path, int, int | None], Image.Image]


class SharedMemory:
    """An open file that several processes map into memory, one of them using it at a time.

    Args:
        file: descriptor; the caller closes it.
    """

    def __init__(self, file: int) -> None:
        self.file = file
        self._map: mmap.mmap | None = None

    def write(self, data: bytes) -> None:
        """Write data to its beginning."""
        if os.fstat(self.file).st_size < len(data):
            os.ftruncate(self.file, len(data))
        self.view(len(data))[:] = data

    def view(self, size: int) -> memoryview:
        """Its first bytes, which must have been written."""
        if not size:  # an empty range cannot be mapped
            return memoryview(bytearray())
        if self._map is None or len(self._map) < size:
            self._map = mmap.mmap(self.file, 0)
        return memoryview(self._map)[:size]

    def trim(self) -> None:
        """Free the memory of a large image; mappings become valid again once the file has grown."""
        if os.fstat(self.file).st_size > _KEPT:
            os.ftruncate(self.file, 0)


def main() -> None:
    """Answer until the input ends, which it does when the parent ends for whatever reason."""
    options = json.loads(sys.argv[1])
    module, _, name = options["decoder"].partition(":")
    decode: Decode = getattr(import_module(module), name)
    Image.init()  # loads the formats, before the time of the first image is measured
    memories = [SharedMemory(file) for file in options["memories"]]
    requests, answers = _own_streams()
    # Ctrl-C and a batch system's SIGTERM reach the whole process group; the parent alone decides what they mean
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # the alarm kills: no handler in Python would run while a decoder written in C hangs
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    _send(answers, READY)
    while head := requests.read(REQUEST.size):
        number, path, size = REQUEST.unpack(head)
        source = Path(os.fsdecode(requests.read(path))) if path else bytes(memories[number].view(size))
        signal.setitimer(signal.ITIMER_REAL, options["seconds"])
        answer = _answer(decode, source, options, memories[number])
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(answers, answer)


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Both pipes under other descriptors; what libraries print (libtiff on bad files) is discarded."""
    pipes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    return pipes


def _answer(decode: Decode, source: bytes | Path, options: dict[str, Any], memory: SharedMemory) -> bytes:
    try:
        image = decode(source, options["max_pixels"], options["longest_side"])
    except UnreadableImage as error:
        reason = error.reason.encode("utf-8", "backslashreplace")
        return ANSWER.pack(0, len(reason)) + reason
    memory.write(image.tobytes("raw", RAW_MODE))
    return ANSWER.pack(*image.size)


def _send(answers: BinaryIO, answer: bytes) -> None:
    answers.write(answer)
    answers.flush()


if __name__ == "__main__":
    main()
