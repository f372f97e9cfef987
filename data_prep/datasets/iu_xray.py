"""The Indiana University chest X-ray collection (Demner-Fushman et al. 2016) in its three layouts.

    R2Gen      annotation.json and images/CXR2384_IM-0942/0.png      (Chen et al. 2020)
    Kaggle     indiana_reports.csv, indiana_projections.csv and images/images_normalized/*.png
    Open-i     *.xml, flat or in ecgen-radiology/, and the images as PNG or DICOM anywhere below

The collection has 3,955 reports and 7,470 images: a list of its file names is held in memory. A
patient has one study, since the collection names no patients.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from data_prep.files import IMAGE_ENDINGS, files_below
from data_prep.source import SourceImage, SourceStudy
from data_prep.tables import read_json, read_rows
from model.errors import DataError
from model.imaging.views import view_of_words

__all__ = ["standard_split", "studies"]

ANNOTATIONS = ("annotation.json", "annotations.json")
REPORTS, PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"
SECTIONS = ("indication", "comparison", "findings", "impression")
R2GEN_SPLITS = {"train": "train", "val": "validate", "test": "test", "": "test"}
"""One copy that went round has spaces for the name of the test split."""
IMAGE = re.compile(r"(?:CXR)?(?:\d+_)?(?P<name>\d+_IM-[\d-]+)", re.IGNORECASE)
MAX_XML_BYTES = 2**20
HOW_TO_GET = (
    "annotation.json (R2Gen), indiana_reports.csv (Kaggle) or ecgen-radiology/*.xml (Open-i: "
    "unpack NLMCXR_reports.tgz and NLMCXR_png.tgz or NLMCXR_dcm.tgz from openi.nlm.nih.gov/faq)"
)


def studies(source: Path) -> Iterator[SourceStudy]:
    """The collection's studies. Their split is the standard one, None for those it leaves out.

    A view is known where indiana_projections.csv says "Lateral"; its "Frontal" does not say
    whether PA or AP, so that is left to the DICOM header. R2Gen's images have lost their names,
    and so their views: 0.png is not always the frontal one.

    Raises:
        DataError: none of the layouts is there, or a file of one is not what it must be.
    """
    layouts = [read for is_there, read in LAYOUTS if is_there(source)]
    if not layouts:
        raise DataError(
            f"no report of the collection is in {str(source)!r}; looked for {HOW_TO_GET}"
        )
    if len(layouts) > 1:
        layouts.sort(key=lambda read: not _has_images(source, read))
    return layouts[0](source)


@cache
def standard_split() -> dict[str, str]:
    """uid -> split: R2Gen's 2,069 studies to train on, 296 to validate, 590 to test."""
    path = Path(__file__).with_name("iu_xray_split.json")
    splits = json.loads(path.read_text(encoding="utf-8"))
    return {str(uid): split for split, uids in splits.items() for uid in uids}


def _has_images(source: Path, read: Callable[[Path], Iterator[SourceStudy]]) -> bool:
    """Whether the first of a layout's images are there, where a folder has several layouts."""
    first = (image for study in islice(read(source), 20) for image in study.images)
    return any((source / image.path).is_file() for image in first)


def _annotation(source: Path) -> Path | None:
    return next((source / name for name in ANNOTATIONS if (source / name).is_file()), None)


def _xml_folder(source: Path) -> Path | None:
    folders = (source / "ecgen-radiology", source)
    return next((folder for folder in folders if next(folder.glob("*.xml"), None)), None)


def _r2gen(source: Path) -> Iterator[SourceStudy]:
    path = _annotation(source)
    assert path is not None
    images = Path("images") if (source / "images").is_dir() else Path()
    try:
        splits: dict[str, list[dict[str, Any]]] = read_json(path)
        entries = [(name, entry) for name, listed in splits.items() for entry in listed]
    except (DataError, AttributeError, TypeError) as error:
        raise DataError(f"{path.name} cannot be read: {error}; fetch it again") from error
    for number, (name, entry) in enumerate(entries):
        origin = f"{path.name} {name.strip() or 'test'} entry {number}"
        try:
            uid = re.match(r"CXR(\d+)", entry["id"])
            if name.strip() not in R2GEN_SPLITS or uid is None:
                raise ValueError(f"the split {name!r}, the id {entry['id']!r}")
            if not (isinstance(entry["report"], str) and isinstance(entry["image_path"], list)):
                raise TypeError("report is a text and image_path a list")
            yield SourceStudy(
                id=entry["id"],
                origin=origin,
                images=tuple(SourceImage(images / image) for image in entry["image_path"]),
                findings=entry["report"],
                patient=uid[1],
                split=R2GEN_SPLITS[name.strip()],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{origin} is not of R2Gen's annotation of this collection: {error!r}; expected "
                'splits train, val and test, ids as "CXR2384_IM-0942", report and image_path'
            ) from error


def _kaggle(source: Path) -> Iterator[SourceStudy]:
    if not (source / PROJECTIONS).is_file():
        raise DataError(
            f"{PROJECTIONS} is not in {str(source)!r}: it comes with {REPORTS} and says which "
            "images belong to a report"
        )
    named: dict[str, list[str]] = {}
    for _, row in read_rows(source / PROJECTIONS, ("uid", "filename")):
        named.setdefault(row["uid"], []).append(row["filename"])
    images = _Images(source, "images/images_normalized/{}")
    for origin, row in read_rows(source / REPORTS, ("uid", *SECTIONS)):
        uid = row["uid"]
        yield _study(uid, origin, images.of(named.get(uid, [])), row)


def _open_i(source: Path) -> Iterator[SourceStudy]:
    folder = _xml_folder(source)
    assert folder is not None
    images = _Images(source, "{}.png")
    for path in sorted(folder.glob("*.xml")):
        origin = path.relative_to(source).as_posix()
        root = _parse(path, origin)
        identity = root.find("uId")
        uid = re.fullmatch(r"CXR(\d+)", "" if identity is None else identity.get("id", ""))
        if uid is None:
            raise DataError(f'{origin} is no Open-i report: expected <uId id="CXR...">')
        texts = {
            each.get("Label", "").lower(): "".join(each.itertext()).strip()
            for each in root.iter("AbstractText")
        }
        named = [image.get("id", "") for image in root.iter("parentImage")]
        yield _study(uid[1], origin, images.of(named), texts)


def _study(
    uid: str, origin: str, images: tuple[SourceImage, ...], texts: Mapping[str, str]
) -> SourceStudy:
    return SourceStudy(
        id=f"CXR{uid}",
        origin=origin,
        images=images,
        findings=texts.get("findings", ""),
        impression=texts.get("impression", ""),
        indication=texts.get("indication", ""),
        comparison=texts.get("comparison", ""),
        patient=uid,
        split=standard_split().get(uid),
    )


LAYOUTS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Iterator[SourceStudy]]], ...] = (
    (lambda source: _annotation(source) is not None, _r2gen),
    (lambda source: (source / REPORTS).is_file(), _kaggle),
    (lambda source: _xml_folder(source) is not None, _open_i),
)


class _Images:
    """Where the collection's images lie: one has another name in every download.

    "CXR1_1_IM-0001-3001.png", "1_IM-0001-3001.dcm" and "1_IM-0001-3001.dcm.png" are one image.
    """

    def __init__(self, source: Path, expected: str) -> None:
        self._expected = expected
        self._paths: dict[str, Path] = {}
        self._laterals: set[str] = set()
        named = [path for path in files_below(source) if path.suffix.lower() in IMAGE_ENDINGS]
        # DICOM last, so that it has the last word: it has all the gray values.
        for path in sorted(named, key=lambda p: -IMAGE_ENDINGS.index(p.suffix.lower())):
            if match := IMAGE.match(path.name):
                self._paths[match["name"]] = path
        if (source / PROJECTIONS).is_file():
            for _, row in read_rows(source / PROJECTIONS, ("filename", "projection")):
                match = IMAGE.match(row["filename"])
                if match and view_of_words(row["projection"]) == "LATERAL":
                    self._laterals.add(match["name"])

    def of(self, names: list[str]) -> tuple[SourceImage, ...]:
        """A study's images by the names that its report gives, laterals last."""
        found = []
        for name in names:
            match = IMAGE.match(name)
            key = match["name"] if match else name
            path = self._paths.get(key, Path(self._expected.format(name)))
            found.append(SourceImage(path, "LATERAL" if key in self._laterals else None))
        return tuple(sorted(found, key=lambda image: image.view is not None))


def _parse(path: Path, origin: str) -> ElementTree.Element:
    """One XML file's root.

    A document type is refused when it begins: only there can entities be declared, which may grow
    without limit or name files of this machine.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_XML_BYTES + 1)
        if len(content) > MAX_XML_BYTES:
            raise DataError(f"{origin} has more than {MAX_XML_BYTES} bytes: no report is so long")
        return ElementTree.fromstring(content, ElementTree.XMLParser(target=_Plain()))
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{origin} cannot be read: {error}; unpack the reports again") from error


class _Plain(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DataError("an XML report has a document type, which no report of Open-i has")
