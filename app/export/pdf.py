"""A kept report as a PDF: the text, who signed it, the radiograph, and the maps of its findings."""

from collections.abc import Sequence
from io import BytesIO
from typing import Literal
from xml.sax.saxutils import escape

import cv2
import numpy as np
from reportlab.lib.pagesizes import A4, LETTER
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    Image,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
)

from app.api.schemas import FindingAnswer, ReportAnswer
from app.export.lines import addendum_line, provenance, status_line
from app.export.maps import map_over_image, shares_of
from app.store.carry import carry
from app.store.records import Study
from model.report import sections

__all__ = ["Paper", "report_pdf"]

Paper = Literal["a4", "letter"]
SIZES = {"a4": A4, "letter": LETTER}
MARGIN = 18 * mm
GAP = 6 * mm
MAX_HEIGHT = 105 * mm
MAX_MAPS = 4
ABOUT_MAPS = (
    "In color: where the decoder attended when it wrote each finding's words. A map does not show "
    "why a word was chosen, and is no outline of a finding."
)
NOTICE = "Research software, not for diagnosis"
BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=10, leading=14)
SMALL = ParagraphStyle("small", parent=BODY, fontSize=8, leading=10.5, textColor="#444444")
HEADING = ParagraphStyle(
    "heading", parent=BODY, fontName="Helvetica-Bold", spaceBefore=8, spaceAfter=2
)
TITLE = ParagraphStyle(
    "title", parent=BODY, fontName="Helvetica-Bold", fontSize=15, leading=20, spaceAfter=4
)
STATUS = ParagraphStyle(
    "status", parent=BODY, fontName="Helvetica-Bold", spaceBefore=8, spaceAfter=8
)


def report_pdf(study: Study, previews: Sequence[bytes], paper: Paper = "a4") -> bytes:
    """The report on one or more pages.

    Args:
        previews: PNG of each image, in the order of the draft's images.
    """
    out = BytesIO()
    name = study.summary.accession or study.summary.name
    document = SimpleDocTemplate(
        out,
        pagesize=SIZES[paper],
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN + 6 * mm,
        title=f"Report {name}",
        author=study.signature.author if study.signature else "",
        creator=f"CrossRay {study.software}",
        invariant=1,  # the same report is the same file
    )
    width = SIZES[paper][0] - 2 * MARGIN
    document.build(
        [*_text(study), *_pictures(study, previews, width)],
        onFirstPage=_footer,
        onLaterPages=_footer,
    )
    return out.getvalue()


def _text(study: Study) -> list[Flowable]:
    name = study.summary.accession or study.summary.name
    parts: list[Flowable] = [Paragraph(_plain(f"Chest radiograph {name}"), TITLE)]
    if study.draft.indication:
        parts += [Paragraph("Indication", HEADING), Paragraph(_plain(study.draft.indication), BODY)]
    for section in sections(study.text):
        parts += [
            Paragraph(section.name.capitalize(), HEADING),
            Paragraph(_plain(section.text), BODY),
        ]
    for addendum in study.addenda:
        parts += [
            Paragraph(_plain(addendum_line(addendum)), HEADING),
            Paragraph(_plain(addendum.text), BODY),
        ]
    parts.append(Paragraph(_plain(status_line(study)), STATUS))
    return parts + [Paragraph(_plain(line), SMALL) for line in provenance(study)]


def _pictures(study: Study, previews: Sequence[bytes], width: float) -> list[Flowable]:
    report = carry(study.draft, study.text).report
    grays = [_decoded(png) for png in previews]
    tiles = [
        _tile(gray, f"Image {number}: {image.view or 'view not stated'}", width)
        for number, (gray, image) in enumerate(zip(grays, report.images, strict=True), 1)
    ]
    maps = [_map(report, finding, grays, width) for finding in _mapped(report)[:MAX_MAPS]]
    parts: list[Flowable] = [Spacer(1, 8), _grid([*tiles, *maps])]
    if maps:
        parts += [Spacer(1, 6), Paragraph(ABOUT_MAPS, SMALL)]
    return parts


def _mapped(report: ReportAnswer) -> list[FindingAnswer]:
    """The findings that have a place, each name once."""
    placed = [f for f in report.findings if f.heatmap is not None and f.state != "not grounded"]
    return list({finding.name: finding for finding in reversed(placed)}.values())[::-1]


def _map(
    report: ReportAnswer, finding: FindingAnswer, grays: Sequence[np.ndarray], width: float
) -> list[Flowable]:
    """A finding's map over the image on which most of it lies."""
    assert finding.heatmap is not None
    shares = shares_of(finding.heatmap, report.images)
    image = max(range(len(shares)), key=lambda k: float(shares[k].sum()))
    drawn = map_over_image(grays[image], report.images[image], shares[image])
    probability = finding.presence_probability
    stated = "" if probability is None else f", probability {probability:.2f}"
    caption = f"{finding.text} ({finding.name.replace('_', ' ')}{stated}), image {image + 1}"
    return _tile(drawn, caption, width)


def _tile(pixels: np.ndarray, caption: str, width: float) -> list[Flowable]:
    """An image half as wide as the page, over its caption."""
    height, columns = pixels.shape[:2]
    scale = min((width - GAP) / 2 / columns, MAX_HEIGHT / height)
    picture = Image(_jpeg(pixels), columns * scale, height * scale, hAlign="LEFT")
    return [picture, Paragraph(_plain(caption), SMALL)]


def _grid(tiles: Sequence[list[Flowable]]) -> Flowable:
    """Tiles two beside each other."""
    rows = [list(tiles[k : k + 2]) for k in range(0, len(tiles), 2)]
    if len(rows[-1]) == 1 and len(rows) > 1:
        rows[-1].append([])
    style = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]
    return Table(rows, hAlign="LEFT", style=style)


def _decoded(png: bytes) -> np.ndarray:
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    if decoded is None:
        raise ValueError("a stored preview is no PNG")
    return decoded


def _jpeg(pixels: np.ndarray) -> BytesIO:
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise ValueError(f"no JPEG could be made of an array of shape {pixels.shape}")
    return BytesIO(data.tobytes())


def _plain(text: str) -> str:
    """Text as the mark-up of a paragraph; letters that the font lacks are question marks."""
    shown = text.encode("cp1252", "replace").decode("cp1252")
    return escape(shown).replace("\n", "<br/>")


def _footer(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.saveState()
    canvas.setFont("Helvetica-Bold", 8)
    canvas.drawString(MARGIN, MARGIN, NOTICE)
    canvas.drawRightString(document.pagesize[0] - MARGIN, MARGIN, f"Page {document.page}")
    canvas.restoreState()
