"""Where a sentence locates each finding it names: the patient's side and the third of the lung."""

import itertools
from collections.abc import Sequence

from model.report_text import vocabulary as terms
from model.report_text.term import Term, mask

__all__ = ["SIDED", "ZONED", "Location", "term_locations", "term_regions"]

SIDED = frozenset(
    {
        "opacity",
        "pleural_effusion",
        "pneumothorax",
        "atelectasis",
        "nodule",
        "rib_fracture",
        "central_line",
        "pacemaker",
    }
)
ZONED = frozenset({"opacity", "atelectasis", "nodule", "rib_fracture"})

Location = tuple[frozenset[str], str | None]
NO_ZONE: list[str | None] = [None]


def term_regions(sentence: str, found: Sequence[Term]) -> list[tuple[int, int]]:
    """For every term the [start, end) of the sentence whose words of location are its own."""
    borders = [0]
    for before, after in itertools.pairwise(found):
        borders.append(_border(sentence, before.end, after.start))
    borders.append(len(sentence))
    return list(itertools.pairwise(borders))[: len(found)]


def _border(sentence: str, start: int, end: int) -> int:
    """Where one finding's words stop and the next one's begin, between the two terms."""
    explained = terms.EXPLANATION.search(sentence, start, end)
    if explained:
        return explained.start()
    between = sentence[start:end]
    delimiters = [m.start() for m in terms.DELIMITERS.finditer(between)]
    return start + delimiters[-1] if delimiters else start


def term_locations(sentence: str, found: Sequence[Term]) -> list[list[Location]]:
    """For every term the locations it is said to be at.

    Of two terms of which one explains the other ("opacity in the left base, likely atelectasis"),
    the one without a location is where the other is.
    """
    regions = term_regions(sentence, found)
    own = [
        _locations(mask(sentence[start:end], terms.NOT_A_PLACE), term.name)
        for term, (start, end) in zip(found, regions, strict=True)
    ]
    locations = list(own)
    for k in range(1, len(found)):
        if _explains(sentence, found[k - 1], found[k]):
            if not own[k]:
                locations[k] = _for_name(locations[k - 1], found[k].name)
            elif not own[k - 1]:
                locations[k - 1] = _for_name(own[k], found[k - 1].name)
    return locations


def _explains(sentence: str, before: Term, after: Term) -> bool:
    link = terms.EXPLANATION.search(sentence, before.end, after.start)
    return link is not None and not sentence[: link.start()].endswith("and ")


def _locations(region: str, name: str) -> list[Location]:
    """The locations that a region names: "right upper and left lower" are two."""
    groups: list[tuple[set[str], list[str | None]]] = [(set(), [])]
    after_side = False
    for match in terms.PLACES.finditer(region):
        sides, zone = _meaning(match[0])
        said_sides = groups[-1][0]
        if sides:
            # "right and left lower" is one location, "right upper and left lower" two.
            apart = len(said_sides) == 2 or (said_sides and not after_side)
            if apart:
                groups.append((set(), []))
            groups[-1][0].update(sides)
        if zone and zone not in groups[-1][1]:
            groups[-1][1].append(zone)
        after_side = bool(sides) and not zone
    everywhere: list[Location] = [
        (frozenset(sides), zone) for sides, zones in groups for zone in zones or NO_ZONE
    ]
    return _for_name(everywhere, name)


def _meaning(word: str) -> tuple[frozenset[str], str | None]:
    """The sides and the zone that one word of location says: "bibasilar" says both."""
    sides = [sides for pattern, sides in terms.SIDES if pattern.match(word)]
    zones = [zone for pattern, zone in terms.ZONES if pattern.fullmatch(word)]
    return (sides[0] if sides else frozenset()), (zones[0] if zones else None)


def _for_name(locations: list[Location], name: str) -> list[Location]:
    """What of the locations applies to a finding: a pneumothorax has sides, edema has none."""
    if name not in SIDED:
        return []
    sides = frozenset[str]().union(*(sides for sides, _ in locations))
    if name not in ZONED:
        return [(sides, None)] if sides else []
    # "bilateral opacities, in the right upper and left lower zones": the zones say it all.
    zoned = [location for location in locations if location[1]]
    covered = frozenset[str]().union(*(sides for sides, _ in zoned))
    return zoned + [location for location in locations if not location[1] and location[0] - covered]
