"""One decoding process, from the side of the process that needs the images."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from PIL import Image

from data_modules.loading.decode_worker import ANSWER, PIXEL_BYTES, RAW_MODE, READY, REQUEST, SharedMemory
from data_modules.loading.decoding import UnreadableImage

Decoded = Image.Image | UnreadableImage

# images in flight, so that the process finds the next one while the last one is fetched
AHEAD = 4
# glibc would return the memory of every image to the system and fetch it anew, which doubles the time for each;
# 32 MiB is the most that it allows for the first
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}


class _Crash(UnreadableImage):
    """The process died for another reason than its time limit."""


class DecodeProcess:
    """One decoding process, started when first needed and again after it died.

    Args:
        options: options of `decode_worker`: the decoder and its options, and the seconds for one image.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._files = [_memory_file() for _ in range(AHEAD)]
        self._memories = [SharedMemory(file.fileno()) for file in self._files]
        self._options = options | {"memories": [memory.file for memory in self._memories]}
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._turn = 0
        # number of the memory and the request, from the oldest to the newest that has no answer
        self._requests: deque[tuple[int, bytes]] = deque()

    def send(self, source: bytes | Path) -> None:
        """Request an image, while fewer than `AHEAD` are in flight."""
        self._check_open()
        number = self._turn = (self._turn + 1) % AHEAD
        if isinstance(source, Path):
            path = os.fsencode(os.path.abspath(source))
            request = REQUEST.pack(number, len(path), 0) + path
        else:
            self._memories[number].write(source)
            request = REQUEST.pack(number, 0, len(source))
        if not self._requests and (self._process is None or self._process.poll() is not None):
            self._start()
        self._requests.append((number, request))
        self._write(request)

    def receive(self) -> Decoded:
        """The oldest requested image, or the reason why there is none.

        If the process dies, the image is tried once more, since something else may have killed it; not if it was late.
        """
        self._check_open()
        try:
            answer = self._next()
            if isinstance(answer, _Crash):
                self._again()
                answer = self._next()
        finally:
            self._requests.popleft()
        if self._requests and self._process is None:
            self._again()
        return answer

    def _next(self) -> Decoded:
        """The answer to the oldest request, or how the process ended."""
        try:
            return self._answer(self._requests[0][0])
        except EOFError:
            return self._obituary()

    def _again(self) -> None:
        """Start a new process for all requests without an answer."""
        self._start()
        for _, request in self._requests:
            self._write(request)

    def forget(self) -> None:
        """End the process if it still works on images that are no longer wanted."""
        if self._requests:
            self._requests.clear()
            self._end()

    def close(self) -> None:
        """End the process and free its memory."""
        self._end()
        for file in self._files:
            file.close()

    def _check_open(self) -> None:
        if self._files[0].closed:  # the descriptors may belong to another file by now
            raise RuntimeError("the decode pool is closed")

    def _start(self) -> None:
        self._end()
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        self._process = subprocess.Popen(
            # -P: a file of the current folder is no module
            [sys.executable, "-P", "-m", "data_modules.loading.decode_worker", json.dumps(self._options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=self._options["memories"],
            env={**os.environ, **_KEEP_MEMORY, "PYTHONPATH": path},
        )

    def _write(self, request: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died; whoever waits for the answer finds out
            self._process.stdin.write(request)
            self._process.stdin.flush()

    def _read(self, size: int) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def _answer(self, number: int) -> Decoded:
        if not self._is_ready:
            self._wait_until_ready()
        width, height = ANSWER.unpack(self._read(ANSWER.size))
        if not width:
            return UnreadableImage(self._read(height).decode())
        with self._memories[number].view(width * height * PIXEL_BYTES) as pixels:
            image = Image.frombytes("RGB", (width, height), pixels, "raw", RAW_MODE)
        self._memories[number].trim()
        return image

    def _wait_until_ready(self) -> None:
        try:
            self._read(len(READY))
        except EOFError:
            raise OSError("the process that decodes images does not start; its error message is above") from None
        self._is_ready = True

    def _obituary(self) -> UnreadableImage:
        """How the process ended; it is discarded, all of its answers having been read."""
        assert self._process is not None
        status = self._process.wait()
        self._end()
        if status == -signal.SIGALRM:
            return UnreadableImage(f"took longer than {self._options['seconds']:g} s to decode")
        named = {number.value: number.name for number in signal.Signals}
        how = named.get(-status, f"signal {-status}") if status < 0 else f"exit status {status}"
        return _Crash(f"the decoder crashed ({how})")

    def _end(self) -> None:
        process, self._process, self._is_ready = self._process, None, False
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # part of a request is still unsent
                pipe.close()
        process.wait()


def _memory_file() -> IO[bytes]:
    """An unnamed file, in memory where the system supports it."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("images"), "w+b")
    return tempfile.TemporaryFile()
