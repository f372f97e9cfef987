"""Results come in order and ahead of time, and never all of them are in memory."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from batch_output import contents
from material import put

from app.batch.prefetching import prefetched
from app.batch.run import BatchOptions, run_batch
from model.generator import ReportGenerator


@pytest.mark.parametrize(("threads", "ahead"), [(1, 0), (1, 4), (3, 2)])
def test_in_order_and_not_far_ahead(threads: int, ahead: int) -> None:
    given = 0

    def items() -> Iterator[int]:
        nonlocal given
        for number in range(1, 41):
            given = number
            yield number

    for taken, result in enumerate(prefetched(lambda n: n * n, items(), threads, ahead), 1):
        assert result == taken * taken
        assert given - taken <= ahead + threads


def test_the_next_is_worked_on_while_one_is_used() -> None:
    begun = [threading.Event() for _ in range(3)]

    def begin(number: int) -> int:
        begun[number].set()
        return number

    results = prefetched(begin, range(3), threads=1, ahead=1)
    assert next(results) == 0
    assert begun[1].wait(10)


def test_errors_are_where_the_result_would_be() -> None:
    def inverse(number: int) -> float:
        return 1 / number

    results = prefetched(inverse, [2, 1, 0, 4], threads=1, ahead=2)
    assert [next(results), next(results)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)

    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(prefetched(inverse, items(), threads=1, ahead=0))


def test_with_several_callers_it_is_the_same_to_the_byte(
    tmp_path: Path, tiny_checkpoint: Path, make_png: Callable
) -> None:
    images = {f"{n}.png": make_png(n, 60 + n) for n in range(9)}
    source = put(tmp_path / "in", images | {"bad.png": make_png()[:-50], "notes.txt": b"read me"})
    for callers in (1, 3):
        generator = ReportGenerator.load(tiny_checkpoint, engine="openvino", threads=1)
        generator.model.callers = callers
        outcome = run_batch(generator, source, tmp_path / str(callers), BatchOptions(batch_size=2))
        assert (outcome.done, outcome.skipped, outcome.failed) == (9, 1, True)
    one, three = (contents(tmp_path / str(callers)) for callers in (1, 3))
    assert one == three
