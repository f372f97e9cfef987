"""A report as server-sent events: its text as it is written, then the whole answer."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack

from fastapi.sse import format_sse_event
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.api.problems import problem_for
from app.api.schemas import ReportAnswer, TextChange
from app.store.errors import StoreError
from app.workers.errors import Unwanted
from app.workers.pool import Watch

__all__ = ["EVENTS", "SILENT_SECONDS", "ReportStream", "changes", "wants_events"]

EVENTS = "text/event-stream"
SILENT_SECONDS = 15.0
"""After which a comment shows the client, and what is between, that a stream lives."""

LOOK_SECONDS = 1.0
LOOKS = 300
"""After which a client has to ask again, and to be let in again."""

Write = Callable[[Watch], ReportAnswer]
"""Makes a report and passes on its text so far, until it is unwanted: Unwanted."""


class ReportStream(StreamingResponse):
    """Events `text`, each a TextChange, then `report` or `problem`.

    A client that goes away ends the writing at the next token.
    """

    def __init__(self, write: Write, place: ExitStack, instance: str) -> None:
        """
        Args:
            place: closed when nothing is written any more.
            instance: of a problem.
        """
        super().__init__(self._events(), media_type=EVENTS, headers={"X-Accel-Buffering": "no"})
        self._write = write
        self._place = place
        self._instance = instance
        self._gone = threading.Event()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._text = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()

        def push(event: bytes | None) -> None:
            loop.call_soon_threadsafe(self._queue.put_nowait, event)

        writing = asyncio.create_task(run_in_threadpool(self._work, push))
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._gone.set()
            await asyncio.shield(writing)
            self._place.close()

    async def _events(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(SILENT_SECONDS):
                    event = await self._queue.get()
            except TimeoutError:
                yield format_sse_event(comment="waiting")
                continue
            if event is None:
                return
            yield event

    def _work(self, push: Callable[[bytes | None], None]) -> None:
        def watch(text: str) -> bool:
            if (change := self._change(text)) is not None:
                push(format_sse_event(event="text", data_str=change.model_dump_json()))
            return not self._gone.is_set()

        try:
            report = self._write(watch)
            push(format_sse_event(event="report", data_str=report.model_dump_json()))
        except Unwanted:
            pass
        except Exception as error:
            # A request's broad catch, as in app/api/middleware.py: the answer has begun already.
            problem = problem_for(error, self._instance)
            push(format_sse_event(event="problem", data_str=problem.model_dump_json()))
        finally:
            push(None)

    def _change(self, text: str) -> TextChange | None:
        """What is other than before; half a character waits for the token that has the rest."""
        text = text.rstrip("\ufffd")
        if text == self._text:
            return None
        pairs = enumerate(zip(self._text, text, strict=False))
        shorter = min(len(self._text), len(text))
        start = next((place for place, (old, new) in pairs if old != new), shorter)
        self._text = text
        return TextChange(start=start, text=text[start:])


def wants_events(request: Request) -> bool:
    """Whether a client asks for server-sent events."""
    return EVENTS in request.headers.get("accept", "")


async def changes(look: Callable[[], BaseModel], stopping: threading.Event) -> AsyncIterator[bytes]:
    """What something looks like, now and whenever it has changed, as events without a name."""
    last: BaseModel | None = None
    for number in range(LOOKS):
        try:
            found = await run_in_threadpool(look)
        except StoreError:
            return  # the client comes back and gets the rest
        if found != last:
            yield format_sse_event(data_str=found.model_dump_json())
        elif number * LOOK_SECONDS % SILENT_SECONDS == 0:
            yield format_sse_event(comment="waiting")
        last = found
        if stopping.is_set():
            return
        await asyncio.sleep(LOOK_SECONDS)
