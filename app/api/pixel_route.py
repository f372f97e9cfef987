"""POST /v1/pixels: one file in, its stored values out. Nothing is kept between requests."""

import asyncio
import logging
from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.api.description import RAW_BODY
from app.api.gate import MayRead
from app.api.pixels import MEDIA_TYPE, pixel_stream
from app.api.problems import documented
from app.api.service import Service
from app.api.uploads import StudyRoute
from model.errors import DataError
from model.imaging.stored import StoredImage

__all__ = ["pixels"]

log = logging.getLogger("crossray.service")
pixels = APIRouter(prefix="/v1", tags=["reports"], route_class=StudyRoute)


class PixelResponse(StreamingResponse):
    """Sends an image within a time, and then lets go of its place in memory."""

    def __init__(self, image: StoredImage, place: ExitStack, seconds: float) -> None:
        super().__init__(pixel_stream(image), media_type=MEDIA_TYPE)
        self.place = place
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            # Not sent whole: the server closes the connection, so the client knows.
            log.warning("an image was not taken in time", extra={"seconds": self.seconds})
        finally:
            self.place.close()


@pixels.post(
    "/pixels",
    response_class=StreamingResponse,
    responses=documented(400, 403, 413, 415, 422, 500, 503)
    | {
        200: {
            "description": "The image's values, small first; docs/reference/rest-api.md has the "
            "format.",
            "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    openapi_extra=RAW_BODY,
    summary="The stored values of one image, without loss",
)
def create_pixels(
    files: Annotated[list[UploadFile], File(description="one DICOM, PNG or JPEG file")],
    request: Request,
    actor: MayRead,
) -> StreamingResponse:
    """For viewers that apply windows themselves. Nothing is kept."""
    if len(files) != 1:
        raise DataError(f"{len(files)} files: give one, its values fill the answer")
    service: Service = request.app.state.service
    with ExitStack() as stack:
        image = stack.enter_context(service.pixels(files[0].file))
        return PixelResponse(image, stack.pop_all(), service.settings.receive_seconds)
