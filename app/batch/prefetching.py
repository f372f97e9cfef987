"""Work of one stage of a batch done while another stage has its turn."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetched"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetched(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int
) -> Iterator[Result]:
    """Results in the order of the items, computed before they are asked for.

    Args:
        ahead: results that may wait to be taken; never all of them are in memory.

    Raises:
        What the function raised, where its result would be.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead + threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
