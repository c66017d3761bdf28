"""Work that does not fit is done again in halves; the work here is a double that runs out of memory by its size."""

import sys
import warnings
from collections.abc import Callable

import pytest
import torch

from lightning_c3l.lvlm.batch_size import BatchSize


def fitting(most: int, tried: list[int]) -> Callable[[int], str]:
    def work(size: int) -> str:
        tried.append(size)
        if size > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return f"done with {size}"

    return work


def test_less_than_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^some\.option must be at least 1, not 0$"):
        BatchSize(0, "some.option")


def test_what_fits_is_done_once() -> None:
    size, tried = BatchSize(8, "some.option"), list[int]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert size.run(fitting(8, tried)) == "done with 8"
    assert tried == [8]


@pytest.mark.parametrize(
    ("size", "most", "expected"), [(8, 3, [8, 4, 2]), (7, 3, [7, 3]), (5, 1, [5, 2, 1]), (2, 1, [2, 1])]
)
def test_the_size_is_halved_until_it_fits_and_stays_so(size: int, most: int, expected: list[int]) -> None:
    batch, tried = BatchSize(size, "some.option"), list[int]()
    with pytest.warns(UserWarning, match="out of memory") as caught:
        assert batch.run(fitting(most, tried)) == f"done with {expected[-1]}"
    assert tried == expected
    messages = [str(warning.message) for warning in caught]
    assert messages == [f"out of memory: going on with some.option: {n}" for n in expected[1:]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch.run(fitting(most, tried))
    assert tried == [*expected, expected[-1]]
    assert batch.size == expected[-1]


def test_one_that_does_not_fit_is_an_error_that_names_the_option() -> None:
    batch, tried = BatchSize(3, "some.option"), list[int]()
    with (
        pytest.warns(UserWarning, match="some.option: 1"),
        pytest.raises(torch.OutOfMemoryError, match=r"out of memory with some\.option: 1;") as caught,
    ):
        batch.run(fitting(0, tried))
    assert tried == [3, 1]
    assert "CUDA out of memory" in str(caught.value.__cause__)
    assert "\n" not in str(caught.value)


def test_other_errors_pass() -> None:
    batch = BatchSize(4, "some.option")

    def work(size: int) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(RuntimeError, match="device-side"):
        batch.run(work)
    assert batch.size == 4


def test_nothing_of_the_failed_batch_is_held_while_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is being handled keeps its frames, and with them the tensors that did not fit."""
    held = list[object]()
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: held.append(sys.exc_info()[1]))
    batch, tried = BatchSize(2, "some.option"), list[int]()
    with pytest.warns(UserWarning, match="out of memory"):
        batch.run(fitting(1, tried))
    assert held == [None]
