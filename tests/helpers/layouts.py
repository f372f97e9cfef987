"""Small trees in the layouts that data sets have, made here so that tests need no data."""

import csv
import json
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

import cv2
from material import chest, put

from data_prep.datasets.iu_xray import standard_split
from data_prep.source import SourceImage, SourceStudy

FINDINGS = "The heart is XXXX in size. The lungs are clear."
IMPRESSION = "No acute disease."


def png(seed: int = 0, height: int = 48, width: int = 40) -> bytes:
    return cv2.imencode(".png", chest(seed, height, width))[1].tobytes()


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue().encode()


def uids() -> dict[str, list[str]]:
    """Some uids of the collection: two to train on, one to validate, one to test, one of none."""
    split = standard_split()
    found = {name: [uid for uid in split if split[uid] == name] for name in set(split.values())}
    none = next(str(n) for n in range(1, 4000) if str(n) not in split)
    return {
        "train": found["train"][:2],
        "validate": found["validate"][:1],
        "test": found["test"][:1],
        "none": [none],
    }


def _all_uids() -> list[str]:
    return [uid for group in uids().values() for uid in group]


def kaggle(folder: Path, missing: Sequence[str] = ()) -> Path:
    """Frontal and lateral of each study; the lateral is named first."""
    reports, projections, files = [], [], {}
    for n, uid in enumerate(_all_uids()):
        reports.append([uid, "normal", "", "", "Cough.", "None.", FINDINGS, IMPRESSION])
        for view, number in (("Lateral", 2001), ("Frontal", 1001)):
            name = f"{uid}_IM-0001-{number}.dcm.png"
            projections.append([uid, name, view])
            files[f"images/images_normalized/{name}"] = png(2 * n + (view == "Lateral"))
    header = [
        "uid",
        "MeSH",
        "Problems",
        "image",
        "indication",
        "comparison",
        "findings",
        "impression",
    ]
    files["indiana_reports.csv"] = table(header, reports)
    files["indiana_projections.csv"] = table(["uid", "filename", "projection"], projections)
    return put(folder, {name: files[name] for name in files if Path(name).name not in missing})


def open_i(folder: Path, images: dict[str, bytes], nested: bool = True) -> Path:
    """`images` are files by the name they have after the uid, such as "_IM-0001-1001.dcm"."""
    files: dict[str, bytes] = {}
    for uid in _all_uids():
        parents = "".join(
            f'<parentImage id="CXR{uid}{Path(name).stem}"/>' for name in sorted(images)
        )
        texts = {"INDICATION": "Cough.", "FINDINGS": FINDINGS, "IMPRESSION": IMPRESSION}
        said = "".join(
            f'<AbstractText Label="{label}">{text}</AbstractText>' for label, text in texts.items()
        )
        xml = f'<eCitation><uId id="CXR{uid}"/><Abstract>{said}</Abstract>{parents}</eCitation>'
        files[f"{'ecgen-radiology/' if nested else ''}{uid}.xml"] = xml.encode()
        for name, content in images.items():
            stem = f"CXR{uid}{name}" if name.endswith("png") else f"{uid}/{uid}{name}"
            files[stem] = content
    return put(folder, files)


def r2gen(folder: Path, name: str = "annotation.json", test_key: str = "test") -> Path:
    splits: dict[str, list[dict]] = {"train": [], "val": [], test_key: []}
    files = {}
    keys = {"train": "train", "validate": "val", "test": test_key}
    for split, key in keys.items():
        for n, uid in enumerate(uids()[split]):
            id_ = f"CXR{uid}_IM-0001"
            paths = [f"{id_}/{k}.png" for k in range(2)]
            files |= {f"images/{path}": png(10 * n + len(files)) for path in paths}
            entry = {"id": id_, "report": FINDINGS, "image_path": paths, "split": key}
            splits[key].append(entry)
    return put(folder, {**files, name: json.dumps(splits).encode()})


NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
)


def nih_official(folder: Path, lists: bool = True) -> Path:
    """Three patients of two images, in two of the released folders."""
    rows, files = [], {}
    names = [f"{patient:08d}_{k:03d}.png" for patient in (1, 2, 3) for k in (0, 1)]
    for n, name in enumerate(names):
        labels = ("Effusion|Hernia", "No Finding")[n % 2]
        rows.append([name, labels, n % 2, n // 2 + 1, 50, "M", ("PA", "AP")[n % 2]])
        files[f"images_00{1 + n // 4}/images/{name}"] = png(n)
    files["Data_Entry_2017_v2020.csv"] = table(NIH_HEADER.split(","), rows)
    if lists:
        files["train_val_list.txt"] = "\n".join(names[:4]).encode()
        files["test_list.txt"] = "\n".join(names[4:]).encode()
    return put(folder, files)


def nih_small(folder: Path, number: int = 1) -> Path:
    """So many patients of one image each."""
    names = [f"{n:08d}_000.png" for n in range(number)]
    rows = [[name, n, "Nodule|Mass", 60, "F", "PA"] for n, name in enumerate(names)]
    header = ["image", "patient", "labels", "age", "sex", "view"]
    images = {name: png(n) for n, name in enumerate(names)}
    return put(folder, {"labels.csv": table(header, rows), **images})


def plain_studies(folder: Path, number: int, size: tuple[int, int] = (48, 40)) -> list[SourceStudy]:
    """Studies of one image each in a flat folder: a report, a patient and a split for each."""
    studies = []
    for n in range(number):
        put(folder, {f"{n}.png": png(n, *size)})
        split = ("train", "train", "validate", "test")[n % 4]
        studies.append(
            SourceStudy(
                id=f"s{n}",
                origin=f"row {n}",
                images=(SourceImage(Path(f"{n}.png"), "PA"),),
                findings=FINDINGS,
                patient=f"p{n}",
                split=split,
            )
        )
    return studies
