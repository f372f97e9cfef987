"""What requests about studies consist of: their form fields and options."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Depends, File, Form, Query, Request, UploadFile

from app.api.answers import Maps
from app.api.options import Options
from app.api.problems import TooManyFiles
from app.api.service import Service
from app.sent import Sent
from model.errors import DataError

__all__ = [
    "MAX_INDICATION",
    "MAX_NAME",
    "Phrase",
    "Posted",
    "Reading",
    "ReportText",
    "ServiceHere",
    "Study",
    "View",
    "WithOptions",
    "check_sent",
]

MAX_PHRASE = 200
"""Letters of a question; the decoder reads no more than a report's tokens."""
MAX_REPORT = 10_000
"""Letters of a report to check; the decoder reads no more than a report's tokens."""
MAX_NAME = 200
"""Letters of what the worklist calls a study."""
MAX_INDICATION = 1000
"""Letters of an indication; how many tokens a model reads is its own, `prompt_tokens`."""


def _service(request: Request) -> Service:
    result: Service = request.app.state.service
    return result


ServiceHere = Annotated[Service, Depends(_service)]


View = Literal["PA", "AP", "LATERAL", ""]


def _posted(
    files: Annotated[
        list[UploadFile],
        File(description="the images of one study: DICOM, PNG or JPEG, one or more"),
    ],
    priors: Annotated[
        list[UploadFile],
        File(
            default_factory=list,
            description="frontal images of an earlier study of the same patient",
        ),
    ],
    views: Annotated[
        list[View],
        Form(
            default_factory=list,
            description="one for each of files, in their order: its view, or empty for what the "
            "file says. PNG and JPEG cannot say it; what says nothing is read as frontal. A DICOM "
            "header that says another view is an error",
        ),
    ],
    indication: Annotated[
        str,
        Form(
            max_length=MAX_INDICATION,
            description="why the images were taken, in the words of the request; nothing of it "
            "is logged",
        ),
    ] = "",
    name: Annotated[
        str,
        Form(
            max_length=MAX_NAME,
            description="what the worklist calls the study, where studies are kept; its accession "
            "number if left out",
        ),
    ] = "",
) -> Sent:
    return Sent([f.file for f in files], views, [p.file for p in priors], indication, name)


Posted = Annotated[Sent, Depends(_posted)]
"""What is in the form, checked by nobody."""


def _study(posted: Posted, service: ServiceHere) -> Sent:
    check_sent(posted, service.settings.max_files)
    return posted


def check_sent(sent: Sent, max_files: int) -> None:
    """See whether a study may be as it is.

    Raises:
        TooManyFiles: more than `max_files`.
        DataError: views of another number than files.
    """
    count = len(sent.files) + len(sent.priors)
    if count > max_files:
        raise TooManyFiles(f"{count} files in one study: at most {max_files} are allowed")
    if sent.views and len(sent.views) != len(sent.files):
        raise DataError(
            f"{len(sent.views)} views for {len(sent.files)} files: give one for each file, empty "
            "where it says its own, or none at all"
        )


Study = Annotated[Sent, Depends(_study)]


def _reading(
    input_check: Annotated[
        bool,
        Query(
            description="false: continue with images the input check rejects and report the "
            "reasons as warnings"
        ),
    ] = True,
    identity_check: Annotated[
        bool,
        Query(
            description="false: continue with files of different patients or studies, or a prior "
            "that is not earlier, and report it as a warning"
        ),
    ] = True,
    maps: Annotated[
        Maps,
        Query(
            description="all: the heatmap also of words, sentences, findings and answers that are "
            "not grounded; what they attended to is no place, most of it fell on no image"
        ),
    ] = "grounded",
) -> Options:
    return Options(input_check=input_check, identity_check=identity_check, maps=maps)


Reading = Annotated[Options, Depends(_reading)]


def _options(
    reading: Reading,
    pixels: Annotated[bool, Query(description="fill images[].png, to show the images")] = False,
) -> Options:
    return replace(reading, pixels=pixels)


WithOptions = Annotated[Options, Depends(_options)]
Phrase = Annotated[
    str,
    Form(
        min_length=1,
        max_length=MAX_PHRASE,
        description='a finding, or a question for one: "a fracture", "is there a fracture?"',
    ),
]

ReportText = Annotated[
    str,
    Form(
        min_length=1,
        max_length=MAX_REPORT,
        description="somebody's report of these images, in any words; nothing of it is logged",
    ),
]
