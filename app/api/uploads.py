"""A study's files as clients really send them: multipart with all its liberties, or one raw body.

Accepted beside what browsers send: text before the first boundary and after the last, parts of
files with `filename*` only or with no name at all, field names as PHP and jQuery write them
(`files[]`), and a body that is one image, of Content-Type application/dicom, image/png or
image/jpeg.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine
from tempfile import SpooledTemporaryFile
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

__all__ = ["RAW_TYPES", "WHAT_TO_SEND", "StudyRoute"]

RAW_TYPES = ("application/dicom", "image/png", "image/jpeg")
"""Content types of a body that is one image."""
WHAT_TO_SEND = (
    "send the images as multipart/form-data in the field `files`, or one image as the body with "
    f"Content-Type {', '.join(RAW_TYPES[:-1])} or {RAW_TYPES[-1]}"
)
FILE_FIELDS = (b"files", b"priors")
SPOOLED_BYTES = 2**20


class StudyRoute(APIRoute):
    """A route whose request is a StudyRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(StudyRequest(request.scope, request.receive))

        return handle


class StudyRequest(Request):
    """A request whose form holds a study's files, however they were sent."""

    async def _get_form(self, **limits: Any) -> FormData:
        if self._form is None:
            kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind in RAW_TYPES:
                self._form = FormData([("files", await self._whole_body())])
            elif kind == "multipart/form-data":
                parser = StudyParser(self.headers, self.stream(), **limits)
                try:
                    self._form = await parser.parse()
                except MultiPartException as error:
                    detail = f"{error.message.rstrip('.')}: {WHAT_TO_SEND}"
                    raise HTTPException(400, detail) from error
            else:
                self._form = FormData()
        return self._form

    async def _whole_body(self) -> UploadFile:
        spooled: Any = SpooledTemporaryFile(max_size=SPOOLED_BYTES)  # noqa: SIM115 (the form closes it)
        file = UploadFile(spooled, filename="body")
        try:
            async for chunk in self.stream():
                await file.write(chunk)
        except BaseException:
            await file.close()
            raise
        await file.seek(0)
        return file


class StudyParser(MultiPartParser):
    """Starlette's parser, tolerant of how clients name parts and what they write around them."""

    async def parse(self) -> FormData:
        _, parameters = parse_options_header(self.headers["Content-Type"])
        if boundary := parameters.get(b"boundary"):
            self.stream = _without_preamble(self.stream, b"--" + boundary)
        return await super().parse()

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._current_part.content_disposition)
        name = options.get(b"name", b"").removesuffix(b"[]")
        if name in FILE_FIELDS:
            # What a client calls a file is never used: files have numbers.
            disposition = b'form-data; name="' + name + b'"; filename="file"'
            self._current_part.content_disposition = disposition
        super().on_headers_finished()


async def _without_preamble(
    stream: AsyncGenerator[bytes, None], delimiter: bytes
) -> AsyncGenerator[bytes, None]:
    """A multipart body from its first boundary on (RFC 2046, section 5.1.1)."""
    head = b"\r\n"
    found = False
    async for chunk in stream:
        if found:
            yield chunk
            continue
        head += chunk
        start = head.find(b"\r\n" + delimiter)
        if start >= 0:
            found = True
            yield head[start + 2 :]
        else:
            head = head[-len(delimiter) - 2 :]
    if not found:
        raise MultiPartException("The body does not hold the boundary its Content-Type names.")
