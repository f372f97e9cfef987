"""The stages of a study in a batch: decoded, then reported on, then written as files.

Each takes values and gives values. The broad catches are the batch's: a fault of ours in one study
must not cost the others.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from app.api.answers import answer, section_text
from app.batch.grouping import Source, Study
from app.batch.locations import remote
from app.batch.prefetching import prefetched
from app.batch.records import BatchImage, Record, Unused
from app.overlays import jpeg, sheet
from app.views import MAX_IMAGES
from model.errors import (
    CrossRayError,
    DataError,
    IdentityMismatch,
    ImageError,
    ImageTooLarge,
    NotARadiograph,
    RefusedError,
    UndecodableImage,
    UnsupportedImage,
)
from model.exam import Exam
from model.generator import ReportGenerator
from model.imaging.radiograph import Radiograph, ReadLimits
from model.imaging.sandbox import read_image_isolated
from model.report import Report

__all__ = ["ALL_CHECKS", "Checks", "Decoded", "Reported", "decoded", "finished", "reported"]

log = logging.getLogger("crossray.batch")

IMAGE_ENDINGS = {".dcm", ".dicom", ".png", ".jpg", ".jpeg"}
TOO_MANY = "not read: a report is made from at most {} images of one study"
INTERNAL = "an internal error of CrossRay; the log says where"
DECODERS = 2


@dataclass(frozen=True)
class Checks:
    """Which checks may refuse a study; what one that is off finds is a warning."""

    input_check: bool = True
    identity_check: bool = True


ALL_CHECKS = Checks()


@dataclass(frozen=True)
class Decoded:
    """A study whose files have been read."""

    study: Study
    images: tuple[tuple[Source, Radiograph], ...] = ()
    """Frontal views first."""
    unused: tuple[Unused, ...] = ()

    @property
    def exam(self) -> Exam:
        return Exam([radiograph for _, radiograph in self.images], self.study.indication)

    def given_up(self, error: Exception) -> "Decoded":
        """Without images: every file that the report would have been made from has failed."""
        reason = str(error) if isinstance(error, DataError) else _internal(error)
        failed = tuple(Unused(source.stamp, "failed", reason) for source, _ in self.images)
        return replace(self, images=(), unused=(*self.unused, *failed))


@dataclass(frozen=True)
class Reported:
    """A study with its report, the reason why a check refuses it, or neither."""

    decoded: Decoded
    report: Report | None = None
    refusal: str = ""


def decoded(
    generator: ReportGenerator, studies: Iterable[Study], ahead: int, enough: int | None = None
) -> Iterator[Decoded]:
    """The studies with their images read, `ahead` of the model but never all in memory.

    Args:
        enough: see ReadLimits.
    """
    return prefetched(lambda study: _decode(generator, study, enough), studies, DECODERS, ahead)


def _decode(generator: ReportGenerator, study: Study, enough: int | None) -> Decoded:
    limit = min(MAX_IMAGES, generator.model.config.images_per_study or MAX_IMAGES)
    images: list[tuple[Source, Radiograph]] = []
    unused = []
    for source in study.sources:
        if len(images) == limit:
            unused.append(Unused(source.stamp, "skipped", TOO_MANY.format(limit)))
            continue
        try:
            content = _content(source)
            sha256 = hashlib.sha256(content).hexdigest()
            if any(other.sha256 == sha256 for other, _ in images):
                continue  # a copy
            radiograph = read_image_isolated(content, enough=enough)
        except ImageError as error:
            unused.append(Unused(source.stamp, _status(source, error), str(error)))
        except Exception as error:
            unused.append(Unused(source.stamp, "failed", _internal(error)))
        else:
            if reason := generator.why_unread(radiograph.view):
                unused.append(Unused(source.stamp, "skipped", reason))
            else:
                images.append((replace(source, sha256=sha256), radiograph))
    images.sort(key=lambda image: image[1].view == "LATERAL")
    return Decoded(study, tuple(images), tuple(unused))


def _content(source: Source) -> bytes:
    """The bytes of a file, read once: what is hashed is what is decoded."""
    most = ReadLimits().max_bytes
    try:
        with remote("the object cannot be read"), source.path.open("rb") as file:
            content = bytes(file.read(most + 1))
    except CrossRayError as error:
        raise UndecodableImage(str(error)) from error
    if len(content) > most:
        raise ImageTooLarge(f"the file has more than {most} bytes")
    return content


def _status(source: Source, error: ImageError) -> str:
    """A text file is skipped; one that calls itself an image and is none is a bad file."""
    if isinstance(error, NotARadiograph):
        return "skipped"
    stray = isinstance(error, UnsupportedImage)
    return "skipped" if stray and source.path.suffix.lower() not in IMAGE_ENDINGS else "failed"


def _internal(error: Exception) -> str:
    log.error("a study failed", exc_info=error)
    return INTERNAL


def reported(
    generator: ReportGenerator, studies: Iterable[Decoded], size: int, checks: Checks
) -> Iterator[Reported]:
    """The studies with their reports, `size` at a time, by as many threads as the engine is best
    called by; those without an image as they are."""

    def of_batch(batch: Sequence[Decoded]) -> list[Reported]:
        seen = iter(_report(generator, [study for study in batch if study.images], checks))
        return [next(seen) if study.images else Reported(study) for study in batch]

    given = iter(studies)
    batches = iter(lambda: list(islice(given, size)), [])
    return chain.from_iterable(prefetched(of_batch, batches, generator.model.callers, ahead=0))


def _report(generator: ReportGenerator, batch: Sequence[Decoded], checks: Checks) -> list[Reported]:
    """A batch at once; where it fails as a whole, its studies one by one."""
    try:
        reports = generator.reports(
            [study.exam for study in batch],
            input_check=checks.input_check,
            identity_check=checks.identity_check,
        )
    except Exception as error:
        if len(batch) > 1:
            return [result for study in batch for result in _report(generator, [study], checks)]
        if isinstance(error, RefusedError | IdentityMismatch):
            return [Reported(batch[0], refusal=str(error))]
        return [Reported(batch[0].given_up(error))]
    return list(map(Reported, batch, reports))


def finished(generator: ReportGenerator, study: Reported) -> tuple[Record, dict[str, bytes]]:
    """A study's record and the files of its folder."""
    if study.report is None:
        return _record(study), {}
    try:
        files = {
            "report.json": answer(study.report, generator.notice)
            .model_dump_json(indent=1)
            .encode(),
            "heatmaps.jpg": jpeg(sheet(study.report, study.decoded.exam.shown)),
        }
    except Exception as error:
        return _record(Reported(study.decoded.given_up(error))), {}
    return _record(study), files


def _record(reported: Reported) -> Record:
    decoded, report = reported.decoded, reported.report
    record = Record(
        study=decoded.study.key,
        stamps=decoded.study.stamps,
        indication=decoded.study.indication_sha256,
        images=tuple(BatchImage(s.stamp, s.sha256, r.view) for s, r in decoded.images),
        refusal=reported.refusal,
        unused=decoded.unused,
    )
    if report is None:
        return record
    return replace(
        record,
        findings=section_text(report, "findings"),
        impression=section_text(report, "impression"),
        probabilities=_probabilities(report),
        warnings=_warnings(report),
        review=tuple(f"{flag.code}: {flag.message}" for flag in report.review),
    )


def _probabilities(report: Report) -> tuple[str, ...]:
    """Each finding that the report asserts, once, with the probability that it is present."""
    named: dict[str, float | None] = {}
    for finding in report.findings:
        named.setdefault(finding.name, finding.presence_probability)
    return tuple(f"{name}={'' if p is None else f'{p:.2f}'}" for name, p in named.items())


def _warnings(report: Report) -> tuple[str, ...]:
    """Each warning with its code, and of several images with the image's number."""
    several = len(report.warnings) > 1
    of_study = [f"{warning.code}: {warning.message}" for warning in report.study_warnings]
    of_images = [
        f"image {number}, {warning.code}: {warning.message}"
        if several
        else f"{warning.code}: {warning.message}"
        for number, warnings in enumerate(report.warnings, 1)
        for warning in warnings
    ]
    return (*of_study, *of_images)
