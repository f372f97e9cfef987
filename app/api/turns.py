"""Room in memory: studies are decoded while the model reads others, but never many at a time.

A study counts as the largest possible image until it is decoded, and then as what it is. Reports
go before questions, in the order in which they came; but a question that waits has its turn after a
few reports. Studies of jobs go when nobody else waits.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.workers.errors import NotReady
from app.workers.queue import FairQueue, Kind
from model.exam import Exam

__all__ = ["LARGEST", "STUDIES_DECODED", "Room", "Turns"]

LARGEST = 4 * 36_000_000
"""Bytes of the largest image's pixels."""
STUDIES_DECODED = 3
"""So many of the largest fit."""
QUESTIONS_DECODED = STUDIES_DECODED - 1
"""Of those, by questions and jobs: a report always finds some room that they do not hold."""


class Room:
    """What one study takes."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.bytes = LARGEST


class Turns:
    """The room of one service. Its methods wait; many threads call them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: FairQueue[Room] = FairQueue()
        self._held: set[Room] = set()
        self._stopping = False

    @property
    def busy(self) -> bool:
        """Whether a study is in memory."""
        return bool(self._held)

    @property
    def reports(self) -> int:
        """Studies to be reported on that are in memory."""
        return sum(room.kind == "report" for room in tuple(self._held))

    def stop(self) -> None:
        """Let nobody in any more, and let those who wait know."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    @contextmanager
    def in_memory(self, kind: Kind) -> Iterator[Callable[[Exam], None]]:
        """Room for one study's pixels, and what to call once they are decoded.

        Raises:
            NotReady: the service stopped before there was room.
        """
        room = Room(kind)
        with self._changed:
            self._wait(room)
            self._held.add(room)

        def decoded(exam: Exam) -> None:
            with self._changed:
                room.bytes = sum(image.pixels.nbytes for image in exam.shown)
                self._changed.notify_all()

        try:
            yield decoded
        finally:
            with self._changed:
                self._held.remove(room)
                self._changed.notify_all()

    def _may(self, room: Room) -> bool:
        held = sum(other.bytes for other in self._held)
        by_others = sum(other.bytes for other in self._held if other.kind != "report")
        others_may = by_others + LARGEST <= QUESTIONS_DECODED * LARGEST
        free = held + LARGEST <= STUDIES_DECODED * LARGEST
        return free and self._queue.is_next(room, others_may, others_may)

    def _wait(self, room: Room) -> None:
        """Until it is this one's turn; the lock is held before and after."""
        waiting = self._queue.of(room.kind)
        waiting.append(room)
        try:
            self._changed.wait_for(lambda: self._stopping or self._may(room))
            if self._stopping:
                raise NotReady("the service is stopping: send the request again")
            self._queue.count_turn(room.kind)
        finally:
            waiting.remove(room)
            # Whoever is next now may have looked before this one had gone.
            self._changed.notify_all()
