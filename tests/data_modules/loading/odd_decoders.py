"""Decoders that do what damaged files do to real ones; imported by the decoding processes."""

import ctypes
import os
import signal
import time
from pathlib import Path

from PIL import Image

from data_modules.loading.decoding import UnreadableImage, decode_rgb


def decode(source: bytes | Path, max_pixels: int, longest_side: int | None) -> Image.Image:
    """Does as the bytes say, or decodes them."""
    if source == b"hang":
        time.sleep(3600)
    if source == b"hang in C":
        ctypes.PyDLL(None).sleep(3600)  # keeps the interpreter's lock, as a decoder may
    if source == b"segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if source == b"exit":
        os._exit(3)
    if source == b"raise":
        raise KeyError("a mistake")
    if source == b"print":
        os.write(1, b"remark\n")
        os.write(2, b"remark\n")
        raise UnreadableImage("printed")
    return decode_rgb(source, max_pixels, longest_side)
