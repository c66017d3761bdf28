"""Decoding in other processes gives what decoding here gives, and survives what decoding here would not."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from PIL import Image

from data_modules.loading import decode_pool
from data_modules.loading.decode_pool import Decoded, DecodePool
from data_modules.loading.decoding import UnreadableImage, decode_rgb
from tests.data_modules.loading.test_decoding import OTHER_FORMATS, REFUSED

ROOT = Path(__file__).parents[3]


def png(number: int, size: tuple[int, int] = (3, 2)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def shown(decoded: Decoded) -> object:
    """Pixels, or the reason why there are none."""
    if isinstance(decoded, UnreadableImage):
        return decoded.reason
    assert decoded.mode == "RGB"
    return decoded.size, decoded.tobytes()


def here(source: bytes | Path) -> object:
    try:
        return shown(decode_rgb(source))
    except UnreadableImage as error:
        return error.reason


def processes(pool: DecodePool) -> list[int]:
    return [worker._process.pid for worker in pool._workers if worker._process is not None]


def is_running(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_pool, "_DECODER", "tests.data_modules.loading.odd_decoders:decode")


def test_every_odd_file_comes_out_as_it_does_here(shared_data: Path) -> None:
    files = [f for f in sorted((shared_data / "bad-images").iterdir()) if f.name not in ("LICENSE", "SOURCE.txt")]
    with DecodePool() as pool:
        found = dict(pool.map((file, file) for file in files))
        again = dict(pool.map((file, file.read_bytes()) for file in files))
    assert list(found) == list(again) == files
    assert len(files) == 87
    refused = {file.name for file, one in found.items() if isinstance(one, UnreadableImage)}
    assert refused == REFUSED | OTHER_FORMATS | {f.name for f in files if f.suffix in (".blp", ".dds")}
    assert len(refused) == 27
    for file in files:
        assert shown(found[file]) == shown(again[file]) == here(file), file.name


@pytest.mark.parametrize(("workers", "number"), [(1, 0), (2, 1), (1, 5), (2, 40), (3, 40)])
def test_order(workers: int, number: int) -> None:
    with DecodePool(workers) as pool:
        found = list(pool.map((n, png(n)) for n in range(number)))
    assert [key for key, _ in found] == list(range(number))
    assert [image.getpixel((0, 0)) for _, image in found] == [(n, 0, 7) for n in range(number)]  # type: ignore[union-attr]


def test_sizes_that_grow_and_shrink() -> None:
    sizes = [(1, 1), (300, 200), (2, 2), (500, 400), (1, 900), (300, 200)] * 3
    with DecodePool(2) as pool:
        found = list(pool.map((n, png(n, size)) for n, size in enumerate(sizes)))
    assert [shown(one) for _, one in found] == [here(png(n, size)) for n, size in enumerate(sizes)]


def test_large_pictures_leave_no_memory_behind() -> None:
    sizes = [(1, 1), (3000, 1500), (30, 20)] * 5  # the second takes 18 MB
    with DecodePool(1) as pool:
        found = [shown(one) for _, one in pool.map((n, png(n, size)) for n, size in enumerate(sizes))]
        held = [os.fstat(file.fileno()).st_size for file in pool._workers[0]._files]
    assert found == [here(png(n, size)) for n, size in enumerate(sizes)]
    assert sum(held) < 2_000_000


def test_only_a_few_are_taken_ahead_of_an_endless_source() -> None:
    taken = 0

    def endless() -> Iterator[tuple[int, bytes]]:
        nonlocal taken
        for taken in count(1):
            yield taken, png(taken)

    with DecodePool(2) as pool:
        for (key, _), wanted in zip(pool.map(endless()), range(1, 100), strict=False):
            assert key == wanted
            assert taken - key <= 8


def test_few_images_start_few_processes() -> None:
    with DecodePool(8) as pool:
        list(pool.map([("x", png(1))]))
        assert len(processes(pool)) == 1


def test_no_bytes_and_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    sources = [
        b"",
        tmp_path / "absent.png",
        tmp_path,
        tmp_path / "pipe.png",
        tmp_path / ("x" * 3000),
        Path("\udcff.png"),
    ]
    sources.append(UnreadableImage("could not be fetched"))
    with DecodePool() as pool:
        found = [one for _, one in pool.map(enumerate(sources))]
    assert [one.reason for one in found if isinstance(one, UnreadableImage)] == [
        "is empty",
        "no such file",
        "is not a file",
        "is not a file",
        here(tmp_path / ("x" * 3000)),
        "no such file",
        "could not be fetched",
    ]


def test_limits_reach_the_processes() -> None:
    with DecodePool(max_pixels=99) as pool:
        (_, large), (_, small) = pool.map([("large", png(1, (10, 10))), ("small", png(1, (9, 11)))])
    assert isinstance(large, UnreadableImage)
    assert large.reason == "too many pixels: 10x10, the limit is 99"
    assert isinstance(small, Image.Image)
    with DecodePool(longest_side=5) as pool:
        ((_, shrunk),) = pool.map([("x", png(1, (20, 10)))])
    assert isinstance(shrunk, Image.Image)
    assert shrunk.size == (5, 2) or shrunk.size == (5, 3)


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("workers", "data", "reason"),
    [
        (1, b"hang", "took longer than 3 s to decode"),
        (2, b"hang in C", "took longer than 3 s to decode"),
        (1, b"segfault", "the decoder crashed (SIGSEGV)"),
        (2, b"segfault", "the decoder crashed (SIGSEGV)"),
        (2, b"exit", "the decoder crashed (exit status 3)"),
        (1, b"raise", "the decoder crashed (exit status 1)"),
        (2, b"print", "printed"),
    ],
)
def test_one_bad_image_costs_itself_only(workers: int, data: bytes, reason: str) -> None:
    bad = (0, 5) if data.startswith(b"hang") else (0, 7, 8, 19)  # each of the former takes its time
    sources = {n: data if n in bad else png(n) for n in range(20)}
    with DecodePool(workers, seconds=3) as pool:
        found = {key: shown(one) for key, one in pool.map(sources.items())}
    assert list(found) == list(sources)
    assert {key: one for key, one in found.items() if isinstance(one, str)} == dict.fromkeys(bad, reason)
    assert all(one == here(png(n)) for n, one in found.items() if not isinstance(one, str))


@pytest.mark.usefixtures("odd")
def test_the_clock_starts_when_the_image_is_taken() -> None:
    with DecodePool(1, seconds=3) as pool:
        results = pool.map([("slow", b"hang"), ("next", png(1)), ("last", png(2))])
        assert isinstance(next(results)[1], UnreadableImage)
        time.sleep(3.5)  # longer than the limit, while both others wait to be fetched
        assert [isinstance(one, Image.Image) for _, one in results] == [True, True]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_dies_between_images_is_replaced(how: signal.Signals) -> None:
    with DecodePool(1) as pool:
        assert isinstance(dict(pool.map([("a", png(1))]))["a"], Image.Image)
        (first,) = processes(pool)
        os.kill(first, how)
        while is_running(first):
            time.sleep(0.01)
        assert isinstance(dict(pool.map([("b", png(1))]))["b"], Image.Image)
        assert processes(pool) != [first]


def test_ctrl_c_of_the_group_leaves_the_processes_to_the_parent() -> None:
    with DecodePool(1) as pool:
        dict(pool.map([("a", png(1))]))
        (first,) = processes(pool)
        for how in (signal.SIGINT, signal.SIGTERM):
            os.kill(first, how)
        assert isinstance(dict(pool.map([("b", png(1))]))["b"], Image.Image)
        assert processes(pool) == [first]


def test_leaving_early_leaves_no_old_answer() -> None:
    with DecodePool(2) as pool:
        for key, _ in pool.map((n, png(n)) for n in range(50)):
            if key == 3:
                break
        ((_, image),) = pool.map([("new", png(200))])
        assert shown(image) == here(png(200))


def test_an_error_of_the_consumer_leaves_no_process() -> None:
    left = list[int]()

    def consume() -> None:
        with DecodePool(2) as pool:
            for key, _ in pool.map((n, png(n)) for n in range(50)):
                left[:] = processes(pool)
                _ = 1 / (2 - key)

    with pytest.raises(ZeroDivisionError):
        consume()
    assert len(left) == 2
    assert not any(is_running(process) for process in left)


@pytest.mark.usefixtures("odd")
def test_closing_does_not_wait_for_what_hangs() -> None:
    began = time.monotonic()
    with DecodePool(2, seconds=3600) as pool:
        results = pool.map([(n, png(n) if n == 0 else b"hang") for n in range(20)])
        next(results)
        left = processes(pool)
    assert not any(is_running(process) for process in left)
    assert time.monotonic() - began < 60


def test_one_map_at_a_time() -> None:
    with DecodePool() as pool:
        first = pool.map((n, png(n)) for n in range(20))
        next(first)
        with pytest.raises(RuntimeError, match="one map at a time"):
            next(pool.map([("x", png(1))]))


def test_a_closed_pool_decodes_nothing() -> None:
    with DecodePool() as pool:
        begun = pool.map((n, png(n)) for n in range(20))
        next(begun)
    for results in (begun, pool.map([("x", png(1))])):
        with pytest.raises(RuntimeError, match="closed"):
            next(results)


def test_options() -> None:
    for options in ({"workers": 0}, {"seconds": 0.0}, {"seconds": float("nan")}, {"seconds": float("inf")}):
        with pytest.raises(ValueError, match="at least one worker and some time"):
            DecodePool(**options)  # type: ignore[arg-type]


def test_a_process_that_cannot_start_is_no_bad_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_pool, "_DECODER", "tests.data_modules.absent:decode")
    with DecodePool() as pool, pytest.raises(OSError, match="does not start"):
        list(pool.map([("x", png(1))]))


def test_the_processes_import_little() -> None:
    modules = {"torch", "lightning", "transformers", "tqdm", "pyarrow", "webdataset"}
    script = f"import sys, data_modules.loading.decode_worker; print({modules} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    printed = done.stdout
    assert printed == "set()\n"


SCRIPT = """
from io import BytesIO
from PIL import Image
from data_modules.loading.decode_pool import DecodePool

buffer = BytesIO()
Image.new("RGB", (2, 2)).save(buffer, "PNG")
with DecodePool(2, seconds=SECONDS) as pool:
    found = dict(pool.map((n, buffer.getvalue()) for n in range(9)))
    print(len(found), *(worker._process.pid for worker in pool._workers), flush=True)
    if WAIT:
        list(pool.map((n, buffer.getvalue()) for n in iter(int, 1)))
"""


@pytest.mark.parametrize("way", ["-c", "standard input", "file"])
def test_scripts_of_any_kind_can_use_it(tmp_path: Path, way: str) -> None:
    script = SCRIPT.replace("SECONDS", "20").replace("WAIT", "False")
    (tmp_path / "script.py").write_text(script)  # without a guard for __main__
    words = {"-c": ["-c", script], "standard input": ["-"], "file": [str(tmp_path / "script.py")]}[way]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *words],
        input=script if way == "standard input" else "",
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("9 ")
    assert done.stderr == ""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_the_parent(how: signal.Signals) -> None:
    script = SCRIPT.replace("SECONDS", "20").replace("WAIT", "True")
    # a suite in the background of a shell ignores Ctrl-C, and hands that down
    heeds = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    words = [sys.executable, "-c", script]
    with subprocess.Popen(words, cwd=ROOT, preexec_fn=heeds, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        number, *left = map(int, parent.stdout.readline().split())
        assert number == 9
        assert len(left) == 2
        assert all(is_running(process) for process in left)
        parent.send_signal(how)
        parent.wait(60)
    deadline = time.monotonic() + 60
    while any(is_running(process) for process in left) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(process) for process in left)


def test_a_hanging_decoder_ends_by_itself_when_the_parent_is_gone() -> None:
    script = SCRIPT.replace("SECONDS", "1").replace("WAIT", "True").replace("iter(int, 1)", "range(0)")
    script = (
        "from data_modules.loading import decode_pool as d\n"
        "d._DECODER = 'tests.data_modules.loading.odd_decoders:decode'\n" + script
    )
    script += "        under_way = pool.map((n, b'hang in C') for n in range(99))\n        next(under_way)\n"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        _, *left = map(int, parent.stdout.readline().split())
        parent.kill()
    deadline = time.monotonic() + 60
    while any(is_running(process) for process in left) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(process) for process in left)
