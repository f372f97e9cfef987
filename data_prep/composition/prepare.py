"""`crossray prepare composed`: phantom findings in the normal radiographs of a prepared folder."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data_prep.composition.compose import compose
from data_prep.labels import is_normal
from data_prep.manifest import Image, Study, manifest_hash, read_studies, write_studies
from data_prep.output import claim, write_json, write_png
from data_prep.tokenizer import train_tokenizer
from model.anatomy import segment
from model.errors import ConfigError, DataError
from model.overlay import tiled, write

__all__ = ["prepare_composed"]

TRIES = 4
"""Draws for one composed image before its radiograph is given up."""
TILE, ACROSS, TILES = 260, 10, 60


def prepare_composed(
    source: Path, out: Path, each: int = 2, seed: int = 0, sheet: Path | None = None
) -> str:
    """Make `each` composed studies of every normal radiograph of `source`; returns a summary.

    Normal is what its labels say is so (data_prep.labels.is_normal) and has one frontal image.
    Studies keep their patient and split; those of the test split are not used. What is made follows
    from the folder's manifest and the arguments alone.

    Args:
        sheet: PNG to draw the first composed images to, with their boxes.

    Raises:
        ConfigError: a number out of range.
        DataError: no such radiograph, one that cannot be read, or an `out` that holds something
            else.
    """
    if each < 1 or seed < 0:
        raise ConfigError(f"each {each}, seed {seed}: at least 1 and 0 are needed")
    asked = {
        "source": "composed",
        "of": manifest_hash(source),
        "each": each,
        "seed": seed,
    }
    studies = [study for study in read_studies(source) if _normal(study)]
    if not studies:
        raise DataError(
            f"no labeled radiograph without findings in {str(source)!r}: prepare `nih`, whose "
            "test split is not used"
        )
    claim(out, asked, ("images", "masks"))
    given_up: Counter[str] = Counter()
    made = list(_composed(source, out, studies, each, seed, given_up))
    if not made:
        raise DataError(f"the lungs were found on none of {len(studies)} radiographs")
    digest = write_studies(out, made)
    train_tokenizer(s.report for s in made if s.split == "train").save(str(out / "tokenizer.json"))
    write_json(out / "prepared.json", {**asked, "manifest_sha256": digest})
    if sheet is not None:
        _draw(sheet, out, made)
    names = Counter(finding.name for study in made for finding in study.findings)
    found = ", ".join(f"{name} {count}" for name, count in names.most_common())
    return (
        f"{len(made)} composed studies of {len(studies)} radiographs in {out} ({found}); "
        f"{given_up.total()} given up, lungs or findings not found\n"
        f"SHA-256 of the manifest {digest}"
    )


def _normal(study: Study) -> bool:
    return (
        study.split in ("train", "validate")
        and is_normal(study.labels)
        and len(study.images) == 1
        and study.images[0].view in ("PA", "AP")
    )


def _composed(
    source: Path, out: Path, studies: list[Study], each: int, seed: int, given_up: Counter[str]
) -> Iterator[Study]:
    for study in tqdm(studies, "composing", unit=" images", mininterval=2, disable=None):
        [image] = study.images
        pixels = cv2.imread(str(source / image.path), cv2.IMREAD_GRAYSCALE)
        if pixels is None:
            raise DataError(f"{image.path!r} of {str(source)!r} cannot be read")
        gray = np.asarray(pixels, np.uint8)
        anatomy = segment(gray.astype(np.float32) / np.float32(255))
        for number in range(each):
            key = int(hashlib.sha256(f"{seed}/{study.id}/{number}".encode()).hexdigest()[:15], 16)
            rng = np.random.default_rng(key)
            tried = (compose(gray, anatomy, image.view or "PA", rng) for _ in range(TRIES))
            composition = next((one for one in tried if one is not None), None)
            if composition is None:
                given_up[study.id] += 1
                continue
            name = f"{study.id}-{number}"
            write_png(out / f"images/{name}.png", composition.pixels)
            write_png(out / f"masks/{name}.png", composition.mask)
            yield replace(
                study,
                id=name,
                images=(
                    Image(f"images/{name}.png", image.width, image.height, image.view,
                          f"masks/{name}.png", source=image.source),
                ),
                report=composition.report,
                findings=composition.findings,
                phrases=composition.phrases,
                places=composition.places,
                labels=None,
            )  # fmt: skip


def _draw(sheet: Path, out: Path, studies: list[Study]) -> None:
    tiles = []
    for study in studies[:: max(1, len(studies) // TILES)][:TILES]:
        gray = cv2.imread(str(out / study.images[0].path), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            raise DataError(f"{study.images[0].path!r} of {str(out)!r} cannot be read")
        scale = TILE / max(gray.shape)
        size = round(gray.shape[1] * scale), round(gray.shape[0] * scale)
        tile = np.zeros((TILE + 16, TILE, 3), np.uint8)
        tile[: size[1], : size[0]] = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)[..., None]
        for finding in study.findings:
            x0, y0, x1, y1 = (round(edge * scale) for edge in finding.box)
            cv2.rectangle(tile, (x0, y0), (x1, y1), (0, 200, 255), 1)
        write(tile, ", ".join(finding.name for finding in study.findings)[:40], 2, TILE + 12)
        tiles.append(tile)
    if not cv2.imwrite(str(sheet), tiled(tiles, ACROSS)):
        raise DataError(f"could not write {str(sheet)!r}: give a name that ends in .png")
